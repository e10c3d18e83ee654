"""The shared pieces of a TPR probe as the page draws them: roles, Gram matrix, gaps, neighbours, directions.

Everything is shown twice: in one choice of coordinates, which a press of a button changes, and in what no choice can
change. The numbers of the controls come from the manifest of the probe set, where they were measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.answers.reading import CurvePoint, GapTitle, GeometryRow, NeighbourRow, ProbeDirections, ProbeRoles
from analysis.tpr.directions import cosines
from analysis.tpr.gauge import (
    effective_directions,
    projector,
    random_change,
    remix_fillers,
    remix_roles,
)
from analysis.tpr.geometry import (
    EXPECTED_R2,
    chance_shares,
    gap_map,
    gap_r2,
    gram,
    isomap,
    neighbour_shares,
    pca,
    readings,
)
from analysis.tpr.library import KIND_NAMES, set_for, title_of
from analysis.tpr.room import Room, bilinear


def pieces(room: Room, probe: Any, activations: Tensor, gauge: int, embedding: str) -> ProbeRoles:
    """Pictures of the roles in the coordinates of a gauge (0: those of the fit), and of what all gauges share.

    ``activations`` (n, d): the rows on which the logits of both coordinates are compared. ``embedding``: ``"pca"`` or
    ``"isomap"``, which takes a tenth of a second and is made only if it is looked at.
    """
    same = bilinear(probe)
    m, roles, fillers = (np.asarray(t, dtype=np.float64) for t in (same.binding_map_, same.roles_, same.fillers_))
    m2, roles2, fillers2 = m, roles, fillers
    if gauge:
        m2, roles2 = remix_roles(m2, roles2, random_change(roles.shape[1], gauge))
        m2, fillers2 = remix_fillers(m2, fillers2, random_change(fillers.shape[1], gauge + 1))
    h = activations.double().numpy()
    before, after = h @ effective_directions(m, roles, fillers).reshape(192, -1).T, _logits(h, m2, roles2, fillers2)
    change = float(np.abs(before - after).max())
    points, shares = pca(roles2)
    embedding_map = _isomap(roles2, points) if embedding == "isomap" else None
    w = effective_directions(m2, roles2, fillers2)
    directions, share = pca(w[:, 1] - w[:, 2])
    read = readings(m2, roles2, fillers2)
    rows = tuple(GeometryRow(r.key, r.title, r.neighbours, r.r2, r.gauge) for r in read)
    gaps = [GapTitle(rows[i].key, f"{rows[i].title}: R² {rows[i].r2:.2f}", rows[i].r2) for i in (0, 3)]
    maps = {read[i].key: gap_map(read[i].points) for i in (0, 3)}
    bars = [
        NeighbourRow("roles, these coordinates", **neighbour_shares(roles2)),
        NeighbourRow("directions, any coordinates", **neighbour_shares(read[3].points)),
    ]
    baselines = room.probes.manifest.get("baselines") or []
    for row in baselines:
        gaps.append(GapTitle(row["key"], f"{row['title']}: R² {row['gap_r2']:.2f}", row["gap_r2"]))
        maps[row["key"]] = room.probes.arrays[f"baseline/{row['key']}/gap"]
        bars.append(NeighbourRow(row["title"], **row["neighbours"]))
    bars.append(NeighbourRow("chance", **chance_shares()))
    captions = {"pca": f"PCA of the 64 roles: {shares[0]:.0%}, {shares[1]:.0%} and {shares[2]:.0%} of the variance."}
    squares = {"pca": tuple(range(64))}
    if embedding_map is not None:
        _, squares["isomap"], captions["isomap"] = embedding_map
    moved = float(np.abs(projector(roles) - projector(roles2)).max())
    return ProbeRoles(
        squares=squares,
        embedding=captions,
        geometry=rows,
        gaps=tuple(gaps),
        neighbours=tuple(bars),
        words=_gauge_sentence(gauge, change, len(h), moved, roles, roles2),
        survives=f"PCA of the 64 directions just moved minus to move ({share[:2].sum():.0%} of the variance in two "
        "axes). The probe's predictions are made of these, so no change of coordinates moves a point.",
        gap_caption=f"Mean cosine of two squares by row gap (down) and column gap (across). R² says how much of "
        f"all 2,016 pairs the gaps explain; points without structure give {EXPECTED_R2:.3f}. The left map is drawn "
        "from the coordinates and changes with them; the second cannot. The rest are controls without structure: "
        "where random codes of real boards do as well, the pattern belongs to the boards and not to the model."
        + ("" if baselines else " Controls were not measured for this model."),
        neighbour_caption="For each square its nearest points by cosine, as many as it has neighbours.",
        gram=_single(gram(roles2)),
        pca=_single(points),
        directions=_single(directions),
        gap={key: _single(grid) for key, grid in maps.items()},
        isomap=None if embedding_map is None else _single(embedding_map[0]),
    )


def _single(array: NDArray) -> NDArray[np.float32]:
    return np.asarray(array, dtype=np.float32)


def _isomap(roles: NDArray, points: NDArray) -> tuple[NDArray, tuple[int, ...], str]:
    """The paper's embedding of the roles, its squares and caption; PCA's ``points`` with the reason where it cannot be
    made."""
    try:
        sheet, squares = isomap(roles)
    except UserError as error:
        return points, tuple(range(64)), f"{error.message} PCA is shown in its place."
    caption = "Isomap, 16 neighbours, three components, without the four centre squares, as in the paper."
    return sheet, tuple(squares), caption


def _logits(h: NDArray, m: NDArray, roles: NDArray, fillers: NDArray) -> NDArray[np.float64]:
    """Logits (n, 192) by the unbinding path."""
    bound = np.einsum("nd,drf->nrf", h, m, optimize=True)
    return np.asarray(np.einsum("nrf,sr,cf->nsc", bound, roles, fillers, optimize=True).reshape(len(h), -1))


def _gauge_sentence(gauge: int, change: float, rows: int, moved: float, roles: NDArray, roles2: NDArray) -> str:
    if not gauge:
        return "The coordinates of the fit. Press the button: the predictions will stay and the pictures will not."
    return (
        f"Coordinates re-mixed (seed {gauge}). Largest change of any logit on {rows} positions of this game: "
        f"{change:.1e}; of the projector on the roles: {moved:.1e}. True neighbours among the nearest roles: "
        f"{neighbour_shares(roles)['neighbour']:.0%} before, {neighbour_shares(roles2)['neighbour']:.0%} now; "
        f"R² of the gap map: {gap_r2(roles):.2f} before, {gap_r2(roles2):.2f} now."
    )


def directions_against_linear(room: Room, layer: int, kind: str, labels: str) -> ProbeDirections:
    """A probe's directions beside the linear probe's at a block, and the rows of the curve.

    Raises UserError(field="layer") where there is no such probe; the role dimensions other than 52 and 64 are kept for
    one block only.
    """
    if room.probes.find(kind, layer, labels) is None and room.probes.layers(kind, labels):
        at = room.probes.layers(kind, labels)
        raise UserError(
            f"{KIND_NAMES.get(kind, kind)} was fitted after block {', '.join(map(str, at))} only. Move the block "
            "slider there, or choose 52 or 64 roles.",
            "layer",
        )
    probe = room.probes.probe(kind, layer, labels)
    # Probes of others may come without a linear one: then the model's own stands there.
    has_own = room.probes.find("linear", layer, labels) is None and room.probes.site == "resid_post"
    reference = set_for(room.fingerprint) if has_own else room.probes
    linear, own = reference.probe("linear", layer, labels), " (fitted here)" if has_own else ""
    cos = cosines(torch.as_tensor(probe.directions()).double(), torch.as_tensor(linear.directions()).double())
    row, base = room.probes.find(kind, layer, labels), reference.find("linear", layer, labels)
    assert row is not None and base is not None
    return ProbeDirections(
        caption=f"Cosine of each direction of the TPR probe with the linear probe's, class mean taken out, "
        f"after block {layer}. Mean {float(cos.mean()):.3f}, least {float(cos.min()):.3f}. The centre squares "
        "are never empty, so their direction for empty means nothing.",
        words=f"{kind.removeprefix('tpr-r') if kind.startswith('tpr-r') else title_of(row)}: "
        f"{row['parameters']:,} parameters ({row['parameters'] / base['parameters']:.0%} of the linear probe's), "
        f"{row['accuracy']:.2%} of squares right; linear{own} "
        f"{base['accuracy']:.2%}",
        curve=curve_rows(room, layer, labels),
        curve_caption=curve_caption(room, layer),
        cosines=cos.float().numpy(),
    )


def curve_rows(room: Room, layer: int, labels: str) -> tuple[CurvePoint, ...]:
    """Accuracy against parameters at a block: probes of the set, truncated SVDs and trained low-rank probes."""
    rows = [
        CurvePoint(
            title_of(r),
            "tpr" if r["kind"].startswith("tpr") else r["kind"],
            r["parameters"],
            r["accuracy"],
        )
        for r in room.probes.rows
        if r["layer"] == layer and r["labels"] == labels
    ]
    ranks = room.probes.manifest.get("ranks") or {"layer": -1, "rows": []}
    if ranks["layer"] == layer and labels == "parity":
        rows += [CurvePoint(f"rank {r['rank']}", r["kind"], r["parameters"], r["accuracy"]) for r in ranks["rows"]]
    return tuple(sorted(rows, key=lambda r: (r.kind, r.parameters)))


def curve_caption(room: Room, layer: int) -> str:
    """What is compared with what."""
    text = (
        "TPR and low-rank probes are trained with their shape; the SVD is cut out of the trained linear probe, "
        "which is what the paper compares with. So the curves compare being trained "
        "under a constraint with being cut to it, which says more about probes than about the model."
    )
    ranks = room.probes.manifest.get("ranks")
    if ranks and ranks["layer"] != layer:
        text += f" SVD and low rank were measured after block {ranks['layer']}."
    return text
