"""A causal language model as this house sees it: found, estimated, loaded, described, recorded, intervened in.

``load_model`` is public here; it is loaded on first use, because the web process imports the plain specification only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.models.loader import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    if name != "load_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analysis.models.loader import load_model

    return load_model
