"""The fits of regions of the default model, about 25 minutes on four cores.

Activations of the bundled corpus are collected once for all blocks; each fit is written as soon as it is made, and one
that is there is left alone, so that the command may be stopped at any point. The study of themes (--shares) asks
whether steered texts speak of their theme, that of the bridge (--bridge) whether steering acts through attention
patterns, values or MLPs; both go on where they were stopped as well.
"""

from __future__ import annotations

import argparse
import json

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.corpora.passages import bundled_corpus
from analysis.corpora.text_source import TextSource
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.mfa import bridge
from analysis.mfa.library import BUNDLED, open_fit, save_fit
from analysis.mfa.pipeline import Wanted, described, fit_store
from analysis.mfa.theme_shares import measured, write_table
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.progress import Progress, portion

TOKENS = 290_000
FITS = {"block-10": (10, 512, 8), "block-15": (15, 192, 8), "block-20": (20, 192, 8)}
"""By name: block, regions K, local factors R. A third, half and two thirds of the default model's 30 blocks."""


THEMES, SEEDS = 20, 4
"""Of the study of themes: how many of the largest, and texts for each prompt."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--describe", action="store_true", help="survey and name the fits that are there, unchanged")
    kind.add_argument("--bridge", action="store_true", help="measure through what steering acts, instead of fits")
    kind.add_argument("--shares", action="store_true", help="write the texts of the study of themes instead of fits")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"texts for each prompt of the study (default {SEEDS})"
    )


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Make the fits that are missing, or the table of the study of themes."""
    if options.shares:
        if options.seeds < 1:
            raise UserError("The study needs at least one text for each prompt.", "seeds")
        fit, loaded = open_fit(Memory(), next(iter(FITS))), load_model("default")
        table = measured(loaded, bundled_corpus(), fit, THEMES, options.seeds, progress)
        write_table(BUNDLED / "theme-shares.json", table)
        return
    if options.bridge:
        fit, loaded = open_fit(Memory(), next(iter(FITS))), load_model("default")
        shares = json.loads((BUNDLED / "theme-shares.json").read_text("utf-8"))
        if shares["sha256"] != fit.manifest["sha256"]:
            raise UserError("The table of the study of themes is of another fit. Make it again with --shares.", "fit")
        chosen = {row["theme"]: row["region"] for row in shares["rows"]}
        write_table(BUNDLED / "bridge.json", bridge.measured(loaded, fit, chosen, progress))
        return
    loaded, passages = load_model("default"), bundled_corpus()
    sites = [Site(layer) for layer, _, _ in FITS.values()]
    store = collect(loaded, passages, sites, max_tokens=TOKENS, window=WINDOW, progress=progress)
    for name, (layer, regions, factors) in FITS.items():
        wanted, told = Wanted(Site(layer), TOKENS, regions, factors), portion(progress, prefix=f"{name}: ")
        if (BUNDLED / f"{name}.json").is_file():
            if not options.describe:
                continue
            old = open_fit(Memory(), name)
            rows = int(old.manifest["rows"])
            fit = described(loaded, passages, store, wanted, old.parameters, old.mean, rows, told)
            fit.manifest = old.manifest | fit.manifest
        else:
            fit = fit_store(loaded, passages, store, wanted, told)
        fit.name = name
        fit.manifest |= {
            "source": TextSource().to_dict(),
            "model_spec": ModelSpec().to_dict(),
            "noise_model": "shared",
            "command": "python -m analysis.build mfa",
            "first": name == next(iter(FITS)),
        }
        save_fit(fit, passages, BUNDLED, half=True)
