"""Operations that do what the tests of the service need: wait for a file, fail, die, print, hand back odd arrays.

They are real operations, in a module that test and worker both import (``ATTUNE_EXTRA_OPERATIONS``), so the service is
tested as it runs. What happened in the other process is seen through files: a gate is a file that a test makes, a
journal is a file to which an operation adds a line when it begins to run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.home import home
from analysis.models.spec import ModelSpec
from analysis.steering.answers import WrittenTexts

STEP = 0.01
PATIENCE = 30.0


def _enter(journal: str, name: str) -> None:
    if journal:
        with open(journal, "a") as file:
            file.write(name + "\n")


@dataclass(frozen=True)
class Gated(Operation):
    """Note that it runs, then wait for its gate; with safe points while it waits, or without."""

    name: str = ""
    gate: str = ""
    journal: str = ""
    safe: bool = True

    def run(self, context: Context) -> Result:
        _enter(self.journal, self.name)
        deadline, steps = time.monotonic() + PATIENCE, 0
        while self.gate and not Path(self.gate).exists():
            if time.monotonic() > deadline:
                raise TimeoutError("the gate was never opened")
            time.sleep(STEP)
            steps += 1
            if self.safe:
                context.progress(None, f"{self.name} waited {steps} steps")
        return Result({"name": self.name, "pid": os.getpid()})


@dataclass(frozen=True)
class GatedJob(Gated):
    """As :class:`Gated`, as a job."""

    kind: ClassVar[Kind] = "job"

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class SlowLive(Gated):
    """As :class:`Gated`, as a live request."""

    kind: ClassVar[Kind] = "live"

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class Moment(Gated):
    """As :class:`Gated`, as a live request of a kind of its own."""

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class Parted(Gated):
    """As :class:`Gated`, as a live request with a second part, before which quick ones are let in."""

    def run(self, context: Context) -> Result:
        result = super().run(context)
        context.gap()
        _enter(self.journal, f"rest of {self.name}")
        return result


@dataclass(frozen=True)
class ReadOnly(Gated):
    """As :class:`Gated`, as a request that touches no model."""

    kind: ClassVar[Kind] = "read"

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class SleepSteps(Operation):
    """A job of equal steps; a line of the journal for each."""

    kind: ClassVar[Kind] = "job"
    name: str = ""
    steps: int = 10
    seconds: float = 0.02
    journal: str = ""

    def run(self, context: Context) -> Result:
        for n in range(self.steps):
            _enter(self.journal, f"{self.name} {n}")
            time.sleep(self.seconds)
            context.progress((n + 1) / self.steps, f"step {n + 1}")
        return Result({"name": self.name, "steps": self.steps})


@dataclass(frozen=True)
class Lines:
    said: int


@dataclass(frozen=True)
class SayLines(Operation[Lines]):
    """A stream of numbered lines; a line of the journal for each. Its part "rest" can be ended."""

    kind: ClassVar[Kind] = "stream"
    name: str = ""
    count: int = 5
    seconds: float = 0.01
    journal: str = ""

    def run(self, context: Context) -> Lines:
        for n in range(self.count):
            if context.ended("rest"):
                return Lines(n)
            _enter(self.journal, f"{self.name} {n}")
            time.sleep(self.seconds)
            context.line(n=n)
        return Lines(self.count)


@dataclass(frozen=True)
class WriteText(Operation[WrittenTexts]):
    """A stream: a text of a model in memory, pushed at each step, beside the unsteered one."""

    kind: ClassVar[Kind] = "stream"
    model: ModelSpec = ModelSpec("default")
    push: float = 0.0
    count: int = 12
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    def run(self, context: Context) -> WrittenTexts:
        import torch

        from analysis.models.sites import Site
        from analysis.steering import Add
        from analysis.steering.writing import Writer

        loaded = context.model(self.model)
        width = loaded.facts.hidden
        vector = torch.randn(width, generator=torch.Generator().manual_seed(self.seed))
        writer = Writer(context, loaded, loaded.tokenizer("the lamp is kept in")["input_ids"], self, self.model)
        return writer.write({"steered": [Add(Site(0), vector, self.push)]})


@dataclass(frozen=True)
class Echo(Operation):
    """A live request that answers with what it was given."""

    value: str = ""

    def run(self, context: Context) -> Result:
        return Result({"echo": self.value, "pid": os.getpid()})


@dataclass(frozen=True)
class EchoJob(Echo):
    """The same as a job."""

    kind: ClassVar[Kind] = "job"

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class Words:
    """What stands in a file of the data folder."""

    text: str


@dataclass(frozen=True)
class WriteWords(Operation[Words]):
    """A job that writes a file of the data folder, which another question reads."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    text: str = ""

    def run(self, context: Context) -> Words:
        (home() / "words.txt").write_text(self.text)
        return Words(self.text)


@dataclass(frozen=True)
class WriteFile(Operation[Words]):
    """A job that says which file of the data folder it wrote, and how large."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    name: str = "file"
    size: int = 1_000

    def run(self, context: Context) -> Result:
        (home() / self.name).write_bytes(bytes(self.size))
        return Result({"text": self.name}, files=(self.name,))


@dataclass(frozen=True)
class ReadWords(Operation[Words]):
    """What that file says now."""

    def run(self, context: Context) -> Words:
        return Words((home() / "words.txt").read_text())


@dataclass(frozen=True)
class Nap(Operation):
    """A live request that takes its time, without a safe point."""

    name: str = ""
    seconds: float = 0.01

    def run(self, context: Context) -> Result:
        time.sleep(self.seconds)
        return Result({"name": self.name})


class Panic(BaseException):
    """As of a library in Rust that gives up: no Exception."""


@dataclass(frozen=True)
class Fail(Operation):
    """A bug: raises something that no user should read."""

    secret: str = ""
    how: str = "raise"

    def run(self, context: Context) -> Result:
        if self.how == "nan":
            return Result({"value": float("nan")})
        if self.how == "object":
            return Result({"value": object()})
        if self.how == "progress":
            context.progress(0.5, "half", thing=object())
            return Result({"value": 1})
        if self.how == "share":
            context.progress(float("nan"), "not a share")
            return Result({"value": 1})
        if self.how == "panic":
            raise Panic(self.secret)
        raise RuntimeError(self.secret)


@dataclass(frozen=True)
class FailJob(Fail):
    """The same as a job."""

    kind: ClassVar[Kind] = "job"

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class Refuse(Operation):
    """Refuses what was asked."""

    prompt: str = ""

    def run(self, context: Context) -> Result:
        raise UserError("The prompt does not suit this model. Write another.", "prompt")


@dataclass(frozen=True)
class KillWorker(Operation):
    """Takes its process down, in the middle of its steps or while its result is being written."""

    kind: ClassVar[Kind] = "job"
    name: str = ""
    how: str = "running"
    journal: str = ""

    def run(self, context: Context) -> Result:
        _enter(self.journal, self.name)
        if self.how == "at once":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "writing":
            return Result(DeadlyToWrite(a=1), {"block": np.ones(100_000, np.float32)})
        context.progress(0.5, "half way")
        os.kill(os.getpid(), signal.SIGKILL)
        return Result({})


class DeadlyToWrite(dict[str, Any]):
    """Kills the process that turns it into JSON: the arrays are on disk by then, the result is not."""

    def items(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().items()


def odd_arrays() -> dict[str, np.ndarray]:
    """Arrays of many types and shapes: without dimensions, empty, transposed, of the other byte order."""
    rng = np.random.default_rng(0)
    return {
        "float32": rng.standard_normal((3, 4)).astype(np.float32),
        "float16": rng.standard_normal(5).astype(np.float16),
        "float64": rng.standard_normal((2, 1, 3)),
        "uint8": rng.integers(0, 255, (7, 2), dtype=np.uint8),
        "int64": rng.integers(-9, 9, 4),
        "bool": rng.integers(0, 2, (2, 2)).astype(bool),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": np.arange(12, dtype=np.int32).reshape(3, 4).T,
        "sliced": np.arange(20, dtype=np.float64)[::3],
        "big_endian": np.arange(4, dtype=">f4"),
    }


@dataclass(frozen=True)
class EchoArrays(Operation):
    """The odd arrays, as a live answer."""

    def run(self, context: Context) -> Result:
        return Result({"names": sorted(odd_arrays())}, odd_arrays())


@dataclass(frozen=True)
class BigArray(Operation):
    """A live answer of some MiB, or a job's if ``keep``."""

    mebibytes: int = 1
    seed: int = 0

    def run(self, context: Context) -> Result:
        rng = np.random.default_rng(self.seed)
        return Result({"seed": self.seed}, {"block": rng.standard_normal((self.mebibytes, 1 << 18), dtype=np.float32)})


@dataclass(frozen=True)
class BigJob(BigArray):
    """The same as a job."""

    kind: ClassVar[Kind] = "job"

    def run(self, context: Context) -> Result:
        return super().run(context)


@dataclass(frozen=True)
class Chatty(Operation):
    """Prints more than a pipe holds, as libraries may."""

    characters: int = 0

    def run(self, context: Context) -> Result:
        for _ in range(self.characters // 1000):
            print("x" * 999)
        sys.stdout.flush()
        return Result({"printed": self.characters})


@dataclass(frozen=True)
class ManyMessages(Operation):
    """A job with much to say in little time."""

    kind: ClassVar[Kind] = "job"
    messages: int = 0
    size: int = 0

    def run(self, context: Context) -> Result:
        for n in range(self.messages):
            context.progress(n / self.messages, "x" * self.size)
        return Result({"messages": self.messages})


def _tiny_llama(seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from analysis.models.recording import IMPLEMENTATION

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=32,
    )  # fmt: skip
    config._attn_implementation = IMPLEMENTATION
    return LlamaForCausalLM(config).eval()


def _logits(model: Any) -> list[float]:
    import torch

    with torch.no_grad():
        return [float(x) for x in model(torch.arange(1, 9)[None]).logits[0, -1]]


@dataclass(frozen=True)
class TappedJob(Operation):
    """Breaks the rule on purpose: comes to safe points while a tap is open that counts calls and zeroes the output.

    Its own passes are ``passes`` of one layer each, so that ``calls`` says whether others went through its tap.
    """

    kind: ClassVar[Kind] = "job"
    gate: str = ""
    passes: int = 3

    def run(self, context: Context) -> Result:
        from analysis.models.recording import tapped

        model, calls = _tiny_llama(0), []

        def tap(record: Any, output: Any) -> Any:
            calls.append(record.layer)
            return output * 0.0

        with tapped(tap):
            edited = [_logits(model) for _ in range(self.passes)]
            deadline = time.monotonic() + PATIENCE
            while not Path(self.gate).exists() and time.monotonic() < deadline:
                time.sleep(STEP)
                context.progress(0.5, "the tap is open")
        return Result({"calls": len(calls), "edited": edited[-1], "plain": _logits(model)})


@dataclass(frozen=True)
class PlainPass(Operation):
    """A live forward pass of the same model, and how many taps it could see."""

    number: int = 0

    def run(self, context: Context) -> Result:
        from analysis.models import recording

        return Result({"taps": len(recording._taps.get()), "logits": _logits(_tiny_llama(0)), "number": self.number})


@dataclass(frozen=True)
class UseModel(Operation):
    """A live request on a model."""

    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> Result:
        return Result({"layers": context.model(self.model).facts.layers})


@dataclass(frozen=True)
class LastLogits(Gated):
    """A job on a model that waits for its gate, and then says the logits after a few tokens."""

    kind: ClassVar[Kind] = "job"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> Result:
        waited = super().run(context)
        return Result({**waited.data, "logits": _logits(context.model(self.model).model)})


@dataclass(frozen=True)
class SayLinesOn(SayLines):
    """A stream on a model, of which only the place matters."""

    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> Lines:
        return super().run(context)


@dataclass(frozen=True)
class LoadWhenAsked(Operation):
    """A job that loads a model by hand once its gate is open, without a safe point before."""

    kind: ClassVar[Kind] = "job"
    source: str = ""
    gate: str = ""

    def run(self, context: Context) -> Result:
        deadline = time.monotonic() + PATIENCE
        while not Path(self.gate).exists() and time.monotonic() < deadline:
            time.sleep(STEP)
        return Result({"layers": context.model(ModelSpec(self.source)).facts.layers})
