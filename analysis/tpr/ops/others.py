"""Operations that take in what others have made: their probes, and their cases of an intervention."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Flag, Text, Whole
from analysis.tpr.answers.model import SITE_TITLES, CasesOpened, ProbesOpened
from analysis.tpr.ops.reading import LABELS, MAX_LAYER, OfOthello

FROM_FILE = "file"
PLACES = (FROM_FILE, *SITE_TITLES)


@dataclass(frozen=True)
class OpenProbes(OfOthello[ProbesOpened]):
    """Open probes that others trained on this model, and keep them beside its own.

    ``files``: (name, content in base64) pairs. ``block`` and ``place``: for files that do not name them; ``number``:
    which linear probe of a tensor that holds several; ``centred``: they read a stream without its mean over the width.
    """

    writes: ClassVar[bool] = True
    files: tuple[Any, ...] = ()
    block: Annotated[int, Whole(0, MAX_LAYER, words="The block")] | None = None
    place: Annotated[str, Choice(PLACES, words="The place")] = FROM_FILE
    number: Annotated[int, Whole(0, 99, words="The number of the linear probe")] = 0
    centred: Annotated[bool, Flag(words="Whether the stream was centred")] = False
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.files, tuple):  # JSON knows no tuples inside of lists
            object.__setattr__(self, "files", tuple(tuple(f) if isinstance(f, list) else f for f in self.files))

    def run(self, context: Context) -> Result:
        from analysis.tpr.library import PROBE_SETS
        from analysis.tpr.opening import Reading, open_probes
        from analysis.tpr.room import open_room

        room = open_room(context, self.source)
        place = None if self.place == FROM_FILE else self.place
        reading = Reading(self.block, place, self.number, self.centred, self.labels)
        opened = open_probes(room, [_file(f) for f in self.files], reading, context.check)
        return Result(*to_wire(opened), files=names_of(*pair_files(PROBE_SETS.own() / opened.name)))


def _file(pair: Any) -> tuple[str, bytes]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
        raise UserError("A file is its name and its content in base64.", "probes")
    try:
        return pair[0], base64.b64decode(pair[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{pair[0][:120]} did not arrive whole. Choose it again.", "probes") from error


@dataclass(frozen=True)
class OpenCases(Operation[CasesOpened]):
    """Take in the cases of an intervention (JSON of {history, pos_int, ori_color}), for :class:`OthelloTrials`."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    name: Annotated[str, Text(200, words="The name of the file")] = ""
    text: Annotated[str, Text(16 << 20, words="The file")] = ""

    def run(self, context: Context) -> CasesOpened:
        from analysis.tpr.given_cases import keep_cases

        key, count = keep_cases(self.name, self.text.encode("utf-8", "surrogatepass"))
        words = f"{count:,} case{'s' if count > 1 else ''} from {self.name or 'the file'}"
        return CasesOpened(key, count, f"{words}, one disc flipped in each.")
