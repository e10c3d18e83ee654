"""Artefacts as files that can be handed on: one file for one artefact, a pack for all that belongs to a model.

Any kind on a shelf travels as a single safetensors file with its manifest in the header, and is put on the shelf of
another machine by the shelf's own checks::

    from analysis.portable import open_file, save_file

    save_file("fit", "block-10", "block-10.attune.safetensors")
    opened = open_file("block-10.attune.safetensors")      # on the shelf of this data folder
    opened.name, opened.sentence
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.lazy import public

if TYPE_CHECKING:
    from analysis.portable.file import open_file, save_file

__all__ = ["open_file", "save_file"]

__getattr__ = public(__name__, {"file": "open_file save_file"})
