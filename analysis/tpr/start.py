"""Where a fit starts from: data that can be learned from, and the first tensors of a probe.

The published recipe starts from normal numbers. The fast one cuts its start out of a linear probe's directions by
truncated SVDs, one for each space that the probe shares between squares; a random turn of the role space, different for
each seed, keeps what depends on the basis visible as a spread over seeds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.directions import PLANE, svd_factors
from analysis.tpr.parametrization import CLASSES, SQUARES, Activations, Parametrization, Parts

MIN_ROWS = 32


def check_data(activations: Activations, boards: Activations, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Activations (n, d) as float32 or float64 and boards (n, 64) as uint8.

    Raises UserError(field="activations") or (field="boards") that says what is wrong: shapes, rows fewer than 32 or not
    alike, classes other than 0 to 2, numbers that are not finite, a width other than ``width``.
    """
    h, y = _tensor(activations, "activations"), _tensor(boards, "boards")
    if h.ndim != 2 or h.shape[1] < 1:
        raise UserError(f"Activations are a matrix of rows by width, not of shape {tuple(h.shape)}.", "activations")
    if width is not None and h.shape[1] != width:
        raise UserError(f"The held-out activations have the width {h.shape[1]}, the others {width}.", "activations")
    if len(h) < MIN_ROWS:
        raise UserError(f"{len(h)} rows are too few to fit a probe; give at least {MIN_ROWS}.", "activations")
    if y.shape != (len(h), SQUARES):
        raise UserError(f"Boards must be {len(h)} rows of {SQUARES} squares, not {tuple(y.shape)}.", "boards")
    if y.is_floating_point() or y.dtype == torch.bool or int(y.min()) < 0 or int(y.max()) >= CLASSES:
        raise UserError("Boards hold whole numbers: 0 empty, 1 just moved, 2 to move.", "boards")
    h = h if h.dtype in (torch.float32, torch.float64) else h.float()
    # A sum is finite unless a term is not, or the sum overflows: only then are the terms looked at one by one.
    if not bool(torch.isfinite(h.sum())) and not bool(torch.isfinite(h).all()):
        raise UserError("Some activations are not finite numbers, so nothing can be fitted to them.", "activations")
    return h.detach(), y.to(torch.uint8)


def random_parts(probe: Parametrization, d: int, dtype: torch.dtype, generator: torch.Generator) -> Parts:
    """Standard normal tensors over the square root of the size that is summed over (dossier 2.1); no bias yet."""
    parts = {}
    for name, shape in probe.shapes(d).items():
        inner = d if name in ("binding_map", "inner", "weights") else shape[-1]
        parts[name] = torch.randn(shape, generator=generator, dtype=dtype) / inner**0.5
    if probe.bias:
        parts["bias"] = torch.zeros_like(parts["bias"])
    return parts


def start_of(probe: Parametrization, directions: Tensor, generator: torch.Generator) -> Parts:
    """First tensors of a probe, cut out of a linear probe's directions (64, 3, d) in whitened coordinates."""
    parts = random_parts(probe, directions.shape[-1], directions.dtype, generator)
    if probe.kind == "low-rank":
        cut = _low_rank(probe.sizes["rank"], directions, parts)
    elif probe.kind == "trilinear":
        cut = _trilinear(probe.sizes, directions)
    elif probe.kind == "tpr":
        cut = _bilinear(probe.sizes, directions, generator)
    else:
        cut = {"weights": directions.transpose(0, 1)}
    return {name: cut.get(name, value).to(value.dtype).contiguous() for name, value in parts.items()}


def _low_rank(rank: int, directions: Tensor, parts: Parts) -> Parts:
    most = min(SQUARES * CLASSES, directions.shape[-1], rank)
    first, last = svd_factors(directions, most)
    # Rows beyond the rank of the matrix stay random and unread until training gives them weight.
    inner, outer = parts["inner"].clone(), torch.zeros_like(parts["outer"])
    inner[:most], outer[:, :most] = first, last
    return {"inner": inner, "outer": outer}


def _bilinear(sizes: dict[str, int], directions: Tensor, generator: torch.Generator) -> Parts:
    free, fillers = _free(directions, sizes["filler_dim"])
    r, d = sizes["role_dim"], free.shape[-1]
    k = min(r, free[0].numel())
    u, s, v = torch.linalg.svd(free.flatten(1), full_matrices=False)
    root = s[:k].sqrt()
    roles, cores = free.new_zeros(SQUARES, r), free.new_zeros(r, *free.shape[1:])
    roles[:, :k], cores[:k] = u[:, :k] * root, (root[:, None] * v[:k]).view(k, -1, d)
    turn = torch.linalg.qr(torch.randn(r, r, generator=generator, dtype=torch.float64))[0]
    return {"roles": roles @ turn, "binding_map": torch.einsum("rfd,rq->dqf", cores, turn), "fillers": fillers}


def _trilinear(sizes: dict[str, int], directions: Tensor) -> Parts:
    free, fillers = _free(directions, sizes["filler_dim"])
    cube = free.view(8, 8, *free.shape[1:])
    rows = torch.linalg.svd(cube.flatten(1), full_matrices=False)[0][:, : sizes["row_dim"]]
    columns = torch.linalg.svd(cube.transpose(0, 1).flatten(1), full_matrices=False)[0][:, : sizes["column_dim"]]
    m = torch.einsum("ijfd,iu,jv->duvf", cube, rows, columns)
    return {"row_embeddings": rows, "column_embeddings": columns, "fillers": fillers, "binding_map": m}


def _free(directions: Tensor, f: int) -> tuple[Tensor, Tensor]:
    """Directions as (64, f, d) float64 and the fillers (3, f) that turn them back: the leading axis, or both.

    Three classes differ in two ways, so a third filler coordinate adds nothing; it is there for probes that have it.
    """
    free = torch.einsum("scd,cf->sfd", directions.double(), PLANE)
    if f == 1:
        lead = torch.linalg.svd(free.transpose(0, 1).flatten(1), full_matrices=False)[0][:, :1]
        return torch.einsum("sfd,fk->skd", free, lead), PLANE @ lead
    basis = torch.linalg.qr(torch.eye(f, dtype=torch.float64) + 0.5)[0][:2] if f > 2 else torch.eye(2).double()
    return torch.einsum("sfd,fk->skd", free, basis), PLANE @ basis


def _tensor(values: Activations, field: str) -> Tensor:
    try:
        return values if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise UserError(f"The {field} are not an array of numbers.", field) from error
