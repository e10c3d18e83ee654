"""Operations on steering vectors: open those of others, list them beside a fit, save one's own for other programs."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.mfa.answers.vectors import VectorList, VectorsFile, VectorsKept
from analysis.mfa.ops.regions import checksum_of
from analysis.mfa.settings import SteeringSettings
from analysis.models.spec import ModelSpec

MAX_UPLOAD = 64 << 20
FORMATS = ("gguf", "safetensors")


@dataclass(frozen=True)
class OpenVectors(Operation[VectorsKept]):
    """Take in a file of steering vectors (base64). ``layer``: the block of a vector that does not say its own."""

    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    name: str = ""
    file: str = ""
    layer: Annotated[int, Whole(0, 9_999, words="The block of the vector")] = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.file, str) or len(self.file) > 4 * MAX_UPLOAD // 3 + 8:
            raise UserError(f"A file of steering vectors has at most {MAX_UPLOAD >> 20} MB.", "file")
        if not isinstance(self.name, str) or len(self.name) > 300:
            raise UserError("The name of this file is too long.", "file")

    def run(self, context: Context) -> VectorsKept:
        from analysis.mfa.vectors import keep_vectors
        from analysis.steering.vectors import read_vectors

        try:
            body = base64.b64decode(self.file, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UserError("The file did not arrive whole. Choose it again.", "file") from error
        file = read_vectors(self.name, body, self.layer)
        loaded = context.model(self.model)
        name = keep_vectors(loaded.facts, self.model.to_dict(), file, self.name)
        count = len(file.vectors)
        hint = f" It names the model “{file.hint}”." if file.hint else ""
        blocks = f"block {min(file.vectors)}" if count == 1 else f"{count} blocks"
        return VectorsKept(name, f"Opened {self.name}: vectors of {blocks}.{hint} Give it a strength below.")


@dataclass(frozen=True)
class ListVectors(Operation[VectorList]):
    """The steering vectors of the model in use, with their cosines to the regions of a fit ("" for none)."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def reads(self, context: Context) -> str:
        from analysis.mfa.vectors import VECTORS

        return checksum_of(self.fit) + VECTORS.checksums(context.model(self.model).facts.fingerprint)

    def run(self, context: Context) -> VectorList:
        from analysis.mfa.library import fit_for
        from analysis.mfa.vectors import facts_of, vectors_for

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit) if self.fit else None
        rows = []
        for entry in vectors_for(loaded.facts.fingerprint):
            try:
                rows.append(facts_of(entry, fit))
            except UserError:  # a damaged one is no reason to show none
                continue
        return VectorList(tuple(rows))


@dataclass(frozen=True)
class SaveVectors(Operation[VectorsFile]):
    """What a set-up adds, as one vector for each block, for other programs."""

    model: ModelSpec = ModelSpec("default")
    steer: SteeringSettings = SteeringSettings()
    format: Annotated[str, Choice(FORMATS, words="The format")] = "gguf"

    def reads(self, context: Context) -> str:
        from analysis.mfa.vectors import VECTORS

        return checksum_of(self.steer.fit) + "".join(VECTORS.checksum(v.name) for v in self.steer.vectors)

    def run(self, context: Context) -> VectorsFile:
        from analysis.mfa.library import fit_for
        from analysis.mfa.steering import interventions_of
        from analysis.mfa.vectors import summed
        from analysis.steering.vectors import write_gguf, write_safetensors

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.steer.fit)
        vectors = summed(interventions_of(self.steer, fit))
        write = write_gguf if self.format == "gguf" else write_safetensors
        body = write(vectors, loaded.facts.label)
        name = f"{fit.name}.vectors.{self.format}"
        return VectorsFile(name, tuple(sorted(vectors)), np.frombuffer(body, np.uint8))
