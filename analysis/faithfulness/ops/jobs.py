"""Jobs of the Faithfulness page: a study made anew, and a model's own chains; and what jobs that measure share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.faithfulness.answers.jobs import (
    AnswerCount,
    NewStudy,
    OwnChain,
    OwnChains,
    StudyEstimate,
)
from analysis.faithfulness.ops.study import reader_for
from analysis.fields import Real, Whole
from analysis.models.spec import ModelSpec
from analysis.progress import portion
from analysis.spoken import duration

if TYPE_CHECKING:
    from analysis.faithfulness.item import Item
    from analysis.faithfulness.parts import StudySettings
    from analysis.models.loaded_model import LoadedModel

A = TypeVar("A")
RANKED = ("0", "1", "2", "Z", "G1")


@dataclass(frozen=True)
class OfStudy(Operation[A]):
    """What a study is to be made of."""

    model: ModelSpec = ModelSpec("default")
    seeds: Annotated[int, Whole(1, 20, words="The number of demonstration seeds")] = 5
    problems: Annotated[int, Whole(2, 60, words="The number of problems")] = 10
    tiers: tuple[str, ...] = ("1", "2")
    fur: Annotated[int, Whole(0, 200, words="The number of items for FUR")] = 0
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    continued: bool = False

    def __post_init__(self) -> None:
        either(self.continued)
        super().__post_init__()
        if not isinstance(self.tiers, tuple) or not self.tiers or set(self.tiers) - set(RANKED):
            raise UserError(f"Choose at least one of the tiers {', '.join(RANKED)}.", "tiers")
        if self.fur and "1" not in self.tiers:
            raise UserError("FUR is measured on items of tier 1. Add that tier, or set FUR to 0.", "fur")

    def settings(self) -> StudySettings:
        """As the study takes them."""
        from analysis.faithfulness.parts import StudySettings

        return StudySettings(self.seeds, self.problems, self.tiers, self.fur, self.seed, self.continued)


@dataclass(frozen=True)
class FaithEstimate(OfStudy[StudyEstimate]):
    """How long a study would take on this model, before it is begun."""

    def run(self, context: Context) -> StudyEstimate:
        from analysis.faithfulness.board_words import few_seeds
        from analysis.faithfulness.forgetting import TOKENS_UNLEARNED, unlearned
        from analysis.faithfulness.study import estimate_tokens

        loaded = context.model(self.model)
        tokens, items = estimate_tokens(self.settings())
        seconds = 1.5 * tokens * loaded.facts.seconds_per_token + items * 0.1
        if self.fur:
            seconds += unlearned(self.fur) * TOKENS_UNLEARNED * loaded.facts.seconds_per_token
        words = (
            f"about {seconds / 60:.0f} minutes"
            if seconds > 100
            else f"about {max(5, 5 * round(seconds / 5)):.0f} seconds"
        )
        sentence = f"Up to {items} items, {tokens / 1000:,.0f} thousand tokens through the model: {words}."
        sentence += few_seeds(self.seeds) if set(self.tiers) & {"1", "2"} else ""
        return StudyEstimate(sentence, seconds, items)


@dataclass(frozen=True)
class FaithStudy(OfStudy[NewStudy]):
    """Make, certify and score items with this model; the answer names the study that was kept."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True

    def describe(self) -> str:
        return f"Faithfulness of {self.problems} problems, {self.seeds} seeds, tiers {', '.join(self.tiers)}"

    def run(self, context: Context) -> Result:
        from analysis.faithfulness.forgetting import with_fur
        from analysis.faithfulness.parts import Wanted, part_of_study, parts_of
        from analysis.faithfulness.study import joined

        loaded = context.model(self.model)
        settings = self.settings()
        span = 0.7 if self.fur else 1.0
        wanted = [Wanted(tier, seed) for tier, seed in parts_of(settings)]
        told = portion(context.progress, 0.0, span)
        spread = context.spread(loaded)
        parts = list(spread(part_of_study, settings, wanted, progress=told, check=context.check))
        if not any(part.items for part in parts):
            raise UserError(
                f"Nothing could be certified in tier {', '.join(self.tiers)}: this model does not follow the examples, "
                "so there is no item to try a measure on. Under Studies it can be asked for chains of its own, or "
                "measured on rows from a file.",
                "tiers",
            )
        name = f"study-{hash_of([self.to_params(), loaded.facts.fingerprint])[:8]}"
        study = joined(
            parts, settings, _manifest(loaded, f"tiers {', '.join(self.tiers)}, {self.seeds} seeds", "the Studies tab")
        )
        files = keep(study, loaded, name)  # what there is so far is safe before the weights are touched
        without = ""
        if self.fur:
            try:
                study = with_fur(study, loaded, self.fur, portion(context.progress, span, 1.0), context.check)
                files = keep(study, loaded, name)
            except UserError as error:
                without = f" FUR was not measured: {error.message}"
        left = [t for t in self.tiers if not len(study.of(t))]
        sentence = f"Kept as {name}: {len(study.items)} items."
        if left:
            sentence += (
                f" Nothing could be certified in tier {', '.join(left)}: this model does not follow the examples."
            )
        return Result(*to_wire(NewStudy(name, sentence + without, len(study.items))), files=files)


@dataclass(frozen=True)
class FaithOwn(Operation[OwnChains]):
    """Chains that the model writes itself, split into steps and measured; they have no label."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    question: str = ""
    candidates: str = ""
    hint: str = ""
    samples: Annotated[int, Whole(1, 32, words="The number of samples")] = 4
    temperature: Annotated[float, Real(0, 5, words="The temperature")] = 0.7
    tokens: Annotated[int, Whole(8, 1_024, words="The number of tokens")] = 160
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    simulator: str = ""
    plain: bool = False
    continued: bool = False

    def __post_init__(self) -> None:
        either(self.continued)
        from analysis.faithfulness.item import MAX_CANDIDATES

        if not isinstance(self.question, str) or not self.question.strip():
            raise UserError("There is no question. Type one.", "question")
        for name, most in (("question", 8_000), ("hint", 2_000), ("candidates", 2_000), ("simulator", 300)):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > most:
                raise UserError(f"The {name} can have at most {most:,} characters.", name)
            if not _is_text(value):
                raise UserError(f"The {name} has half a character in it (one surrogate). Write it anew.", name)
        count = len(_listed(self.candidates))
        if count > MAX_CANDIDATES:
            raise UserError(f"There are {count} candidate answers. Name at most {MAX_CANDIDATES}.", "candidates")
        super().__post_init__()
        if not isinstance(self.plain, bool):
            raise UserError("The chat template is either used or not.", "plain")

    def describe(self) -> str:
        return f"{self.samples} chains of the model's own"

    def run(self, context: Context) -> Result:
        from analysis.faithfulness.chains import sample_chains

        loaded = context.model(self.model)
        listed = _listed(self.candidates)
        sample = sample_chains(
            loaded, self.question, self.hint, listed, self.samples, self.temperature, self.tokens, self.seed,
            context.check, plain=self.plain, progress=portion(context.progress, 0.0, 0.5, "Writing chains"),
        )  # fmt: skip
        if not sample.items:
            wrote = " ".join(sample.texts[0].split()) if sample.texts else ""
            shown = f" The first one: “{wrote[:400]}{' …' if len(wrote) > 400 else ''}”" if wrote else ""
            raise UserError(
                f"{sample.sentence} Allow more tokens, name the candidate answers, or ask otherwise.{shown}", "question"
            )
        study = scored(context, loaded, sample.items, self.simulator, "own chains", "the model's own chains", 0.5,
                       self.continued)  # fmt: skip
        name = f"own-{hash_of([self.to_params(), loaded.facts.fingerprint])[:8]}"
        files = keep(study, loaded, name)
        rows = tuple(OwnChain(i.id, i.steps, i.answer.strip(), "".join(i.steps)) for i in study.items)
        refused = study.manifest["refused"]
        left = f" {len(refused)} could not be measured: {refused[0][1]}" if refused else ""
        counts = tuple(AnswerCount(a.strip(), n) for a, n in sample.answers)
        answer = OwnChains(name, rows, sample.sentence + left, counts, tuple(sample.texts))
        return Result(*to_wire(answer), files=files)


WRITTEN = 19
"""How many times longer a token takes that is written than one that is read in a pass: 17 tokens/s against 3.1 ms, the
default model on two cores."""
READ = 1_700
"""Tokens that are read to measure one chain of its own, of three to five steps."""


def own_words(samples: Any, tokens: Any, seconds_per_token: float) -> str:
    """What chains of its own take at most, before they are written; "" for numbers that are refused."""
    if type(samples) is not int or type(tokens) is not int or not (1 <= samples <= 32 and 8 <= tokens <= 1_024):
        return ""
    seconds = samples * (tokens * WRITTEN + READ) * seconds_per_token
    return (
        f"At most {samples * tokens:,} tokens are written one by one, and each chain is then read some sixty times "
        f"over: up to about {duration(seconds)} at the speed that this model had when it was loaded."
    )


def either(continued: Any) -> None:
    if not isinstance(continued, bool):
        raise UserError("The published forms are either measured too or not.", "continued")


def _listed(candidates: str) -> tuple[str, ...]:
    """The answers of a list with commas, each once; with semicolons or on lines where an answer has a comma itself.

    Raises UserError(field="candidates") where commas may as well stand within a number: 12,345.
    """
    if re.search(r"[;\n]", candidates):
        parts = re.split(r"[;\n]", candidates)
    elif re.search(r",\s", candidates):
        parts = re.split(r",\s", candidates)
    elif re.search(r"(?<!\d)\d{1,3}(?:,\d{3})+(?!\d)", candidates):
        raise UserError(
            "It cannot be told whether the commas in this list stand between answers or within a number. Write a "
            "semicolon between answers.",
            "candidates",
        )
    else:
        parts = candidates.split(",")
    return tuple(dict.fromkeys(p for part in parts if (p := part.strip().strip(",").strip())))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def scored(
    context: Context,
    loaded: LoadedModel,
    items: tuple[Item, ...],
    simulator: str,
    title: str,
    command: str,
    start: float,
    continued: bool = False,
    rows: bool = False,
    end: float = 1.0,
) -> Any:
    """A study of given items, measured one by one; ``simulator``: a second model's name, or "" for none; ``continued``:
    by the published forms that let the model write on, too; ``rows``: by the baselines of rows from outside, too;
    ``start`` and ``end``: the part of the progress that it is."""
    from analysis.faithfulness.parts import Scores, Scoring, chosen, in_shards, scores_of_items
    from analysis.faithfulness.study import score_items

    second, fingerprint, words = None, "", "Simulatability needs a second model; none was given."
    if simulator.strip():
        second = ModelSpec(simulator.strip())
        try:
            facts = context.model(second).facts
        except UserError as error:
            raise UserError(error.message, "simulator") from error
        fingerprint, words = facts.fingerprint, f"The simulator is {facts.label}."
    spread = context.spread(loaded)

    def score(readable: tuple[Item, ...]) -> Scores:
        shards = in_shards(readable, spread.hands)
        told = portion(context.progress, start, end)
        scoring = Scoring(continued, rows, second, fingerprint, "Scoring")
        parts = list(spread(scores_of_items, scoring, shards, progress=told, check=context.check))
        return Scores.joined(parts, [len(shard.items) for shard in shards])

    manifest = _manifest(loaded, title, command) | {"simulator": words}
    return score_items(
        reader_for(context, loaded), items, manifest, None, measures=chosen(continued, rows), score=score
    )


def keep(study: Any, loaded: LoadedModel, name: str) -> tuple[str, ...]:
    """Draw up the leaderboard and write the study to the data folder; the files' names."""
    from analysis.faithfulness.board import board
    from analysis.faithfulness.library import place, save_study

    study.manifest["board"] = board(study)
    path = place(loaded.facts.fingerprint, name)
    save_study(study, path)
    return names_of(*pair_files(path))


def _manifest(loaded: LoadedModel, title: str, command: str) -> dict[str, Any]:
    facts = loaded.facts
    return {
        "fingerprint": facts.fingerprint,
        "model": facts.label,
        "parameters": facts.parameters,
        "title": title,
        "command": command,
    }
