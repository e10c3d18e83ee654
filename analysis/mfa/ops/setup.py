"""Operations on a set-up file: the vectors of a set-up with everything that the text depended on, out and in again."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.mfa.answers.steering import Generation, OpenedSetup, SetupFile
from analysis.mfa.ops.regions import checksum_of
from analysis.mfa.settings import SteeringSettings
from analysis.models.spec import ModelSpec
from analysis.spoken import listed

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import SteeringSetup

MAX_FILE = 16 << 20


@dataclass(frozen=True)
class SaveSetup(Operation[SetupFile]):
    """The file of a set-up. ``generation``: JSON of the page's fields (prompt, chat, tokens, temperature, ...)."""

    model: ModelSpec = ModelSpec("default")
    steer: SteeringSettings = SteeringSettings()
    generation: str = "{}"

    def reads(self, context: Context) -> str:
        from analysis.mfa.vectors import VECTORS

        return checksum_of(self.steer.fit) + "".join(VECTORS.checksum(v.name) for v in self.steer.vectors)

    def run(self, context: Context) -> SetupFile:
        from analysis.mfa.carried import with_vectors
        from analysis.mfa.library import fit_for
        from analysis.mfa.part import part_of, regions_of, with_part
        from analysis.mfa.steering import interventions_of
        from analysis.steering import save_setup, setup_for

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.steer.fit)
        fields = _generation(self.generation)
        try:
            numbers = {
                "temperature": float(fields.get("temperature") or 0.0),
                "top_p": float(fields.get("top-p") or 1.0),
                "seed": int(fields.get("seed") or 0),
                "generate": int(fields.get("count") or 0),
            }
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError("Count, temperature, top-p and seed of the generation must be numbers.", "file") from error
        setup = setup_for(
            loaded.facts,
            interventions_of(self.steer, fit),
            prompt=str(fields.get("steer-prompt") or ""),
            chat=bool(fields.get("steer-chat")),
            notes=json.dumps({"steer": self.steer.to_dict(), "fit": fit.manifest.get("sha256", "")}),
            **numbers,
        )
        body = save_setup(None, setup)
        if self.steer.regions:
            body = with_part(body, part_of(fit, regions_of(self.steer)))
        body = with_vectors(body, self.steer)
        name = f"{_file_name(self.steer, fit)}.attune.safetensors"
        return SetupFile(name, len(setup.interventions), np.frombuffer(body, np.uint8))


@dataclass(frozen=True)
class OpenSetup(Operation[OpenedSetup]):
    """A set-up file (base64), checked against the loaded model; the sliders that it came from, if it names them. Where
    its fit is not here, or gives other vectors, the regions that travel in the file are put on the shelf; so are
    vectors of others that it uses."""

    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    file: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.file, str) or len(self.file) > 4 * MAX_FILE // 3 + 8:
            raise UserError("A set-up file has at most 16 MB.", "file")

    def run(self, context: Context) -> OpenedSetup:
        from analysis.mfa.carried import keep_carried, vectors_in
        from analysis.mfa.part import keep_part, part_in
        from analysis.steering import check_setup, load_setup

        try:
            body = base64.b64decode(self.file, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UserError("The file did not arrive whole. Choose it again.", "file") from error
        setup, part, carried = load_setup(body), part_in(body), vectors_in(body)
        loaded = context.model(self.model)
        remarks = check_setup(setup, loaded.facts)
        names = keep_carried(carried, self.model, loaded.facts.fingerprint)
        if names:
            remarks.append(f"Steering vectors of others came with it and are in the list now: {listed(names)}.")
        steer, brought = _steer(setup.notes), None
        if steer is not None:
            remark = _changed(context, loaded, steer, setup)
            brought = keep_part(part, steer, loaded.facts.fingerprint) if remark and part is not None else None
            if brought is not None:
                steer = brought
                remark = f"Its fit is not here as it was, so its regions were opened with it, as “{brought.fit}”."
            remarks.append(remark or "The vectors are those of the fit that is here.")
        generation = Generation(setup.prompt, setup.chat, setup.generate, setup.temperature, setup.top_p, setup.seed)
        return OpenedSetup(steer, generation, len(setup.interventions), tuple(remarks), brought is not None)


def _file_name(steer: SteeringSettings, fit: RegionSet) -> str:
    """The regions with their strengths and the fit, in letters that every file system takes."""
    words = [f"{re.split('[:,]', fit.label(r.region))[0]} {r.strength:.3g}" for r in steer.regions[:3]]
    name = re.sub(r"[^a-z0-9.]+", "-", " ".join([*words, fit.name]).lower()).strip("-.")
    return name[:100] or "set-up"


def _changed(context: Context, loaded: LoadedModel, steer: SteeringSettings, setup: SteeringSetup) -> str:
    """Why the fit of that name does not give the vectors in the file; empty if it does."""
    from analysis.mfa.library import fit_for
    from analysis.mfa.steering import interventions_of
    from analysis.steering import setup_for

    try:
        now = setup_for(loaded.facts, interventions_of(steer, fit_for(context.memory, loaded, steer.fit)))
    except UserError as error:
        return error.message
    in_file = [row["sha256"] for row in setup.manifest()["interventions"]]
    if in_file != [row["sha256"] for row in now.manifest()["interventions"]]:
        return "The fit of that name gives other vectors now; the sliders show the fit that is here."
    return ""


def _steer(notes: str) -> SteeringSettings | None:
    try:
        return SteeringSettings.from_dict(json.loads(notes)["steer"])
    except (ValueError, KeyError, TypeError, UserError, RecursionError):
        return None


def _generation(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("The settings of the generation cannot be read. Reload the page.", "file") from error
    if not isinstance(data, dict):
        raise UserError("The settings of the generation are an object with named fields.", "file")
    return data
