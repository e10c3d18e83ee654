"""The net below a rebuilding: every operation is asked fixed questions, and all numbers and words are kept.

    python -m scripts.net keep FILE           ask, and keep the answers
    python -m scripts.net compare FILE        ask again, and list what differs from what was kept; exits with 1 if any
    python -m scripts.net compare FILE OTHER  hold two kept nets against each other, without asking

Asked in this process, on one thread, in a data folder of its own that is gone afterwards; only the default model is
taken from the usual one. This module is the only one of the net that knows the code under test: when operations,
answers or states move, it is changed here and the kept net stays as it is.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import analysis.catalogue  # noqa: F401  # makes all operations known
from pages.registry import pages
from scripts.net_records import Net, beside, compare, kept_array, plain, without_empty_problems
from scripts.net_requests import Request, Saved, Taken, chosen, with_needs

PLACE = Path(__file__).resolve().parent.parent / "tests" / "data" / "net"
KEPT = PLACE / "net.json.xz"
ADDRESSES = PLACE / "addresses.txt"


@contextmanager
def own_home() -> Iterator[Path]:
    """A data folder for the time of a run, with the prepared default model of the usual one in it."""
    from analysis.models.default import prepare_default

    before, model = dict(os.environ), prepare_default()
    with tempfile.TemporaryDirectory(prefix="attune-net-") as folder:
        home = Path(folder).resolve()
        (home / "models").mkdir(mode=0o700)
        (home / "models" / model.name).symlink_to(model)
        os.environ |= {"ATTUNE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
        try:
            yield home
        finally:
            for name in ("ATTUNE_HOME", "HF_HUB_OFFLINE"):
                os.environ.pop(name)
                if name in before:
                    os.environ[name] = before[name]


def one_thread() -> None:
    """Sums in one order whatever machine this is: as many threads, as many orders."""
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    torch.set_num_threads(1)
    threadpool_limits(1)


class Asker:
    """Asks requests one after the other; keeps records, values of arrays, and what later requests take from them.

    ``wanted``: names of requests that others need, which may not be refused (RuntimeError).
    """

    def __init__(self, home: Path, wanted: set[str]) -> None:
        from analysis.engine.context import Context

        self.home, self.context, self._wanted = home, Context(), wanted
        self.records: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Any] = {}
        self._answers: dict[str, Any] = {}

    def ask(self, request: Request) -> float:
        """Ask one request, keep its record, and return the seconds that it took. A bug in the operation is raised."""
        from analysis.errors import UserError

        lines: list[Any] = []
        began = time.perf_counter()
        try:
            answer = self._perform(request, lines)
        except UserError as error:
            if request.name in self._wanted:
                raise RuntimeError(f"{request.name!r}, which others need, was refused: {error.message}") from error
            refusal = {"message": error.message, "field": error.field}
            self.records[request.name] = {"operation": request.operation, "refusal": self._plain(request, refusal)}
            return time.perf_counter() - began
        self._answers[request.name] = answer
        facts = {}
        for name, array in sorted(answer.arrays.items()):
            facts[name], self.values[f"{request.name}/{name}"] = kept_array(array)
        record = {"operation": request.operation, "data": self._plain(request, answer.data), "arrays": facts}
        self.records[request.name] = record | ({"lines": self._plain(request, lines)} if lines else {})
        return time.perf_counter() - began

    def _plain(self, request: Request, value: Any) -> Any:
        if request.operation == "LoadModel" and "capabilities" in value:  # the net knows a need by the page that has it
            named = {page.needs: page.name for page in pages()}
            rows = [{"page": named[row["need"]], "works": row["works"], "reason": row["reason"]}
                    for row in value["capabilities"]]  # fmt: skip
            value = value | {"capabilities": rows}
        return plain(value, request.operation, {str(self.home): "<home>"})

    def _perform(self, request: Request, lines: list[Any]) -> Any:
        """The answer with nothing remembered but stored results, fits and loaded models."""
        from analysis.engine.memory import Memory
        from analysis.engine.operation import rebuild
        from analysis.models.spec import ModelSpec

        self.context.memory = Memory()
        for spec in (ModelSpec("default"), ModelSpec("othello")):
            if self.context.residents.fingerprint(spec) is not None:
                self.context.model(spec).extras.clear()
        operation = rebuild(request.operation, {k: self._given(v) for k, v in request.params.items()})
        needed = getattr(operation, "model", None)
        if needed is not None and operation.kind == "read":  # such questions come when their model is there
            self.context.model(needed)
        self.context.on_progress = lambda facts: lines.append(facts["line"]) if "line" in facts else None
        return self.context.perform(operation)

    def _given(self, value: Any) -> Any:
        if isinstance(value, Saved):
            return base64.b64encode((PLACE / value.name).read_bytes()).decode()
        if not isinstance(value, Taken):
            return value
        answer = self._answers[value.request]
        found = answer.arrays[value.key] if value.in_base64 else answer.data[value.key]
        return base64.b64encode(found.tobytes()).decode() if value.in_base64 else found


def view_of(address: str) -> Any:
    """The state that a page reads from an address, as plain data. KeyError if there is no such page with a state."""
    parts = urlsplit(address)
    read = {page.path: page.read_address for page in pages() if page.read_address is not None}[parts.path]
    state = read(dict(parse_qsl(parts.query)))
    return without_empty_problems(json.loads(json.dumps(asdict(state))))  # nothing else is left out of a state


def asked(names: set[str], say: Callable[[str], None]) -> Net:
    """The net of some requests and of all addresses, asked now."""
    import numpy
    import torch
    import transformers

    from analysis.engine.keys import code_version

    one_thread()
    with own_home() as home:
        requests = with_needs(names)
        asker = Asker(home, {name for request in requests for name in request.needs})
        for n, request in enumerate(requests, start=1):
            seconds = asker.ask(request)
            refused = asker.records[request.name].get("refusal", {}).get("message", "")
            say(f"{n}/{len(requests)} {request.name}: {seconds:.1f} s {refused}")
        views = {address: view_of(address) for address in ADDRESSES.read_text(encoding="utf-8").split()}
    versions = {m.__name__: m.__version__ for m in (numpy, torch, transformers)}
    made = {
        "code": code_version("scripts.net"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **versions,
    }
    return Net(made, asker.records, views, asker.values)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.net", description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("keep", "compare"))
    parser.add_argument("file", type=Path, nargs="?", default=KEPT, help="the kept net (ends in .json.xz)")
    parser.add_argument("other", type=Path, nargs="?", help="compare: another kept net, in place of asking")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of numbers, as a share of their size")
    parser.add_argument("--only", nargs="+", default=[], help="names of requests or operations, with * and ?")
    parser.add_argument("--most", type=int, default=200, help="differences that are listed")
    chosen_by = parser.parse_args(arguments)
    names = chosen(chosen_by.only)
    if not names:
        parser.error("no request has such a name")
    old = Net.load(chosen_by.file) if chosen_by.what == "compare" else None
    began = time.perf_counter()
    new = Net.load(chosen_by.other) if chosen_by.other else asked(names, lambda line: print(line, flush=True))
    print(f"{len(new.answers)} answers, {len(new.views)} addresses, {time.perf_counter() - began:.0f} s")
    if old is None:
        size = new.save(chosen_by.file)
        print(f"Kept: {size / 1e6:.2f} MB in {chosen_by.file.name} and {beside(chosen_by.file).name}")
        return 0
    if chosen_by.only:
        old, new = old.part(names), new.part(names)
    found = compare(old, new, chosen_by.tolerance)
    for difference in found[: chosen_by.most]:
        print(difference)
    if old.made != new.made:
        print(f"Kept with {old.made}; now {new.made}")
    print(f"{len(found)} differences at a tolerance of {chosen_by.tolerance:g}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
