"""The factorizations of the default model, and the table that compares their features with baselines.

Activations of the bundled corpus are collected once for all blocks of both. Each result is written as soon as it is
made, and what is there is left alone, so that the command may be stopped at any point.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage, bundled_corpus
from analysis.corpora.text_source import TextSource
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.progress import Progress, portion
from analysis.snmf.baselines import mean_differences, random_sparse, shuffled_neurons, singular_directions
from analysis.snmf.detection import HeldOutScores, Rows, held_out, passage_scores, pick_for_themes, rows_of
from analysis.snmf.learning import Learned, Wanted, learn
from analysis.snmf.library import BUNDLED, Factorization, open_factorization, save_factorization
from analysis.snmf.pipeline import divide, factorize_store, finished
from analysis.snmf.reading import codes

TOKENS, FITTED = 80_000, 40_000
LAYERS = (0, 6, 12, 18, 20, 24, 25, 28)
"""Blocks whose activations are collected, for both kinds of work at once."""
TABLE = (0, 6, 12, 18, 24, 28)
FITS = {
    "block-25": Wanted(Site(25, "mlp_hidden"), FITTED, 200, levels=(200, 100, 50), held_out=FITTED),
    "block-28": Wanted(Site(28, "mlp_hidden"), FITTED, 100, held_out=FITTED),
    "block-20": Wanted(Site(20, "mlp_hidden"), FITTED, 100, held_out=FITTED),
}
"""By name: what is made. The first is the one to open on."""
COMMAND = "python -m analysis.build snmf"
_ROW = ("score", "score_low", "score_high", "auc", "auc_low", "auc_high")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    parser.add_argument(
        "fits", nargs="*", metavar="FIT", help=f"which factorizations: {', '.join(FITS)} (default: all)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--describe", action="store_true", help="describe and score those that are there, unchanged")
    kind.add_argument("--detection", action="store_true", help="make the table instead of factorizations")


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Make what is missing. Raises UserError for a name that is none of FITS."""
    unknown = [name for name in options.fits if name not in FITS]
    if unknown:
        raise UserError(f"There is no factorization {unknown[0]!r}. Choose from {', '.join(FITS)}.", "fits")
    loaded, passages = load_model("default"), bundled_corpus()
    sites = [Site(layer, "mlp_hidden") for layer in LAYERS]
    store = collect(loaded, passages, sites, max_tokens=TOKENS, window=WINDOW, progress=progress)
    if options.detection:
        write_table(loaded, passages, store, progress)
        return
    for name in options.fits or FITS:
        wanted, told = FITS[name], portion(progress, prefix=f"{name}: ")
        if (BUNDLED / f"{name}.json").is_file():
            if not options.describe:
                continue
            fit = again(loaded, passages, store, wanted, name, told)
        else:
            fit = factorize_store(loaded, passages, store, wanted, told)
        fit.name = name
        fit.manifest |= {
            "source": TextSource().to_dict(),
            "model_spec": ModelSpec().to_dict(),
            "command": COMMAND,
            "first": name == next(iter(FITS)),
        }
        save_factorization(fit, passages, BUNDLED)


def again(
    loaded: LoadedModel,
    passages: list[Passage],
    store: ActivationStore,
    wanted: Wanted,
    name: str,
    progress: Progress,
) -> Factorization:
    """Describe and score a factorization that is there anew; its features are not fitted again."""
    old = open_factorization(Memory(), name)
    m = old.manifest
    x = store.read(wanted.site, divide(store, passages, wanted)[0])
    learned = Learned(old.levels, codes(old.components, x), m["explained"], m["n_iter"], m["curve"])
    return finished(loaded, passages, store, wanted, learned, m["fit_seconds"], progress)


def write_table(loaded: LoadedModel, passages: list[Passage], store: ActivationStore, progress: Progress) -> None:
    """Score features and baselines at the blocks of the table that are not in it yet, and write it after each."""
    path = BUNDLED / "detection.json"
    rows: list[dict[str, Any]] = []
    if path.is_file():
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    for layer in TABLE:
        if any(row["layer"] == layer for row in rows):
            continue
        wanted = Wanted(Site(layer, "mlp_hidden"), FITTED, 100, held_out=FITTED)
        rows += layer_rows(passages, store, wanted, portion(progress, prefix=f"block {layer}: "))
        table = {
            "model": loaded.facts.label,
            "model_spec": ModelSpec().to_dict(),
            "command": f"{COMMAND} --detection",
            "rows": sorted(rows, key=lambda r: TABLE.index(r["layer"])),
            "sentence": f"{sentence(passages, store, wanted)} {verdict(rows)}",
        }
        BUNDLED.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def layer_rows(
    passages: list[Passage], store: ActivationStore, wanted: Wanted, progress: Progress
) -> list[dict[str, Any]]:
    """The rows of one block: each method picks a direction for each theme on the fitted passages, and is scored on
    passages that were held out."""
    names = sorted({p.theme for p in passages})
    fitted, held = halves(passages, store, wanted, names)
    components = learn(fitted.x, replace(wanted, levels=()), progress).levels[0].components
    theme = torch.as_tensor(fitted.theme_of_row)
    directions = {
        "SNMF": components,
        "single neurons": None,
        "SVD": singular_directions(fitted.x, len(components)),
        "DiffMean (supervised)": mean_differences(fitted.x, theme, len(names)),
        "random sparse": random_sparse(components, len(components), wanted.seed),
        "shuffled neurons": shuffled_neurons(components, wanted.seed),
    }
    rows = []
    for method, made in directions.items():
        progress(1.0, f"scoring {method}")
        scores = scored(fitted, held, made, len(names), supervised=method.startswith("DiffMean"))
        means = float(np.nanmean(scores.score)), float(np.nanmean(scores.auc))
        numbers = (means[0], *scores.score_interval, means[1], *scores.auc_interval)
        plain = {key: round(v, 4) for key, v in zip(_ROW, numbers, strict=True)}
        count = 2 * fitted.x.shape[1] if made is None else len(made)
        rows.append({"layer": wanted.site.layer, "method": method, "candidates": count, **plain})
    return rows


def halves(passages: list[Passage], store: ActivationStore, wanted: Wanted, names: list[str]) -> tuple[Rows, Rows]:
    """The fitted rows of a store, and those of passages held out."""
    _, documents, _ = store.index()
    code = [names.index(p.theme) for p in passages]
    fitted, held = (rows_of(store.read(wanted.site, m), documents[m], code) for m in divide(store, passages, wanted))
    return fitted, held


def scored(
    fitted: Rows, held: Rows, directions: torch.Tensor | None, themes: int, supervised: bool = False
) -> HeldOutScores:
    """Pick on the fitted passages (unless there is one direction for each theme already), score on the held-out."""
    if supervised:
        pick = np.arange(themes)
    else:
        pick = pick_for_themes(passage_scores(fitted, directions), fitted.theme, themes)
    return held_out(passage_scores(held, directions), held.theme, pick)


def sentence(passages: list[Passage], store: ActivationStore, wanted: Wanted) -> str:
    """What the table is, in words."""
    _, documents, _ = store.index()
    mine, fresh = (len(documents[m].unique()) for m in divide(store, passages, wanted))
    themes = len({p.theme for p in passages})
    return (
        f"For each of {themes} themes a direction is picked on the {mine} passages of the fit (largest area under "
        f"the ROC curve) and scored on {fresh} passages that were held out, by its largest cosine with a token. The "
        "score is ln(mean on the theme / mean elsewhere); it is inflated where the mean elsewhere is near zero, as it "
        "is for single neurons, so read the area (AUC) beside it. SVD has twice as many candidates as SNMF, for both "
        "signs; single neurons have all neurons in both signs; DiffMean knows the labels. Intervals: 95 %, passages "
        "and themes drawn again."
    )


def verdict(rows: list[dict[str, Any]]) -> str:
    """Where features do better than chance, and than single neurons, in words, from the areas of the table."""
    area = {(row["layer"], row["method"]): row["auc"] for row in rows}
    layers = [layer for layer in TABLE if (layer, "SNMF") in area]

    def above(*others: str) -> str:
        ahead = [str(n) for n in layers if all(area[n, "SNMF"] > area[n, other] for other in others)]
        return ("at block " if len(ahead) == 1 else "at blocks ") + ", ".join(ahead) if ahead else "at no block"

    chance, neurons = above("random sparse", "shuffled neurons"), above("single neurons")
    return (
        f"Of blocks {', '.join(map(str, layers))}: by area, features are above random sparse directions and shuffled "
        f"neurons {chance}, and above the best single neurons {neurons}."
    )
