"""What opening a mixture in the released shape costs: ``python -m benchmarks.released_mixture [--regions 8000]``.

A file at random in the authors' layout (K 8,000, D 2,304, ten factors, 811 MB) is opened in a process of its own as
the Steering page does before it collects activations: read, turned to principal axes, made ready for densities. Then it
is kept as a fit and opened from the shelf in another process. Peaks are those of the whole process, Python and PyTorch
included, held against the size of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

_OPEN = """
import json, resource, sys, time, torch
from pathlib import Path
from analysis.artefacts import Wording, load_pair, save_pair
from analysis.mfa.artefact import decode, encode
from analysis.mfa.checkpoint import read_checkpoint
from analysis.mfa.lean import density_of
from analysis.mfa.rotations import rotate

kept, path = Path(sys.argv[1]), sys.argv[2]
began = time.perf_counter()
if path:
    p = rotate(read_checkpoint(path)[0], "principal", inplace=True)
else:
    p, _ = decode(*load_pair(kept, Wording.of("mixtures", "file")))
density = density_of(p)
opened = time.perf_counter() - began
x = torch.randn(40, p.width)
prompts = []
for _ in range(3):
    began = time.perf_counter()
    density.score(x)
    prompts.append(time.perf_counter() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"opened, s": round(opened, 1), "density of 40 tokens, s": round(min(prompts), 2), "peak": peak}))
if path:
    arrays, facts = encode(p, {})
    save_pair(kept, arrays, facts)
"""


def run(regions: int, width: int, factors: int) -> dict[str, Any]:
    """Seconds and peaks (as a multiple of the file) of the file and of the fit made of it."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random_l6.ckpt"
        meta = {"cls": "MFA", "K": regions, "D": width, "rank": factors, "psi_per_component": False, "eps_floor": 1e-5}
        state = {
            "mu": normal(regions, width), "dir_raw": normal(regions, width, factors), "psi_rho": normal(width),
            "scale_rho": normal(regions, factors), "pi_logits": normal(regions),
        }  # fmt: skip
        torch.save({"meta": {**meta, "version": 1}, "state_dict": state}, path)
        del state
        size = path.stat().st_size
        rows: dict[str, Any] = {"file, MB": round(size / 1e6)}
        for name, given in (("the authors' file", str(path)), ("the fit on the shelf", "")):
            command = [sys.executable, "-c", _OPEN, str(Path(folder) / "kept"), given]
            printed = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
            row = json.loads(printed)
            row["peak, of the file"] = round(row.pop("peak") / size, 2)
            rows[name] = row
    return rows


def main(regions: int = 8000, width: int = 2304, factors: int = 10) -> dict[str, Any]:
    """The figures of the released shape."""
    return {"released mixture": run(regions, width, factors)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=8000)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--factors", type=int, default=10)
    print(json.dumps(main(**vars(parser.parse_args())), indent=1))
