"""What the worker says of itself: the models that it holds, what it loads, and its jobs. Plain data, read by pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec

FROM_STORE = "from the store"
"""The text of a job whose answer was there already."""
QUICK = 2.0
"""Seconds below which nobody has waited for a job."""
OF_OTHERS = "a question of somebody else"
"""What the worker is at, for those who may not see what it is."""


@dataclass
class JobRecord:
    """One job. ``state`` is queued, running, done, failed or cancelled; ``share`` in [0, 1] or None if unknown;
    ``files``: what it wrote to the data folder, as names below it; ``who`` asked ("" for the owner); ``common``: it is
    made for all, so that all may see it; times in seconds since 1970, ``began``: when its computation did."""

    id: str
    operation: str
    title: str
    link: str
    session: str
    state: str = "queued"
    share: float | None = None
    text: str = ""
    reason: str = ""
    started: float = 0.0
    changed: float = 0.0
    files: list[str] = field(default_factory=list)
    who: str = ""
    common: bool = False
    began: float = 0.0

    @property
    def quick(self) -> bool:
        """Whether nobody has waited for it: it was done at once and made no file, or its answer was in the store."""
        at_once = self.state == "done" and self.changed - self.started < QUICK
        return at_once and (not self.files or self.text == FROM_STORE)


@dataclass
class JobRow(JobRecord):
    """A job as it is shown. ``gone``: a file that it made is no longer there; ``host``: where it runs, in a cluster."""

    gone: bool = False
    host: str = ""


@dataclass(frozen=True)
class Resident:
    """A model in memory. ``changed``: its files were saved over, or are gone, since they were read; ``apart``: a method
    reads it by itself, and it is not counted among the others."""

    spec: ModelSpec
    facts: ModelFacts
    changed: bool
    apart: bool = False


@dataclass(frozen=True)
class Loading:
    """A model that is being loaded; ``share`` in [0, 1] or None if unknown."""

    spec: ModelSpec
    text: str
    share: float | None


@dataclass(frozen=True)
class WorkerStatus:
    """``phase``: "ready", what the worker does before, or why there is none; ``pid``: None while there is none;
    ``busy``: what it computes; ``loaded``: newest use last; ``waiting``: live questions, streams and jobs that wait for
    it; ``gpu_bytes``: memory of GPUs that it has taken; ``resident_bytes``: of this machine that its process has;
    ``limit``: models that may be in memory at once; ``free_bytes`` of ``total_bytes``: memory that models go to, of
    GPUs where torch uses some, else of the machine."""

    phase: str
    pid: int | None = None
    busy: str = ""
    loaded: tuple[Resident, ...] = ()
    loading: Loading | None = None
    waiting: tuple[int, int, int] = (0, 0, 0)
    gpu_bytes: int = 0
    resident_bytes: int = 0
    limit: int = 0
    free_bytes: int = 0
    total_bytes: int = 0

    def resident(self, spec: ModelSpec) -> Resident | None:
        """The model of that specification, if it is in memory."""
        return next((model for model in self.loaded if model.spec == spec), None)


@dataclass(frozen=True)
class PlaceStatus:
    """A place of a cluster where a worker runs, or a node that has none: ``name``, the ``host`` that people know, GPUs
    and cores that Ray counts for it, what its ``worker`` says (None: it says nothing), and a sentence on why there is
    no worker, or what it waits for ("" if nothing)."""

    name: str
    host: str
    gpus: float
    cpus: float
    worker: WorkerStatus | None = None
    text: str = ""


def together(parts: list[WorkerStatus]) -> WorkerStatus:
    """What several workers say, as if they were one: the sum of what they hold and do. The phase is "ready" as soon as
    one is, else that of the first; a process id is one of theirs."""
    if len(parts) == 1:
        return parts[0]
    first = next((s for s in parts if s.phase == "ready"), parts[0])
    live, stream, job = (sum(s.waiting[kind] for s in parts) for kind in range(3))
    return WorkerStatus(
        first.phase,
        next((s.pid for s in parts if s.pid is not None), None),
        "; ".join(s.busy for s in parts if s.busy),
        tuple(model for s in parts for model in s.loaded),
        next((s.loading for s in parts if s.loading is not None), None),
        (live, stream, job),
        *(sum(getattr(s, name) for s in parts) for name in SUMMED),
    )


SUMMED = ("gpu_bytes", "resident_bytes", "limit", "free_bytes", "total_bytes")
