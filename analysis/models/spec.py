"""Which model is meant, as plain data that may come from a browser.

The web process makes a specification, the worker obeys it, a manifest keeps it: so it is a small frozen dataclass that
imports nothing heavy and that cannot exist with a dangerous or senseless value. What is hidden here is how one typed
string is told apart into the default model, a hub id, a folder or a GGUF file, and which places on disk may be read.
Whether a hub model exists, and what is inside a file, is for `analysis.models.metadata`.
"""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from analysis.errors import UserError
from analysis.models.config_limits import check_config
from analysis.models.default_source import SMOLLM2
from analysis.models.folder_files import check_folder_files
from analysis.models.gguf_parts import gguf_parts, whole_name

OTHELLO = "othello"
"""The source that names the bundled OthelloGPT, a folder of this package."""
_OTHELLO_FOLDER = Path(__file__).resolve().parent.parent / "data" / "othello" / "model"

Kind = Literal["default", "hub", "folder", "gguf"]

EIGHT_BIT = "int8"
DTYPES = ("auto", "float32", "bfloat16", "float16", EIGHT_BIT)
DEVICE_MAPS = ("none", "auto")
MAX_LENGTH = 500

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_PATH_STARTS = ("./", "../", "~", ".\\", "..\\")


@dataclass(frozen=True)
class ModelSpec:
    """A model and how to hold it.

    ``source``: ``"default"``, ``"othello"`` (the bundled OthelloGPT),
    a hub id (``owner/name``), a folder, or a ``.gguf`` file. ``revision``: branch, tag or
    commit of a hub model. ``dtype``: ``"auto"`` follows the checkpoint, ``"int8"`` holds the matrices of the blocks in
    8 bit (:mod:`analysis.models.eight_bit`). ``device``: ``"auto"`` takes a GPU if there is
    one. ``device_map="auto"`` spreads the layers over all devices. Any bad value raises UserError(field="model").
    """

    source: str = "default"
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str = "none"

    def __post_init__(self) -> None:
        _check_text(self.source)
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("device map", self.device_map, DEVICE_MAPS)
        if self.dtype == EIGHT_BIT and self.device_map != "none":
            raise _bad("A model in 8 bit is held on one device. Choose the device map none, or another dtype.")
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise _bad("The device must be auto, cpu, mps, cuda, or cuda: and a number, such as cuda:0.")
        if self.kind == "hub" and (not _HUB_ID.fullmatch(self.source) or ".." in self.source):
            raise _bad(
                "This is neither a model id nor a path. A model id looks like owner/name, with letters, digits, dots, "
                "dashes and underscores; a path starts with / or ./ or ~, or ends in .gguf."
            )
        if self.revision is not None:
            if not isinstance(self.revision, str) or not _REVISION.fullmatch(self.revision) or ".." in self.revision:
                raise _bad(
                    "The revision must be the name of a branch or tag, or a commit hash. Leave it empty for main."
                )
            if self.kind != "hub":
                raise _bad("Only a model from the hub has revisions. Leave the revision empty.")

    @property
    def kind(self) -> Kind:
        """``"default"``, ``"hub"``, ``"folder"`` or ``"gguf"``. Looks at the disk only for a plain relative name."""
        if self.source == "default":
            return "default"
        if self.source == OTHELLO:
            return "folder"
        if self.source.lower().endswith(".gguf"):
            return "gguf"
        if self.source.startswith(_PATH_STARTS) or self.source in (".", "..") or Path(self.source).is_absolute():
            return "folder"
        # A plain name is a folder only where folders may be read at all, so that it does not tell what lies elsewhere.
        path = _resolve(self.source)
        try:
            return "folder" if path is not None and path.is_dir() else "hub"
        except OSError:  # longer than a file's name may be
            return "hub"

    @property
    def label(self) -> str:
        """A short name for the screen, without folders or owner."""
        if self.kind == "default":
            return SMOLLM2.label
        if self.source == OTHELLO:
            return "OthelloGPT"
        if self.kind == "hub":
            name = self.source.rpartition("/")[2]
            return f"{name} at {self.revision[:12]}" if self.revision else name
        name = Path(self.source).name
        if name in ("", "~", ".."):
            path = _resolve(self.source)
            name = path.name if path is not None else ""
        return name[: -len(".gguf")] if self.kind == "gguf" else name or self.source

    def to_dict(self) -> dict[str, Any]:
        """All five fields as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> ModelSpec:
        """The reverse of :meth:`to_dict`; missing fields take their defaults, an empty revision is none.

        Raises UserError(field="model") for anything that is not such a dictionary.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not all(isinstance(name, str) and name in known for name in data):
            raise _bad(f"A model is described by the fields {', '.join(sorted(known))} and no others.")
        values = {name: value for name, value in data.items() if not (name == "revision" and value == "")}
        return cls(**values)


def model_root() -> Path | None:
    """The only folder from which local models may be read (``ATTUNE_MODEL_ROOT``), or None: any folder."""
    named = os.environ.get("ATTUNE_MODEL_ROOT")
    return Path(named).expanduser().resolve() if named else None


def local_path(spec: ModelSpec) -> Path | None:
    """Where a local specification leads, not looked at; None for any other, and for what may not be read."""
    return _resolve(spec.source) if spec.kind in ("folder", "gguf") else None


def check_local(spec: ModelSpec) -> Path | None:
    """The resolved folder or GGUF file of a local specification; None for the default model and for the hub.

    A relative path starts at ``ATTUNE_MODEL_ROOT`` if that is set, else at the working directory. Reads the config.json
    of a folder and the first bytes of a GGUF file. Raises UserError(field="model"): outside the root, itself or a file
    within; missing; no plain file; no config.json or one that describes no model; not GGUF.
    """
    if spec.kind not in ("folder", "gguf"):
        return None
    path = _resolve(spec.source)
    if path is None:
        raise _bad("This server reads local models from one folder only, and this path is not in it.")
    try:
        return _check_file(path) if spec.kind == "gguf" else _check_folder(path)
    except OSError as error:
        raise _bad(
            f"{path.name} cannot be read ({error.strerror or 'system error'}). Check its permissions."
        ) from error


def _resolve(source: str) -> Path | None:
    """The path under its own name, or None if what it leads to lies outside the model root or cannot be followed.

    A link is followed only to see where it leads: a file in the hub's cache is a link to a blob without a name.
    """
    if source == OTHELLO:
        return _OTHELLO_FOLDER
    root = model_root()
    try:
        path = Path(os.path.abspath((root or Path.cwd()) / Path(source).expanduser()))
        end = path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return path if root is None or end.is_relative_to(root) else None


def _check_folder(path: Path) -> Path:
    if not path.exists():
        raise _bad(f"There is no folder {path.name} at this path. Check the spelling.")
    if not path.is_dir():
        raise _bad(
            f"{path.name} is a file. Give the folder that holds config.json and the weights, or a .gguf file; a "
            "checkpoint of an OthelloGPT opens on the Othello page."
        )
    if (path / "config.json").is_file():
        check_folder_files(path, None if path == _OTHELLO_FOLDER else model_root())
        check_config(path)
        return path
    if (path / "adapter_config.json").is_file():
        raise _bad(
            f"The folder {path.name} holds an adapter. Merge it into its base model and save that, then load it."
        )
    inside = sorted({whole_name(p) for p in path.glob("*.gguf")})
    if inside:
        raise _bad(
            f"The folder {path.name} has no config.json, but GGUF files. Give the path of one, such as {inside[0]}."
        )
    raise _bad(f"The folder {path.name} has no config.json, so it is not a saved model. Give the folder that has it.")


def _check_file(path: Path) -> Path:
    parts = gguf_parts(path, model_root())
    if parts:
        whole = whole_name(path)
        raise _bad(
            f"{path.name} is one of {len(parts)} parts of a split model, and not a model by itself. To read all parts "
            f"as one, give the name without the number of the part: {whole}"
        )
    if not path.exists():
        first = sorted(path.parent.glob(f"{glob.escape(path.stem)}-00001-of-*.gguf"))
        if first and gguf_parts(first[0], model_root()):
            path = first[0]
    if not path.exists():
        raise _bad(f"There is no file {path.name} at this path. Check the spelling.")
    if not path.is_file():
        raise _bad(f"{path.name} is not a file. Give the path of the GGUF file itself.")
    with path.open("rb") as file:  # a plain file, as just seen: a pipe would hold whoever opens it
        start = file.read(24)
    if start[:4] != b"GGUF":
        pointer = "is a Git LFS pointer in place of the weights. Fetch them: git lfs pull."
        wrong = "is not a GGUF file: it does not begin with the letters GGUF. Download it again."
        raise _bad(f"{path.name} {pointer if start.startswith(b'version https://git-lfs') else wrong}")
    if len(start) < 24:
        raise _bad(f"{path.name} ends inside its header: the download is not complete. Download it again.")
    return path


def _check_text(source: object) -> None:
    if not isinstance(source, str) or not source.strip():
        raise _bad("Name a model: default, a model id from the hub, a folder, or a .gguf file.")
    if len(source) > MAX_LENGTH:
        raise _bad(f"The model's name is longer than {MAX_LENGTH} characters.")
    check_no_host(source, "model")
    if source != source.strip() or any(unicodedata.category(c) in ("Cc", "Cs") for c in source):
        raise _bad("The model's name has characters that cannot be seen, or blanks around it. Type it again.")


def check_no_host(path: str, field: str) -> None:
    """Raises UserError(field) for a path that begins with two slashes or backslashes: on some systems the mere look at
    it asks another machine, with this user's name and password."""
    if path[:2].replace("\\", "/") == "//":
        raise UserError("A path that begins with two slashes names another machine. Give one on this machine.", field)


def _one_of(what: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _bad(f"The {what} must be one of {', '.join(allowed)}.")


def _bad(message: str) -> UserError:
    return UserError(message, "model")
