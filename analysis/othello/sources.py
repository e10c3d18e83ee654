"""Which OthelloGPT is meant: the bundled one, a checkpoint file, a saved folder, or a model of the hub.

A source is a typed text that may come from an address, so it is checked here once, by the rules of every other model:
paths stay in the folder that the server allows, hub ids look like hub ids, nothing is unpickled and no code is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import UserError
from analysis.models.spec import ModelSpec, model_root

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

FILES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
HUB_FILES = ("synthetic_model.pth", "gpt_synthetic.ckpt", "championship_model.pth", "gpt_championship.ckpt")
"""Names under which the community's checkpoints lie in repositories that are no Hugging Face models."""


def bundled_folder() -> Path:
    """Where the bundled model's config, weights and tokenizer lie."""
    return Path(__file__).resolve().parent.parent / "data" / "othello" / "model"


@dataclass(frozen=True)
class OthelloSource:
    """``text``: ``"bundled"``, the path of a checkpoint file or folder, or a hub id. UserError(field="source") else."""

    text: str = "bundled"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise UserError(
                "Name a model: bundled, the path of a checkpoint (.pth, .ckpt, .safetensors), a folder, or a hub id.",
                "source",
            )
        if self.text == "bundled":
            return
        try:
            ModelSpec(self.text)
        except UserError as error:
            if not self.is_file:
                raise UserError(error.message, "source") from error
        if self.text.lower().endswith(".gguf"):
            raise UserError("A GGUF file holds a language model, not an OthelloGPT.", "source")

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
        """The file or folder on this machine, None for the hub. Raises UserError(field="source") if it may not be read."""
        if self.text == "bundled":
            return bundled_folder()
        root = model_root()
        if not self.is_file and ModelSpec(self.text).kind == "hub":
            return None
        try:
            path = ((root or Path.cwd()) / Path(self.text).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError("This path cannot be followed. Check its spelling.", "source") from error
        if root is not None and not path.is_relative_to(root):
            raise UserError("This server reads local models from one folder only, and this path is not in it.", "source")
        if not path.exists():
            raise UserError(f"There is nothing named {path.name} at this path. Check the spelling.", "source")
        return path

    @property
    def stamp(self) -> str:
        """Changes when a local file does, so that what was loaded before is not taken for it."""
        path = self.path
        if path is None:
            return ""
        newest = path if path.is_file() else path / "model.safetensors"
        return f"{newest.stat().st_mtime_ns} {newest.stat().st_size}" if newest.exists() else ""


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
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        files = HfApi().list_repo_files(name)
        if "config.json" in files:
            wanted = ["config.json", "model.safetensors", "pytorch_model.bin"]
            return Path(snapshot_download(name, allow_patterns=wanted))
        for file in HUB_FILES:
            if file in files:
                return Path(hf_hub_download(name, file))
        others = [f for f in files if f.lower().endswith(FILES)]
        if len(others) == 1:
            return Path(hf_hub_download(name, others[0]))
    except GatedRepoError as error:
        raise UserError(f"{name} asks for permission first. Ask for it on the hub and log in.", "source") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"The hub has no model called {name}. Check the spelling.", "source") from error
    except (HfHubHTTPError, OSError) as error:
        raise UserError(f"The hub could not be reached for {name}. Check the network.", "source") from error
    raise UserError(
        f"{name} holds neither a Hugging Face model nor one of the known checkpoint files ({', '.join(HUB_FILES)}).",
        "source",
    )
