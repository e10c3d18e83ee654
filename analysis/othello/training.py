"""Train an OthelloGPT on random games that are made on the fly and never repeated.

    python -m analysis.othello.training --out FOLDER --games 5000000

The loss is the papers': cross-entropy on the move that was drawn, padding ignored. The learning rate warms up, stays,
and falls to nothing over the last part, so that the total may be changed while the rate still stands. Matrices inside
the blocks are trained by Muon, the rest by AdamW. The pass runs in bfloat16 over float32 master weights. Everything is
kept every few minutes, and the same command goes on where the last one stopped; ``log.jsonl`` tells all of it.

`python -m analysis.othello.timed` is the same for an accelerator that is lent for some minutes.

On Linux with glibc, MALLOC_MMAP_THRESHOLD_=4294967295 MALLOC_TRIM_THRESHOLD_=17179869184 in the environment makes a
step up to three times faster where page faults are dear, since freed buffers are used again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from analysis.othello.games import Games, random_games
from analysis.othello.legality import exact_targets, legality
from analysis.othello.model import build, othello_config, save

TEST_SEED = 20_000


@dataclass(frozen=True)
class Recipe:
    """What decides a run. ``target``: ``"move"`` (the move drawn) or ``"legal"`` (uniform over the legal moves)."""

    layers: int = 6
    width: int = 128
    heads: int = 4
    games: int = 2_400_000
    batch: int = 128
    rate: float = 3e-3
    muon_rate: float = 5e-3
    weight_decay: float = 0.01
    warm_up: int = 20_000
    decay: float = 0.4
    seed: int = 1
    target: str = "move"


def rate_at(recipe: Recipe, games: int) -> float:
    """The learning rate's factor after so many games: up, level, and linearly down over the last part."""
    down = (recipe.games - games) / (recipe.decay * recipe.games)
    return max(0.0, min(1.0, games / recipe.warm_up, down))


def train(recipe: Recipe, folder: Path, *, keep_every: float = 120.0, test_every: int = 50_000) -> GPT2LMHeadModel:
    """Train to the recipe's number of games, from the last kept state if the folder has one.

    Leaves ``log.jsonl``, ``state.pt`` (to go on from) and, at the end, the model in Hugging Face's layout.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    fresh = build(othello_config(layers=recipe.layers, width=recipe.width, heads=recipe.heads))
    run = Run(fresh, recipe)
    state = folder / "state.pt"
    if state.exists():
        run.load(torch.load(state, weights_only=True))
    test = random_games(200, TEST_SEED)
    log = (folder / "log.jsonl").open("a", buffering=1)
    say(log, event="start", games=run.games, threads=torch.get_num_threads(), recipe=asdict(recipe))
    began = kept = time.monotonic()
    losses: list[float] = []
    tested = run.games
    while run.games < recipe.games:
        losses.append(run.step())
        if run.games - tested >= test_every or run.games >= recipe.games:
            speed = (run.games - tested) / (time.monotonic() - began)
            run.tell(log, test, sum(losses) / len(losses), speed)
            losses, tested, began = [], run.games, time.monotonic()
        if time.monotonic() - kept > keep_every:
            run.keep(state)
            kept = time.monotonic()
    run.keep(state)
    model = run.plain()
    save(model, folder)
    say(log, event="end", games=run.games)
    return model


Batch = tuple[Tensor, Tensor | None]
"""Token ids (games, 60), and the uniform distributions over the legal moves (games, 59, 61) if those are the target."""


def batch_of(recipe: Recipe, first: int) -> Batch:
    """The next batch of a run that has seen ``first`` games."""
    games = random_games(recipe.batch, recipe.seed, first=first)
    ids = torch.from_numpy(games.tokens.astype("int64"))
    return ids, exact_targets(games.legal[:, :59]) if recipe.target == "legal" else None


class Run:
    """The network in bfloat16, its float32 masters, two optimisers, and the count of games seen.

    ``device``: of all of them; ``compiled``: the forward pass by torch.compile, which takes a minute to begin with.
    """

    def __init__(self, model: GPT2LMHeadModel, recipe: Recipe, device: str = "cpu", *, compiled: bool = False) -> None:
        self.recipe, self.games, self.device = recipe, 0, device
        model = model.to(device)  # type: ignore[arg-type]
        # What may not change when a run goes on; rates, batch, target and total may, and the log tells when.
        self.fixed = {name: getattr(recipe, name) for name in ("layers", "width", "heads", "seed")}
        self.master = {name: p.detach().clone().float() for name, p in model.named_parameters()}
        self.model = model.to(torch.bfloat16)
        if device == "cpu":  # at 59 positions faster than the fused kernel's backward pass
            self.model.set_attn_implementation("eager")
        self.model.train()
        self.forward: Any = torch.compile(self.model) if compiled else self.model
        matrices = [p for name, p in self.master.items() if ".h." in name and p.ndim == 2]
        rest = [p for name, p in self.master.items() if not (".h." in name and p.ndim == 2)]
        self.optimisers: list[Any] = [
            torch.optim.Muon(
                matrices,
                lr=recipe.muon_rate,
                weight_decay=recipe.weight_decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(rest, lr=recipe.rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.rates = [recipe.muon_rate, recipe.rate]

    def step(self) -> float:
        """Learn from the next batch; returns its loss."""
        return float(self.learn(batch_of(self.recipe, self.games)))

    def learn(self, batch: Batch) -> Tensor:
        """Learn from a batch; returns its loss, which is not waited for."""
        ids, exact = (None if part is None else part.to(self.device, non_blocking=True) for part in batch)
        assert ids is not None
        logits = self.forward(ids[:, :59], use_cache=False).logits.float().flatten(0, 1)
        if exact is not None:
            there = ids[:, 1:].flatten() > 0
            loss = nn.functional.cross_entropy(logits[there], exact.flatten(0, 1)[there])
        else:
            loss = nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), ignore_index=0)
        loss.backward()  # type: ignore[no-untyped-call]
        self.games += self.recipe.batch
        factor = rate_at(self.recipe, self.games)
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                self.master[name].grad = p.grad.float() if p.grad is not None else None
                p.grad = None
            nn.utils.clip_grad_norm_(list(self.master.values()), 1.0)
            for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
                for group in optimiser.param_groups:
                    group["lr"] = rate * factor
                optimiser.step()
            for name, p in self.model.named_parameters():
                p.copy_(self.master[name])
        return loss.detach()

    def plain(self) -> GPT2LMHeadModel:
        """A float32 model of the masters."""
        r = self.recipe
        model = build(othello_config(layers=r.layers, width=r.width, heads=r.heads))
        model.load_state_dict({name: value.cpu() for name, value in self.master.items()}, strict=False)
        return model.eval()

    def tell(self, log: Any, test: Games, loss: float, speed: float) -> None:
        """Play the games of a test, and write to the log how; ``loss``: of the batches since the last time."""
        found = legality(self.plain().to(self.device), test)  # type: ignore[arg-type]
        say(
            log,
            games=self.games,
            rate=rate_at(self.recipe, self.games),
            train=loss,
            loss=found.loss,
            above=found.loss - found.floor,
            illegal=found.illegal,
            games_per_second=speed,
        )

    def keep(self, path: Path) -> None:
        new = path.with_suffix(".new")
        torch.save(
            {
                "games": self.games,
                "fixed": self.fixed,
                "master": self.master,
                "optimisers": [o.state_dict() for o in self.optimisers],
            },
            new,
        )
        os.replace(new, path)
        masters = {name: value.cpu() for name, value in self.master.items()}
        save_file(masters, path.with_name("master.safetensors"))

    def load(self, kept: dict[str, Any]) -> None:
        if kept.get("fixed", self.fixed) != self.fixed:
            raise ValueError(f"this folder holds a run with {kept['fixed']}; take another folder for {self.fixed}")
        self.games = int(kept["games"])
        with torch.no_grad():
            for name, p in self.master.items():
                p.copy_(kept["master"][name])
            for name, q in self.model.named_parameters():
                q.copy_(self.master[name])
        for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's log."""
    for line in (folder / "log.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)


def say(log: Any, **what: Any) -> None:
    """Write a line of a log, with the time."""
    log.write(json.dumps({"time": round(time.time()), **what}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = vars(parser.parse_args())
    folder, threads = given.pop("out"), given.pop("threads")
    torch.set_num_threads(threads)
    train(Recipe(**given), folder)


if __name__ == "__main__":
    main()
