"""*Make it a contrast* on prompts of five kinds: how many give a fit beyond its null, how many are refused, and why.

``python -m benchmarks.made_contrasts --study FILE`` asks six prompts of each kind of :mod:`benchmarks.token_heads`, one
line of FILE each, and goes on where FILE ends; ``--table FILE`` prints what stands there. The query is the last token.
Three ways to come to a pair: *looks*, the word that the kind names and the head that gives it most attention; *opens*,
the head that the page opens on, the one that matters most for the next token, and the key that it looks at; *drawn*,
the word that the kind names and a head at random, which is what refusals are for. The figures stand in
docs/attention.md.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.models.first_order import estimated_falls
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.models.trace import Trace, trace_prompt
from analysis.qk.contrasts.kinds import OptionValue
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contributions import pair_heads
from analysis.qk.evidence import head_evidence, subspace_of
from analysis.qk.library import fit_from
from analysis.qk.ops.contrast import MakeContrast
from analysis.qk.ops.features import FitContrast, fit_of
from analysis.qk.subspace import QKSubspace, principal_cosines, random_basis
from benchmarks.token_heads import CAPITALS, KINDS, Asked

PROMPTS = 6
ARMS = ("looks", "drawn", "opens")
DRAWS = 50
BEYOND = 4.0
"""Standard deviations of the null, as the page's verdict has it."""


def key_of(kind: str, asked: Asked) -> str:
    """The word that the answer hangs on."""
    if kind == "capital of":
        return next(country for country, city in CAPITALS.items() if f" {city}" == asked.right)
    if kind == "greater than":
        return asked.prompt.split(" year ")[1][2]
    return asked.right.strip()


def position_of(tokenizer: Any, ids: Sequence[int], kind: str, word: str) -> int:
    """The first token that is the word; of a year, its third digit."""
    texts = [tokenizer.decode([i]).strip() for i in ids]
    if kind == "greater than":
        return next(i for i, text in enumerate(texts) if text.isdigit()) + 2
    return texts.index(word)


def pair_of(loaded: LoadedModel, trace: Trace, kind: str, arm: str, key: int, number: int) -> tuple[int, int, int]:
    """Layer, head and key of one way to come to a pair."""
    query, size = len(trace.ids) - 1, (loaded.facts.layers, loaded.facts.heads)
    if arm == "looks":
        pairs = torch.nan_to_num(pair_heads(trace, query, key, *size))
        return *divmod(int(pairs.argmax()), size[1]), key
    if arm == "drawn":
        return *divmod(random.Random(f"{kind} {number} head").randrange(size[0] * size[1]), size[1]), key  # noqa: S311
    falls = estimated_falls(loaded, trace.ids, int(trace.next_logits.argmax()), None, "mean")[0]
    layer, head = divmod(int(torch.nan_to_num(falls, -torch.inf).argmax()), size[1])
    row = trace.row(layer, head, query)[1].clone()
    row[0] = row[query] = -1
    return layer, head, int(row.argmax())


def line_of(context: Context, kind: str, number: int, arm: str) -> dict[str, Any]:
    """What one prompt gives."""
    asked = KINDS[kind](random.Random(f"{kind} {number}"))  # noqa: S311
    spec, loaded = ModelSpec(), context.model(ModelSpec())
    ids = loaded.tokenizer(asked.prompt)["input_ids"]
    line: dict[str, Any] = {"kind": kind, "number": number, "arm": arm, "prompt": asked.prompt}
    try:
        key = position_of(loaded.tokenizer, ids, kind, key_of(kind, asked))
    except ValueError:
        return line | {"refused": "The key is several tokens.", "at": "the key"}
    trace, _ = trace_prompt(loaded, ids, False)
    layer, head, key = pair_of(loaded, trace, kind, arm, key, number)
    attention = float(trace.row(layer, head, len(ids) - 1)[1][key])
    line |= {"key": key, "layer": layer, "head": head, "attention": attention}
    began = time.perf_counter()
    try:
        made = MakeContrast(spec, asked.prompt, layer=layer, head=head, query=len(ids) - 1, key=key).run(context)
    except UserError as error:
        return line | {"refused": error.message, "at": "the prompt", "seconds": time.perf_counter() - began}
    check = made.check
    line |= {"template": made.template, "shuffle": made.shuffle, "copied": made.copied, "wins": check.wins,
             "chance": check.chance, "moved": [check.moved_key, check.moved_other], "copies": check.copies}  # fmt: skip
    if check.refused:
        return line | {"refused": check.refused, "at": "the drawn examples", "seconds": time.perf_counter() - began}
    options: dict[str, OptionValue] = {
        "template": made.template,
        "word_lists": made.word_lists,
        "shuffle": made.shuffle,
    }
    fit = fit_from(FitContrast(spec, ContrastSpec("template", options=options)).run(context))
    line |= {"seconds": time.perf_counter() - began}
    facts = head_evidence(fit, layer, head)
    assert facts.trace_null_mean is not None and facts.trace_null_sd is not None
    line |= {
        "z": (facts.trace - facts.trace_null_mean) / facts.trace_null_sd,
        "above": facts.above_null,
        "rank": facts.rank,
        "matching": facts.attention_positive,
        "other": facts.attention_negative,
        "verdict": facts.verdict,
    }
    if kind in ("induction", "copying"):
        usual = subspace_of(fit_of(context, spec, ContrastSpec("induction")), layer, head)
        line["with induction"] = shared(subspace_of(fit, layer, head), usual)
    return line


def shared(made: QKSubspace, usual: QKSubspace) -> dict[str, float]:
    """Mean principal cosine of the key subspaces, and of random ones of the same ranks."""
    rank = min(made.rank, usual.rank)
    width = made.key_basis.shape[0]
    generator = torch.Generator().manual_seed(0)

    def mean(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(principal_cosines(a, b)[:rank].mean())

    chance = [mean(random_basis(width, made.rank, generator), usual.key_basis) for _ in range(DRAWS)]
    return {"cosine": mean(made.key_basis, usual.key_basis), "chance": float(np.mean(chance)),
            "most": float(np.max(chance)), "rank": float(made.rank), "of": float(usual.rank)}  # fmt: skip


def study(path: Path, arms: Sequence[str] = ARMS) -> None:
    """Ask every prompt of these arms that has no line yet; a last line that was cut off is written again."""
    context, lines = Context(), read(path)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = {(line["arm"], line["kind"], line["number"]) for line in lines}
    with path.open("a", encoding="utf-8") as file:
        for arm, number, kind in product(arms, range(PROMPTS), KINDS):
            if (arm, kind, number) not in done:
                file.write(json.dumps(line_of(context, kind, number, arm)) + "\n")
                file.flush()


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a study."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def table(lines: Sequence[dict[str, Any]]) -> list[str]:
    """One line per way and kind, and the refusals in their words."""
    out = []
    for arm, kind in product(ARMS, KINDS):
        rows = [line for line in lines if (line["arm"], line["kind"]) == (arm, kind)]
        fitted = [line for line in rows if "z" in line]
        beyond = [line for line in fitted if line["z"] > BEYOND]
        words = Counter(line["at"] for line in rows if "refused" in line)
        text = f"{arm}, {kind}: {len(rows)} prompts, {len(fitted)} fitted, {len(beyond)} beyond the null"
        if fitted:
            text += f" (z {min(x['z'] for x in fitted):.1f} to {max(x['z'] for x in fitted):.1f}), "
            text += f"{sum(x['shuffle'] for x in fitted)} with words that change places, "
            text += (
                f"wins {np.mean([x['wins'] for x in fitted]):.2f} (chance {np.mean([x['chance'] for x in fitted]):.2f})"
            )
            with_induction = [x["with induction"] for x in fitted if "with induction" in x]
            if with_induction:
                means = {n: np.mean([w[n] for w in with_induction]) for n in ("cosine", "chance", "most")}
                text += ", key subspace with induction's: cosine " + ", ".join(f"{n} {v:.2f}" for n, v in means.items())
        seconds = [x["seconds"] for x in rows if "seconds" in x]
        out.append(f"{text}; refused at {dict(words)}; seconds up to {max(seconds, default=0):.0f}")
        out += [f"  {line['number']}: {line['refused']}" for line in rows if "refused" in line]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Prompts made into contrasts")
    parser.add_argument("--study", type=Path, help="ask the prompts that have no line in this file yet")
    parser.add_argument("--table", type=Path, help="print what stands in this file")
    parser.add_argument("--arm", choices=ARMS, action="append", help="only this way to come to a pair")
    asked = parser.parse_args()
    if asked.study is not None:
        study(asked.study, asked.arm or ARMS)
    if path := asked.table or asked.study:
        print("\n".join(table(read(path))))


if __name__ == "__main__":
    main()
