"""Many texts of one question: several seeds of the unsteered and the steered model and of controls at the set-up's KL.

One text is luck. A control of equal norm may be weaker or stronger than the region, so each is brought to the KL that
the set-up has at the next token after the prompt; and since one random region may happen to be near the theme, several
are drawn, and take turns over the seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from analysis.corpora.themes import themes
from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Real, Whole
from analysis.mfa.answers.samples import Push, SampleArm, Samples, SampleText, Subject
from analysis.mfa.ops.control import check_sentences, difference, largest_scale
from analysis.mfa.ops.steer import Seed, UnderSteering
from analysis.mfa.settings import SteeringSettings
from analysis.steering.answers import WrittenText
from analysis.steering.prompt import ReadPrompt

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import Intervention

Made = Callable[[float], list["Intervention"]]
DRAWS = 4
"""Random regions, and random directions, that take turns over the seeds."""
ROWS = 32
"""Texts in one batch at most; further seeds are written after them."""
WORDS = 8
"""Tokens of a region without a theme that are counted."""


@dataclass(frozen=True)
class SteerSamples(UnderSteering[Samples]):
    """Texts of several seeds: unsteered, steered, random regions and random directions, and with sentences their
    difference of means, the controls at the KL of the set-up. Written in batches, streamed as they come."""

    kind: ClassVar[Kind] = "stream"
    samples: Annotated[int, Whole(2, 16, words="The number of seeds")] = 8
    count: Annotated[int, Whole(1, 400, words="The number of tokens")] = 40
    temperature: Annotated[float, Real(0.0, 2.0, words="The temperature")] = 0.7
    top_p: Annotated[float, Real(0.05, 1.0, words="Top-p")] = 0.95
    seed: Seed = 0
    positive: str = ""
    negative: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sentences(self.positive, self.negative)
        if not self.temperature:
            raise UserError(
                "At temperature 0 every seed writes the same text. Set a temperature above 0.", "temperature"
            )
        if self.steer.idle:
            raise UserError("No slider is moved, so there is nothing to compare. Move one first.", "steer")

    def run(self, context: Context) -> Samples:
        from analysis.mfa.steering import interventions_of
        from analysis.steering.calibrate import kl_divergence
        from analysis.steering.writing import Writer

        loaded, fit, prompt = self.prepared(context)
        steered = interventions_of(self.steer, fit)
        own = kl_divergence(prompt.base, prompt.cache.next_logits(steered))
        arms: list[tuple[str, str, list[Push], list[list[Intervention]]]] = [
            ("base", "Unsteered", [], [[]]),
            ("steered", "Steered", [Push("the set-up", 1.0, own, True)], [steered]),
        ]
        left_out = []
        for name, title, draws in self._controls(context, loaded, fit):
            found = [self._at_kl(context, prompt, note, made, own) for note, made in draws]
            if any(made for _, made in found):
                arms.append((name, title, [push for push, _ in found], [made for _, made in found]))
            else:  # without its local factors nothing of the set-up is left: doing nothing is no control
                left_out.append(title)
        seeds = [self.seed + n for n in range(self.samples)]
        context.line(samples={"arms": [[name, title] for name, title, _, _ in arms], "seeds": seeds})
        writer = Writer(context, loaded, prompt.ids, self, self.model)
        written: dict[str, WrittenText] = {}
        together = max(1, ROWS // len(arms))
        for first in range(0, self.samples, together):
            places = range(first, min(first + together, self.samples))
            written |= writer.write_seeds(
                {f"{name}-{n}": (seeds[n], pushes[n % len(pushes)]) for n in places for name, _, _, pushes in arms}
            )
        total = len(arms) * self.samples
        return Samples(
            label=", ".join(fit.label(r.region) for r in self.steer.regions if not r.idle) or "steering vectors",
            subject=subject_of(loaded, fit, self.steer),
            seeds=tuple(seeds),
            arms=tuple(
                SampleArm(
                    name,
                    title,
                    tuple(pushes),
                    tuple(_sample(written[key], context.ended(key)) for key in (f"{name}-{n}" for n in places)),
                )
                for name, title, pushes, _ in arms
            ),
            left_out=tuple(left_out),
            rate=writer.rate,
            sentence=f"{total} texts of up to {self.count} tokens, {writer.rate:.1f} tokens a second.",
            done=True,
        )

    def _controls(
        self, context: Context, loaded: LoadedModel, fit: RegionSet
    ) -> list[tuple[str, str, list[tuple[str, Made]]]]:
        """The controls: name, title, and for each draw what it is and how it is made at a scale of the strengths."""
        from analysis.mfa.steering import direction_like, random_direction, random_region

        steer, draws = self.steer, range(self.seed, self.seed + min(DRAWS, self.samples))
        regions: list[tuple[str, Made]] = []
        enough = len(fit.usable) >= 2 * len(steer.regions)
        if enough and any(r.strength for r in steer.regions):
            for draw in draws:
                drawn = random_region(steer, fit, draw)[1]
                note = ", ".join(f"{k}: {fit.label(k)}" for k in drawn)
                regions.append((note, lambda scale, draw=draw: random_region(steer, fit, draw, scale)[0]))  # type: ignore[misc]
        directions: list[tuple[str, Made]] = [
            (f"seed {draw}", lambda scale, draw=draw: random_direction(steer, fit, draw, scale))  # type: ignore[misc]
            for draw in draws
        ]
        arms = [("region", "Random region", regions), ("direction", "Random direction", directions)]
        if self.positive.strip():
            vector = difference(context, loaded, fit, self.positive, self.negative)
            means: list[tuple[str, Made]] = [
                ("your two sets of sentences", lambda scale: direction_like(steer, fit, vector, scale))
            ]
            arms.append(("means", "Difference of means", means))
        return arms

    def _at_kl(
        self, context: Context, prompt: ReadPrompt, note: str, made: Made, target: float
    ) -> tuple[Push, list[Intervention]]:
        """A control at the scale at which the next token costs ``target``; at the set-up's own strengths where that
        is nothing, as with steering that begins after the prompt."""
        from analysis.steering.calibrate import kl_divergence, strength_for_kl

        def price(scale: float) -> float:
            context.check()
            return kl_divergence(prompt.base, prompt.cache.next_logits(made(scale)))

        if not made(1.0):
            return Push(note, 0.0, 0.0, False), []
        if target < 1e-6:
            return Push(note, 1.0, price(1.0), True), made(1.0)
        nearest = strength_for_kl(price, target, high=largest_scale(self.steer))
        return Push(note, nearest.strength, nearest.kl, nearest.met), made(nearest.strength)


def subject_of(loaded: LoadedModel, fit: RegionSet, steer: SteeringSettings) -> Subject:
    """The words of the themes of the regions that are moved; where one bears none, tokens that stand out in it."""
    from analysis.models.prompts import token_labels

    listed = {theme.key: theme for theme in themes()}
    names: list[str] = []
    words: list[str] = []
    all_listed = True
    for region in (r.region for r in steer.regions if not r.idle):
        row = fit.manifest["regions"][region]
        theme = listed.get(row["theme"]) if row["character"] == "theme" else None
        if theme is not None:
            names.append(theme.name)
            words += theme.words
            continue
        all_listed = False
        lifted = fit.arrays["lifted"][region].tolist() if "lifted" in fit.arrays else []
        labels = token_labels(loaded.tokenizer, [i for i in lifted if i >= 0])
        whole = [w.strip() for w in labels if w[:1] == " " and len(w) > 3 and w.strip().isalpha()]
        names.append(fit.label(region))
        words += whole[:WORDS]
    return Subject(", ".join(dict.fromkeys(names)), tuple(dict.fromkeys(words)), all_listed and bool(words))


def _sample(text: WrittenText, ended: bool) -> SampleText:
    return SampleText(text.ids, text.text, text.mean_kl, text.perplexity, text.repetition, ended or None)
