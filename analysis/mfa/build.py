"""Make the fits that come with Attune: ``python -m analysis.mfa.build``, about 25 minutes on four cores.

Activations of the bundled corpus are collected once for all blocks; each fit is written as soon as it is made, and one
that is there is left alone. With ``--describe``, fits that are there are surveyed and named anew, not fitted.
"""

from __future__ import annotations

import sys

from analysis.activations.collect import collect
from analysis.corpora.passages import bundled_corpus
from analysis.corpora.text_source import TextSource
from analysis.mfa.library import BUNDLED, Opened, open_fit, save_fit
from analysis.mfa.pipeline import WINDOW, Wanted, described, fit_store
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec

TOKENS = 290_000
FITS = {"block-10": (10, 512, 8), "block-15": (15, 192, 8), "block-20": (20, 192, 8)}
"""By name: block, regions K, local factors R. A third, half and two thirds of the default model's 30 blocks."""


def main() -> None:
    """Make the fits that are missing."""
    loaded, passages = load_model("default"), bundled_corpus()
    sites = [Site(layer) for layer, _, _ in FITS.values()]

    def say(share: float, text: str, **_facts: object) -> None:
        sys.stderr.write(f"{share:.3f} {text}\n")

    store = collect(loaded, passages, sites, max_tokens=TOKENS, window=WINDOW, progress=say)
    for name, (layer, regions, factors) in FITS.items():
        wanted = Wanted(Site(layer), TOKENS, regions, factors)
        if (BUNDLED / f"{name}.json").is_file():
            if "--describe" not in sys.argv:
                continue
            old = open_fit(Opened(), name)
            rows = int(old.manifest["rows"])
            fit = described(loaded, passages, store, wanted, old.parameters, old.mean, rows, say)
            fit.manifest = old.manifest | fit.manifest
        else:
            fit = fit_store(loaded, passages, store, wanted, say)
        fit.name = name
        fit.manifest |= {
            "source": TextSource().to_dict(),
            "model_spec": ModelSpec().to_dict(),
            "noise_model": "shared",
            "command": "python -m analysis.mfa.build",
            "first": name == next(iter(FITS)),
        }
        save_fit(fit, passages, BUNDLED, half=True)


if __name__ == "__main__":
    main()
