"""Put a trained OthelloGPT beside the code: half precision, tokenizer, and the log of its training.

    python -m analysis.othello.bundle build/othello

Takes the masters of a run that may still go on, so that a page can be built on it meanwhile. Probes belong to weights:
after this, `python -m analysis.build tpr --fresh` makes them again.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from analysis.othello.model import build, othello_config, save
from analysis.othello.sources import bundled_folder
from analysis.othello.training import read_log


def bundle(run: Path, into: Path | None = None) -> Path:
    """Write config, float16 weights, tokenizer and ``training.jsonl`` of a run's folder; returns the model's folder."""
    target = into or bundled_folder()
    recipe = next(line["recipe"] for line in read_log(run) if line.get("event") == "start")
    model = build(othello_config(layers=recipe["layers"], width=recipe["width"], heads=recipe["heads"]))
    model.load_state_dict(load_file(run / "master.safetensors"))
    for file in target.glob("model*.safetensors*"):  # in one file or in parts
        file.unlink()
    target.mkdir(parents=True, exist_ok=True)
    save(model.to(torch.float16), target)
    # Half precision is for the disk only: whoever loads the folder computes in float32.
    config = target / "config.json"
    config.write_text(config.read_text("utf-8").replace('"dtype": "float16"', '"dtype": "float32"'), "utf-8")
    shutil.copyfile(run / "log.jsonl", target.parent / "training.jsonl")
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    bundle(parser.parse_args().run)
