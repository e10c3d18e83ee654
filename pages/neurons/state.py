"""What the address of the Neurons page says, read defensively: what cannot be used is left out, and said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analysis.rotate.ops.channels import MAX_CHANNELS, MAX_EXCLUDED, OPTIMISERS, OfChannels
from analysis.rotate.ops.neurons import KINDS
from pages.address import model_fields, number_of, parse_json, recall, short

PATH = "/neurons"
# The state that travels in the address, in the order of the inputs of the address callback.
ADDRESS = [
    "model", "layer", "vector", "neuron", "channels", "lk", "lf", "mask", "optimiser", "seed", "without", "channel",
    "text", "tab", "order",
]  # fmt: skip
TABS = ("channels", "ablation", "geometry", "layers", "null")
ORDERS = ("beyond", "kurtosis", "layer")
SETTINGS = ("channels", "kurtosis_weight", "cosine_weight", "mask_z", "optimiser", "seed")
"""Fields of the search for channels, in the order of the form."""


@dataclass(frozen=True)
class View:
    """The page's state at opening. ``layer`` None: the neuron that most of the null lies below; ``channel`` None: none
    was open, so nothing is computed unasked."""

    model: dict[str, Any] | None = None
    layer: int | None = None
    vector: str | None = None
    neuron: int | None = None
    channels: int = 5
    kurtosis_weight: float = 0.3
    cosine_weight: float = 1.0
    mask_z: float = 4.0
    optimiser: str = "lbfgs"
    seed: int = 0
    excluded: list[int] = field(default_factory=list)
    channel: int | None = None
    text: str = ""
    tab: str = "channels"
    order: str = "beyond"
    problems: list[str] = field(default_factory=list)


# By name in the address: field, type, range.
_NUMBERS: dict[str, tuple[str, type, float, float]] = {
    "layer": ("layer", int, 0, 9_999),
    "neuron": ("neuron", int, 0, 10_000_000),
    "channels": ("channels", int, 1, MAX_CHANNELS),
    "lk": ("kurtosis_weight", float, 0, 100),
    "lf": ("cosine_weight", float, 0.001, 100),
    "mask": ("mask_z", float, 1, 50),
    "seed": ("seed", int, 0, 2**31 - 1),
    "channel": ("channel", int, 1, MAX_CHANNELS),
}
_WORDS = {"vector": KINDS, "optimiser": OPTIMISERS, "tab": TABS, "order": ORDERS}


def read_address(query: dict[str, Any]) -> View:
    """A view from the query of an address, with a sentence for each entry that could not be used."""
    problems: list[str] = []
    fields = model_fields(query, problems)
    for name, (key, kind, low, high) in _NUMBERS.items():
        if query.get(name) is not None:
            value = number_of(query[name], kind)
            if value is None or not low <= value <= high:
                problems.append(
                    f"The address gives {name} as {short(query[name])}; it must be a number from {low:,g} to "
                    f"{high:,.12g}."
                )
            else:
                fields[key] = value
    for name, allowed in _WORDS.items():
        if query.get(name) is not None:
            if query[name] in allowed:
                fields[name] = query[name]
            else:
                problems.append(f"The address gives {name} as {short(query[name])}; it was left out.")
    if query.get("without") is not None:
        fields["excluded"] = _tokens(parse_json(query["without"]), problems)
    if isinstance(query.get("text"), str) and query["text"]:
        fields["text"] = recall(query["text"])
        if not fields["text"]:
            problems.append("The text that the address names is not in this data folder.")
    return View(**fields, problems=problems)


def settings_of(view: View) -> dict[str, Any]:
    """How channels are looked for, as the operations' fields."""
    return {name: getattr(view, name) for name in SETTINGS} | {"excluded": list(view.excluded)}


def asked(values: tuple[Any, ...], excluded: Any) -> dict[str, Any]:
    """The form's values (in the order of SETTINGS) and the tokens left out, as fields of an operation. Raises
    UserError for what cannot be used."""
    found: dict[str, Any] = dict(zip(SETTINGS, values, strict=True))
    found["excluded"] = tuple(row["id"] for row in excluded or [])
    OfChannels(**found)  # a refusal comes here, where the value was typed, and not from a job
    return found


def _tokens(data: Any, problems: list[str]) -> list[int]:
    rows = data if isinstance(data, list) else []
    good = list(dict.fromkeys(n for n in rows if type(n) is int and 0 <= n <= 10_000_000))
    if good != data or len(good) > MAX_EXCLUDED:
        problems.append(
            f"Not all tokens that the address leaves out can be used: at most {MAX_EXCLUDED} different numbers."
        )
    return good[:MAX_EXCLUDED]
