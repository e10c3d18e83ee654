"""How fast this machine is with this model: a few passes of a bundled text, kept until somebody asks for it anew.

The speed that loading measures is that of one short prompt, which says little of batches; costs of fits are counted in
products of matrices, whose speed depends on the machine alone. Room in memory and on the disk is of the moment. What
other programs take from the processors meanwhile is measured, too: beside them everything looks slower than it is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from analysis.corpora.passages import bundled_corpus
from analysis.home import home
from analysis.models.memory import gpu_memory, host_memory
from analysis.product import Rate

if TYPE_CHECKING:
    import torch

    from analysis.models.loaded_model import LoadedModel

KEPT = "rate of this machine"
LENGTH, PIECES = 128, 8
"""Tokens of a piece of text, and pieces of a pass."""
PATIENCE = 1.0
"""Seconds that reading may take; a model that is slower is measured on fewer tokens."""


def rate_of(loaded: LoadedModel, since: float = 0.0) -> Rate:
    """The rate of a loaded model, measured in under two seconds unless that was done at or after ``since`` (seconds
    since 1970); free memory and disk as they are now."""
    import shutil

    if KEPT not in loaded.extras or loaded.extras[KEPT][2] < since:
        load = _Load()
        loaded.extras[KEPT] = (_reading(loaded), _product(loaded.device), time.time(), load.others())
    reading, flops, measured, others = loaded.extras[KEPT]
    device = loaded.device
    free = {row["index"]: int(row["free"]) for row in gpu_memory()} if device.type == "cuda" else {}
    memory = free.get(device.index or 0, host_memory()[1])
    return Rate(reading, flops, memory, shutil.disk_usage(home()).free, measured, others)


class _Load:
    """What other programs take from the processors, from now on."""

    def __init__(self) -> None:
        self._before = _used()

    def others(self) -> float:
        """Their share in [0, 1]; 0 where the system does not say."""
        of, idle, own = (after - before for before, after in zip(self._before, _used(), strict=True))
        return min(1.0, max(0.0, (of - idle - own) / of)) if of > 0 else 0.0


def _used() -> tuple[float, float, float]:
    """Seconds of all processors, of them idle, and taken by this process."""
    import psutil

    cores, own = psutil.cpu_times(), psutil.Process().cpu_times()
    named = cores._asdict()
    # Guests are counted in "user" already.
    whole = sum(value for name, value in named.items() if not name.startswith("guest"))
    return whole, named["idle"] + named.get("iowait", 0.0), own.user + own.system


def _reading(loaded: LoadedModel) -> float:
    """Seconds per token of a pass over a batch, the better of two, the first of which warms up."""
    import torch

    from analysis.models.loaded_model import wait_for

    pieces = max(1, min(PIECES, int(PATIENCE / 3 / max(loaded.facts.seconds_per_token, 1e-9) / LENGTH)))
    length = min(LENGTH, loaded.facts.max_positions or LENGTH)
    ids: list[int] = []
    for passage in bundled_corpus():
        ids += loaded.tokenizer(passage.text, add_special_tokens=False)["input_ids"]
        if len(ids) >= pieces * length:
            break
    pieces = min(pieces, len(ids) // length)
    if not pieces:
        return loaded.facts.seconds_per_token
    batch = torch.tensor(ids[: pieces * length]).reshape(pieces, length)
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        loaded.forward(batch)
        wait_for(loaded.device)
        best = min(best, (time.perf_counter() - began) / batch.numel())
        if best * batch.numel() > PATIENCE:
            break
    return best


def _product(device: torch.device) -> float:
    """Floating-point operations per second of a float32 product, the best of three small ones."""
    import torch

    a, b = torch.rand(1024, 512, device=device), torch.rand(512, 1024, device=device)
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        float((a @ b)[0, 0])  # reading a number waits for the device
        best = max(best, 2 * 1024 * 512 * 1024 / (time.perf_counter() - began))
    return best
