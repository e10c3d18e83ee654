"""Which OthelloGPT is meant: the bundled one, a checkpoint file, a saved folder, or a model of the hub.

A source is a typed text that may come from an address, so it is checked here once, by the rules of every other model:
paths stay in the folder that the server allows, hub ids look like hub ids, nothing is unpickled and no code is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import foreign
from analysis.errors import UserError
from analysis.models.folder_files import check_folder_files
from analysis.models.spec import OTHELLO, ModelSpec, check_no_host, model_root
from analysis.models.stamp import stamp_of, surroundings_of
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

    from analysis.models.loaded_model import LoadedModel

FILES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
HUB_FILES = ("synthetic_model.pth", "gpt_synthetic.ckpt", "championship_model.pth", "gpt_championship.ckpt")
"""Names under which the community's checkpoints lie in repositories that are no Hugging Face models."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in a folder that transformers saved."""
_HUGGING_FACE = ["config.json", *WEIGHTS]


def bundled_folder() -> Path:
    """Where the bundled model's config, weights and tokenizer lie."""
    return Path(__file__).resolve().parent.parent / "data" / "othello" / "model"


@dataclass(frozen=True)
class OthelloSource:
    """``text``: ``"bundled"``, the path of a checkpoint file or folder, or a hub id. UserError(field="source") else."""

    text: str = "bundled"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise _bad(
                "Name a model: bundled, the path of a checkpoint (.pth, .ckpt, .safetensors), a folder, or a hub id."
            )
        if self.text == "bundled":
            return
        check_no_host(self.text, "source")
        try:
            kind = ModelSpec(self.text).kind
        except (UserError, OSError) as error:  # OSError: a plain name longer than a file's may be
            if not self.is_file:
                raise _bad(getattr(error, "message", "This is neither a path nor a model id.")) from error
            kind = "folder"
        if kind in ("default", "gguf") or self.text == OTHELLO:
            raise _bad(
                f"{self.label} is no OthelloGPT that this page can open. Write bundled for the one that is here."
            )
        try:
            _ = self.spec
        except UserError as error:
            raise _bad(error.message) from error

    @property
    def is_file(self) -> bool:
        """Whether the text names a checkpoint file."""
        return self.text.lower().endswith(FILES) and len(self.text) <= 500 and self.text.isprintable()

    @property
    def label(self) -> str:
        """A short name without folders."""
        return "OthelloGPT, bundled" if self.text == "bundled" else Path(self.text).name or self.text

    @cached_property
    def path(self) -> Path | None:
        """The file or folder on this machine, None for the hub. UserError(field="source") if absent or not allowed."""
        if self.text == "bundled":
            if not bundled_folder().is_dir():
                raise _bad("This installation has no bundled OthelloGPT. Give the path of a checkpoint or a hub id.")
            return bundled_folder()
        root = model_root()
        if not self.is_file and ModelSpec(self.text).kind == "hub":
            return None
        try:
            path = ((root or Path.cwd()) / Path(self.text).expanduser()).resolve()
            if root is not None and not path.is_relative_to(root):
                raise _bad("This server reads local models from one folder only, and this path is not in it.")
            there = path.exists()
        except (OSError, RuntimeError) as error:
            raise _bad("This path cannot be followed. Check its spelling.") from error
        if not there:
            raise _bad(f"There is nothing named {path.name} at this path. Check the spelling.")
        if path.is_dir():
            if (path / "config.json").exists():
                check_folder_files(path, root, "source")
        else:
            foreign.regular(path, "source")
            if path.name in WEIGHTS:  # is read with the config.json beside it
                check_folder_files(path.parent, root, "source")
        return path

    @property
    def spec(self) -> ModelSpec:
        """How the models in memory name it; where it leads is not looked at."""
        if self.text == "bundled":
            return ModelSpec(OTHELLO)
        named = self.text if not self.is_file or self.text.startswith(("/", "~", "./", "../")) else f"./{self.text}"
        return ModelSpec(named, dtype="float32")


def load_network(source: OthelloSource, progress: Progress = silent) -> LoadedModel:
    """The network of a source with its tokenizer and facts, proved as every other model is.

    Raises UserError(field="source"): as :func:`load_othello`, or it fails what is to be proved.
    """
    from analysis.models.loader import adopt
    from analysis.othello.model import othello_tokenizer

    progress(0.1, "reading weights")
    before = stamp_of(source.spec)
    model = load_othello(source)
    progress(0.5, "proving that it is the model in the files")
    try:
        folder = source.path is not None and source.path.is_dir()
        surroundings = surroundings_of(source.spec) if folder else ""
        return adopt(model, othello_tokenizer(), source.spec, before, surroundings)
    except UserError as error:
        raise _bad(error.message) from error


def load_othello(source: OthelloSource) -> GPT2LMHeadModel:
    """The network of a source in float32 and evaluation mode.

    Raises UserError(field="source"): not there, not readable, no OthelloGPT; the sentence says which.
    """
    from analysis.othello.checkpoints import load_checkpoint, load_folder

    path = source.path
    if path is None:
        path = _from_hub(source.text)
    return load_folder(path) if path.is_dir() else load_checkpoint(path)


def _from_hub(name: str) -> Path:
    """The folder or file of a hub id in the hub's cache, downloaded if it is not there yet."""
    from huggingface_hub import HfApi, constants, errors, hf_hub_download, snapshot_download

    http_error: type[Exception] = getattr(errors, "HTTPError", OSError)  # of the HTTP library, whichever it is
    try:
        # Asked first and with a short limit: a download would try for half a minute where there is no network.
        info = HfApi().model_info(name, timeout=5)
        files = [s.rfilename for s in info.siblings or []]
        if "config.json" in files:
            return Path(snapshot_download(name, revision=info.sha, allow_patterns=_HUGGING_FACE))
        others = [f for f in files if f.lower().endswith(FILES)]
        chosen = next((f for f in HUB_FILES if f in files), others[0] if len(others) == 1 else None)
        if chosen is not None:
            return Path(hf_hub_download(name, chosen, revision=info.sha))
    except errors.GatedRepoError as error:
        raise _bad(
            f"{name} is gated: its owner asks who downloads it. Accept its terms on the hub and log in."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise _bad(
            f"The hub has no model {name}, or it is private. Check the spelling; for a private model set HF_TOKEN."
        ) from error
    except (http_error, OSError) as error:
        kept = _in_cache(name)
        if kept is not None:
            return kept
        if constants.HF_HUB_OFFLINE:
            raise _bad(
                f"Downloads are switched off (HF_HUB_OFFLINE), and {name} is not on this machine. Give a file."
            ) from error
        raise _bad(
            f"The hub cannot be reached from this machine, and {name} is not in its cache here. Check the network, or "
            "give the path of a checkpoint."
        ) from error
    raise _bad(
        f"{name} holds neither a Hugging Face model nor one of the known checkpoint files ({', '.join(HUB_FILES)})."
    )


def _in_cache(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for file in (*_HUGGING_FACE[1:], *HUB_FILES):
        found = try_to_load_from_cache(name, file)
        if isinstance(found, str):
            return Path(found).parent if file in _HUGGING_FACE else Path(found)
    return None


def _bad(message: str) -> UserError:
    return UserError(message, "source")
