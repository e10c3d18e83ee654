"""Whether a config.json describes a model at all, before a class of transformers sees it.

A configuration of eighty bytes can name twenty million layers, and a configuration class answers with lists of that
length, for minutes and without a point at which it could be stopped. So the raw JSON is looked at first, at any depth
(``text_config`` and the like hold the same numbers). Numbers are told apart by what their names count, since every
architecture has names of its own; each limit is several times what any published model has.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from analysis import foreign
from analysis.errors import UserError

MAX_CONFIG = 4_000_000
"""Bytes of a config.json. The largest published ones, with names for 21,000 classes, have about one million."""
MAX_LAYERS = 512
_MAX_VALUES = 400_000
_LIMITS = (
    # what a name counts, the most that is believed, and what it is called in the sentence; the first that fits holds
    (re.compile(r"vocab|n_tokens"), 100_000_000, "tokens"),
    (re.compile(r"norm|scale|drop|eps(ilon)?$|theta|channels?|strides?|factor|idx|index|proposals"), 2**40, "number"),
    (re.compile(r"(hidden|intermediate|embed|embedding|model|ffn|inner|state|head|proj|mlp|expert|rank)_?(size|dim)s?$"
                r"|^(d_model|n_embd|n_inner|dim|d_ff|d_kv|d_inner|d_state|n_ctx|width)$"), 4_000_000, "dimensions"),
    (re.compile(r"(labels|classes)$"), 100_000, "labels"),
    (re.compile(r"experts?$|experts_per|n_routed"), 65_536, "experts"),
    (re.compile(r"(layers?|depths?|blocks?|stages?|layers_per_\w+|block_count)$"), MAX_LAYERS, "layers"),
    (re.compile(r"heads?$"), 65_536, "heads"),
    (re.compile(r"position"), 100_000_000, "positions"),
)  # fmt: skip


def check_config(path: Path, field: str = "model") -> dict[str, Any]:
    """The JSON object in a model's ``config.json``, looked at before any configuration class is built of it.

    ``path``: the file, or the folder that holds it. Raises UserError(field): absent, no plain file, over
    4 MB, no JSON object, or describing what :func:`check_values` refuses.
    """
    file = path / "config.json" if path.is_dir() else path
    config = foreign.read_json(file, MAX_CONFIG, field, infinite=True)
    if not isinstance(config, dict):
        raise UserError(f"{file.name} does not hold what a model's {file.name} should. Download it again.", field)
    try:
        check_values(config, file.name)
    except UserError as error:
        raise UserError(error.message, field) from error
    return config


def check_values(config: dict[str, Any], name: str = "config.json") -> None:
    """Raises UserError(field="model") for numbers that no model has (layers, widths, experts, tokens, labels), at any
    depth; for more values than a configuration has; and for a file name that leads out of the folder."""
    stack: list[tuple[str, Any]] = [("", config)]
    seen = 0
    while stack:
        key, value = stack.pop()
        seen += 1
        if isinstance(value, dict):
            stack.extend((str(k), v) for k, v in value.items())
        elif isinstance(value, list):
            if _of(key)[1] == "layers" and len(value) > MAX_LAYERS:
                raise _bad(
                    f"{name} lists {len(value):,} values for {key[:60]}. No model has so many layers; correct it."
                )
            stack.extend((key, v) for v in value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(name, key, value)
        elif isinstance(value, str) and key == "transformers_weights" and Path(value).name != value:
            raise _bad(f"{name} names weights outside of its folder ({Path(value).name[:60]}). Correct it.")
        if seen + len(stack) > _MAX_VALUES:
            raise _bad(f"{name} holds more values than a configuration of a model has. It is another file.")


def _check_number(name: str, key: str, value: float) -> None:
    most, what = _of(key)
    if math.isfinite(value) and abs(value) > most:
        said = f"{value:,}" if abs(value) < 10**12 else f"{value:.1e}"
        raise _bad(
            f"{name} says {key[:60]} = {said}, and no model has so many {what} (at most {most:,}). Correct the file."
            if what != "number"
            else f"{name} says {key[:60]} = {said}, which is beyond what such a setting can be. Correct the file."
        )


def _of(key: str) -> tuple[float, str]:
    lower = key.lower()
    for pattern, most, what in _LIMITS:
        if pattern.search(lower):
            return most, what
    return 2**63, "number"


def _bad(message: str) -> UserError:
    return UserError(message, "model")
