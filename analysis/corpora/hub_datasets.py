"""The texts of a dataset on the hub, one after the other, without downloading it whole.

The field's own library streams them. It is imported only here and only when a dataset is read: the bundled corpus and
uploads need neither it nor a network. It fails in many ways, and its calls may wait for minutes; this module turns
each failure into a sentence and bounds the wait. Code from a dataset is never run, and files of this machine are never
read in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from analysis.corpora.text_source import TextSource, refusal
from analysis.deadline import in_time
from analysis.errors import UserError

OPEN_SECONDS = 60.0
_COLUMNS = ("text", "content", "document", "article", "sentence", "body")
_T = TypeVar("_T")


def stream_texts(source: TextSource) -> Iterator[str]:
    """The texts of a dataset source, blank ones left out, in the order of the hub.

    Raises UserError(field="texts"): the library is missing, the hub is out of reach, no such dataset, split or column.
    """
    column = ""
    for row in stream_rows(source):
        column = column or _column(row, source)
        text = row.get(column)
        if isinstance(text, str) and text.strip():
            # A dataset may hold half a surrogate pair; no tokenizer takes it.
            yield text.encode("utf-8", "replace").decode("utf-8")


def stream_rows(source: TextSource) -> Iterator[dict[str, Any]]:
    """The rows of a dataset source with all their columns, in the order of the hub; UserError as stream_texts."""
    rows = iter(_attempt(lambda: _open(source), source))
    while (row := _attempt(lambda: next(rows, None), source)) is not None:
        yield row


def _open(source: TextSource) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise refusal(
            "Reading a dataset from the hub needs the package datasets. Install it (pip install datasets), or upload a "
            "text file."
        ) from error
    # With this prefix a folder or a builder of the same name on this machine is never meant.
    builder = datasets.load_dataset_builder(
        f"hf://datasets/{source.name}", source.config or None, revision=source.revision or None
    )
    files = getattr(builder.config, "data_files", None) or {}
    if any(not str(f).startswith("hf://") for group in files.values() for f in group):
        raise refusal(f"The dataset {source.name} names files outside itself, so it is not read. Choose another one.")
    splits = sorted(builder.info.splits or files)
    split = source.split or (splits[0] if len(splits) == 1 else "train")
    if splits and split not in splits:
        raise refusal(f"The dataset {source.name} has no split {split}. It has {', '.join(splits[:8])}.")
    return builder.as_streaming_dataset(split=split)


def _column(row: dict[str, Any], source: TextSource) -> str:
    texts = [name for name, value in row.items() if isinstance(value, str)]
    if source.column:
        if source.column in texts:
            return source.column
        has = f"The columns that do are {', '.join(texts[:8])}." if texts else "No column does."
        raise refusal(f"The dataset {source.name} has no column {source.column} that holds text. {has}")
    known = [name for name in _COLUMNS if name in texts]
    if known or len(texts) == 1:
        return (known or texts)[0]
    if not texts:
        raise refusal(f"No column of the dataset {source.name} holds text. Choose another dataset.")
    raise refusal(f"Several columns of {source.name} hold text: {', '.join(texts[:8])}. Name the one to read.")


def _attempt(work: Callable[[], _T], source: TextSource) -> _T:
    """Do ``work`` in a thread, wait OPEN_SECONDS at most, and say in words what went wrong."""
    try:
        return in_time(work, OPEN_SECONDS)
    except UserError:
        raise
    except Exception as error:
        raise refusal(_sentence(error, source)) from error


def _sentence(error: Exception, source: TextSource) -> str:
    """What an exception of the library or of the network means; told by class names, since they move between them."""
    name, kinds, text = source.name, {c.__name__ for c in type(error).__mro__}, " ".join(str(error).split())
    if "gated" in text:
        return f"The dataset {name} is gated: accept its terms on its page on the hub, then set HF_TOKEN."
    if "DatasetNotFoundError" in kinds and source.revision and "Revision" in text:
        return f"The dataset {name} has no revision {source.revision}. Check the spelling, or leave it empty."
    if "DatasetNotFoundError" in kinds:
        return f"The hub has no dataset {name}, or it is private. Check the spelling; for a private one set HF_TOKEN."
    if "scripts" in text:
        return f"The dataset {name} needs code of its own to be read, which is never run. Choose another dataset."
    if "onfig" in text and "ValueError" in kinds:
        return f"The dataset {name} comes in several configurations, or not in the one named. {text[:300]}"
    if kinds & {"ConnectionError", "TimeoutError", "OfflineModeIsEnabled", "TransportError", "OSError"}:
        return (
            f"The hub cannot be reached from this machine, so the dataset {name} cannot be read. Check the network, or "
            "upload a text file."
        )
    return f"The dataset {name} cannot be read: {text[:300].rstrip('.') or type(error).__name__}."
