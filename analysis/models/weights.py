"""What the library's loading report says about a model's files, in words: missing, unused, of another shape.

transformers draws at random what a file lacks and goes on with a table on standard error. Then every load is another
model, and every figure about it is noise. So nothing that is missing is accepted here, and what is left over is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import torch

from analysis.errors import UserError
from analysis.spoken import counted

_NAMED = 3


def check_weights(label: str, report: dict[str, Any]) -> list[str]:
    """Sentences on what the files hold beyond the model (none or one), for the facts.

    ``report``: transformers' loading report: ``missing_keys``, ``unexpected_keys``, ``mismatched_keys`` (name, stored
    shape, shape of the model), ``error_msgs``.

    Raises:
        UserError(field="model"): weights are missing or of another shape than config.json says.
    """
    missing, unused = sorted(report.get("missing_keys", ())), sorted(report.get("unexpected_keys", ()))
    other = sorted(report.get("mismatched_keys", ()))
    if other:
        name, stored, wanted = other[0]
        raise _bad(
            f"{counted(len(other), 'weight')} of {label} {_have(len(other))} another shape than config.json says, such "
            f"as {name}: {_shape(stored)} in the file, {_shape(wanted)} in the model. Correct config.json, or save "
            "model and config together again."
        )
    if missing:
        raise _bad(_missing_sentence(label, missing, unused))
    errors = [str(e) for e in report.get("error_msgs", ())]
    if errors:
        raise _bad(f"The weights of {label} could not be read: {' '.join(errors[0].split())[:300]}")
    if not unused:
        return []
    return [
        f"The files hold {counted(len(unused), 'tensor')} that this model does not use: {_names(unused)}. What was "
        "loaded is what config.json describes; check it if those belong to the model."
    ]


def take_into_memory(model: Any) -> None:
    """Copy weights that are a file mapped into memory: whoever writes into that file would change the loaded model, and
    whoever shortens it would end the process."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.data.layout == torch.strided and type(tensor.data) is torch.Tensor:
            tensor.data = tensor.data.clone()


def tie_notes(model: Any) -> list[str]:
    """A sentence where config.json ties the unembedding to the embedding and the files hold two different ones."""
    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    tied = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    if not tied or not getattr(model, "_tied_weights_keys", None) or out is None or out.weight is into.weight:
        return []
    if out.weight.shape != into.weight.shape or out.weight.is_meta or torch.equal(out.weight, into.weight):
        return []
    return [
        "config.json says that embedding and unembedding are one (tie_word_embeddings), and the files hold two "
        "different ones; both are used as they are in the files."
    ]


def _missing_sentence(label: str, missing: list[str], unused: list[str]) -> str:
    start = f"The files of {label} lack {counted(len(missing), 'weight')} of the model: {_names(missing)}. "
    prefix = _prefix(missing, unused)
    if prefix:
        return start + (
            f"The other names in the file begin with {prefix!r}, as a wrapper leaves them behind; take that beginning "
            "off the names (or save the model that is wrapped), then load it again."
        )
    rest = f" The files hold {counted(len(unused), 'other tensor')}: {_names(unused)}." if unused else ""
    return start + (
        "They would be drawn at random, so the model is not loaded. Save it whole, or fetch the missing file." + rest
    )


def _prefix(missing: list[str], unused: list[str]) -> str:
    """What stands before every unused name and makes missing weights of them; empty where there is no such thing."""
    first, last = (min(unused), max(unused)) if unused else ("", "")
    common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    wanted = set(missing)
    for end in sorted((i + 1 for i, c in enumerate(common) if c == "."), reverse=True):
        share = sum(name[end:] in wanted or f"model.{name[end:]}" in wanted for name in unused)
        if share * 2 > len(unused):
            return common[:end]
    return ""


def _names(names: Iterable[str]) -> str:
    shown = [n[:80] for n in names]
    more = len(shown) - _NAMED
    return ", ".join(shown[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _shape(sizes: Iterable[int]) -> str:
    return " x ".join(f"{int(n):,}" for n in sizes) or "a single number"


def _bad(message: str) -> UserError:
    return UserError(message, "model")
