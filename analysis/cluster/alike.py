"""What is alike on nodes that work for one another: the code, libraries that decide numbers, the data folder."""

from __future__ import annotations

import importlib.metadata
import socket
from pathlib import Path
from typing import Any

from analysis.engine.keys import code_version
from analysis.engine.own import PLACES

ALIKE = ("torch", "transformers")
"""Libraries whose versions decide numbers, so that all nodes need the same ones."""


def versions() -> dict[str, str]:
    """What must be the same wherever answers that are kept together are computed."""
    return {"Attune": code_version("analysis"), **{name: importlib.metadata.version(name) for name in ALIKE}}


def nonce_path(home: str, nonce: str) -> Path:
    """The file of a data folder by which a node shows that it sees the same folder."""
    return Path(home) / PLACES / f".seen-{nonce}"


def shows(home: str, nonce: str) -> bool:
    """Whether the data folder of that path, as it is seen from here, is the one in which a nonce was written."""
    try:
        return nonce_path(home, nonce).read_text(encoding="utf-8") == nonce
    except OSError:
        return False


def refusal(given: dict[str, Any]) -> str:
    """Why what runs here would not fit the others, by ``home``, ``nonce`` and ``versions``; "" if it would."""
    node = socket.gethostname()
    if not shows(given["home"], given["nonce"]):
        return (
            f"{node} does not see the data folder {given['home']} as the web server does. Share that folder under the "
            "same path with all nodes, and name it by ATTUNE_HOME."
        )
    ours = versions()
    for name, version in given["versions"].items():
        if ours.get(name) != version:
            what = "another version of Attune's code" if name == "Attune" else f"{name} {ours.get(name)}"
            wanted = "" if name == "Attune" else f", the web server's side {version}"
            return f"{node} has {what}{wanted}. Install the same on all nodes, or answers kept together would differ."
    return ""
