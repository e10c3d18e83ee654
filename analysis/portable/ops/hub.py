"""Operations on packs of the hub. Both wait for a network, so they are answered beside the compute thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.models.spec import ModelSpec
from analysis.portable.answers.files import OpenedFiles, PushedPack
from analysis.portable.ops.files import new_place, open_any, pack_to


@dataclass(frozen=True)
class PushPack(Operation[PushedPack]):
    """Upload all that belongs to a model to a repository of the hub, with a card. ``private``: if it is made anew."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    repository: str = ""
    private: bool = True

    def run(self, context: Context) -> PushedPack:
        from analysis.portable.hub import check_repository, push

        check_repository(self.repository)
        pack = new_place("outgoing")
        try:
            pack_to(context, self.model, pack)
            return push(pack, self.repository, self.private)
        finally:
            pack.unlink(missing_ok=True)


@dataclass(frozen=True)
class OpenFromHub(Operation[OpenedFiles]):
    """Put all that is in the pack of a repository on its shelves. ``model``: the one in use."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    repository: str = ""
    revision: str = ""

    def run(self, context: Context) -> OpenedFiles:
        from analysis.portable.hub import fetch

        return open_any(context, self.model, fetch(self.repository, self.revision))
