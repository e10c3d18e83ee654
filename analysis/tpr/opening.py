"""Open probes of others for a model: from files to a set on the shelf, scored as one's own are.

A set of others belongs to the weights that it was opened for, stands beside the model's own, and all its probes read
one place of a block. How well they read is measured on the games that one's own are tested on, so that a file for
another model, another block or another order of classes shows at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.progress import Check, no_check
from analysis.tpr import scores
from analysis.tpr.activations import PROBE_SEED, Boards, collect_at
from analysis.tpr.answers.model import SITE_TITLES, ProbesOpened
from analysis.tpr.library import PROBE_SETS, new_set, title_of
from analysis.tpr.others import OtherProbe, read_probe
from analysis.tpr.pipeline import constant_baseline, scored
from analysis.tpr.room import Room

TEST_GAMES = 100
MAX_PROBES = 64


@dataclass(frozen=True)
class Reading:
    """What the user says of the files, where they do not say it: block and site (None: as the file says), the number of
    a linear probe among several, whether they were trained on a centred stream, the labels."""

    layer: int | None = None
    site: str | None = None
    mode: int = 0
    centred: bool = False
    labels: str = "parity"


def open_probes(
    room: Room, files: Sequence[tuple[str, bytes]], reading: Reading, check: Check = no_check
) -> ProbesOpened:
    """Read, check, score and keep the probes of ``files`` (name, bytes) as a new set for a room's model.

    Raises UserError(field="probes"): a file that is none, two of one block and kind, another width, a block that is not
    there or not named, two sites.
    """
    if not files:
        raise UserError("Choose at least one file of probes.", "probes")
    if len(files) > MAX_PROBES:
        raise UserError(f"At most {MAX_PROBES} files of probes are opened together.", "probes")
    others = [(name, read_probe(name, body, mode=reading.mode, centred=reading.centred)) for name, body in files]
    site = _site(others, reading.site)
    probes = new_set(room.fingerprint)
    for name, other in others:
        layer = _layer(room, name, other, reading.layer)
        if probes.find(other.kind, layer, reading.labels) is not None:
            raise UserError(f"{name} is a second {other.kind} probe of block {layer}. Open them one by one.", "probes")
        probes.add(other.kind, layer, reading.labels, other.probe, accuracy=0.0, macro_f1=0.0, site=site)
    boards = collect_at(room.loaded, TEST_GAMES, PROBE_SEED + 1, site, check=check)
    truth = boards.labels(reading.labels)  # type: ignore[arg-type]
    swapped = []
    for row in probes.manifest["rows"]:
        check()
        probe = probes.probe(row["kind"], row["layer"], reading.labels)
        h = boards.layer(row["layer"])
        row.update(scored(probe, h, truth), seconds=0.0, parameters=probe.parameter_count(), games=0)
        # The two colours the other way round is the one mistake that leaves a probe good: say so.
        swapped.append(scores.accuracy((3 - probe.predict(h)) % 3, truth) - row["accuracy"])
    name = _free_name(files[0][0])
    probes.manifest |= {
        "site": site,
        "others": ", ".join(n for n, _ in files[:4])[:300] + (" …" if len(files) > 4 else ""),
        "test_games": TEST_GAMES,
        "constant": constant_baseline(boards, boards, reading.labels),  # type: ignore[arg-type]
    }
    PROBE_SETS.save(PROBE_SETS.own() / name, probes.arrays, probes.manifest)
    return ProbesOpened(name, _sentence(probes.manifest, site, swapped, boards))


def _site(others: Sequence[tuple[str, OtherProbe]], given: str | None) -> str:
    """The one place that all probes read: what the files say, or else what the user says, or else after the block."""
    sites = {other.site or given or "resid_post" for _, other in others}
    if len(sites) > 1:
        raise UserError(f"These probes read different places ({', '.join(sorted(sites))}). Open them apart.", "probes")
    site = sites.pop()
    if given is not None and given != site:
        raise UserError(
            f"The file says that its probe reads {site}, and not {given}. Choose “as the file says”.", "probes"
        )
    return site


def _layer(room: Room, name: str, other: OtherProbe, given: int | None) -> int:
    layer = other.layer if other.layer is not None else given
    if layer is None:
        raise UserError(f"{name} does not say which block it reads. Give the block beside the button.", "probes")
    if given is not None and given != layer:
        raise UserError(f"{name} says that it reads block {layer}, and not {given}. Leave the block open.", "probes")
    if layer >= room.layers:
        raise UserError(f"{name} reads block {layer}; this model has blocks 0 to {room.layers - 1}.", "probes")
    width = room.loaded.facts.hidden
    if other.probe.width != width:
        raise UserError(
            f"{name} reads vectors of width {other.probe.width}; {room.source.label} has width {width}. It is a probe "
            "of another model: open that one first.",
            "probes",
        )
    return layer


def _free_name(file: str) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", file.rpartition(".")[0].lower() or file.lower()).strip("-")[:40]
    stem = f"opened-{stem or 'probes'}"
    names = (stem, *(f"{stem}-{n}" for n in range(2, 10_000)))
    return next(name for name in names if PROBE_SETS.find(name) is None)


def _sentence(manifest: dict[str, Any], site: str, swapped: Sequence[float], boards: Boards) -> str:
    rows = manifest["rows"]
    best = max(rows, key=lambda r: r["accuracy"])
    text = (
        f"Opened {len(rows)} probe{'s' if len(rows) > 1 else ''} of the {SITE_TITLES[site]}. On {TEST_GAMES} games "
        f"({len(boards.plies):,} positions) the best, {title_of(best)} at block {best['layer']}, reads "
        f"{best['accuracy']:.2%} of squares rightly; the most common class of each square and ply is right on "
        f"{manifest['constant']:.2%}."
    )
    if max(swapped) > 0.05:
        return (
            f"{text} With its two colours exchanged it would read {max(swapped):.0%} more: its classes seem to come in "
            "another order than empty, just moved, to move."
        )
    if best["accuracy"] <= manifest["constant"]:
        return f"{text} That is no better than knowing no game: it may belong to another model, block or place."
    return text
