"""What transformers loses of a tokenizer when it reads a GGUF file, put back from the file's own header.

The reader keeps the vocabulary and the merges, but cuts every text at the byte level only, whatever the file says of
how text is cut up first; and it may leave the chat template behind. Then two blanks before a digit become other tokens
than those the model was trained on, without any error. This module hides which declarations are lost and how each is
restored. It knows the cuts that it has been tested with, and leaves every other tokenizer as it was read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def repair_tokenizer(tokenizer: Any, gguf_file: Path) -> None:
    """Restore, in place, the chat template and the digit cut that ``gguf_file`` declares and ``tokenizer`` lacks.

    Maps the file and reads its header; no weight is touched. Raises what the GGUF reader raises on a damaged file.
    """
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    fields = GGUFReader(str(gguf_file)).fields
    if not tokenizer.chat_template and "tokenizer.chat_template" in fields:
        tokenizer.chat_template = fields["tokenizer.chat_template"].contents()
    pre = fields["tokenizer.ggml.pre"].contents() if "tokenizer.ggml.pre" in fields else None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if pre == "smollm" and backend is not None:
        # This tokenizer parts digits from each other and from blanks first; the reader keeps only the byte level.
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
