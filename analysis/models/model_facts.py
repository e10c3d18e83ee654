"""What is known of a model, as plain data without torch: after loading, and from its metadata before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from analysis.answer import Incidental

ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by the types in which models are held."""


@dataclass(frozen=True)
class ModelFacts:
    """What a page may know about a loaded model; plain data.

    ``attention_layers`` lists the layers that have a softmax attention which was seen to report; ``missing_layers``
    those that should have and did not. ``heads``, ``key_heads`` and ``head_width`` are the largest of any layer;
    ``layer_heads`` has the query heads of each attention layer, in order. ``max_positions``: the longest input, of the
    configuration or of learned positions, whichever is less; 0 for no limit. ``embeddings``: tokens that the embedding
    has. ``recording_error`` is the largest absolute difference between attention weights recomputed from recorded
    queries and keys and the model's own eager weights, over all layers and heads, on a probe of ``probe_tokens``
    tokens; None where that is no finite number. ``seconds_per_token`` is the time of that probe's forward pass, for
    estimates. ``fingerprint`` identifies the weights. ``unread_english``: share of an English text, in [0, 1], that the
    tokenizer does not know. ``proof``: sentences on what loading has proved; ``proof_seconds``: what it took.
    ``eight_bit``: whether the matrices of the blocks are held in 8 bit; the rest is in ``dtype``.
    """

    label: str
    source: str
    model_type: str
    architecture: str
    parameters: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    hidden: int
    vocabulary: int
    max_positions: int
    dtype: str
    device: str
    chat_template: bool
    softcap: float | None
    sliding_windows: list[int]
    attention_layers: list[int]
    missing_layers: list[int]
    other_layers: list[int]
    recording_error: float | None
    probe_tokens: int
    fingerprint: str
    seconds_per_token: Annotated[float, Incidental()]
    note: str = ""
    revision: str = ""
    layer_heads: list[int] = field(default_factory=list)
    embeddings: int = 0
    unread_english: float = 0.0
    proof: list[str] = field(default_factory=list)
    proof_seconds: Annotated[float, Incidental()] = 0.0
    eight_bit: bool = False

    @property
    def item_bytes(self) -> int:
        """Bytes of a number that passes give; 4 where its type is none of :data:`ITEM_BYTES`."""
        return ITEM_BYTES.get(self.dtype, 4)

    @property
    def numbers(self) -> str:
        """How the numbers are held, and where, for the screen."""
        return f"{'8 bit and ' if self.eight_bit else ''}{self.dtype} on {self.device}"


@dataclass(frozen=True)
class ModelEstimate:
    """What is known of a model before it is loaded. Plain data; bytes are bytes, not MB.

    ``parameters`` counts each weight once: an unembedding that is tied to the embedding is not counted again, and
    stored buffers (causal masks, rotary frequencies) are not counted. ``stored_dtypes`` counts the same parameters by
    the type in the file. ``bytes_needed`` is for the weights alone in ``dtype``; ``peak_bytes`` is the most that
    loading takes in host memory, computed as ``peak_how`` says. ``gpus`` has index, name, free, total. ``notes`` are
    sentences that the screen shows as they are.
    """

    parameters: int
    bytes_on_disk: int | None
    stored_dtypes: dict[str, int]
    dtype: str
    bytes_needed: int
    peak_bytes: int
    peak_how: str
    architecture: str
    model_type: str
    layers: int | None
    heads: int | None
    origin: str
    host_total: int
    host_free: Annotated[int, Incidental()]
    gpus: list[dict[str, Any]]
    fits: bool
    verdict: str
    notes: list[str]
