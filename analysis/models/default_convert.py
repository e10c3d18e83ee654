"""How the GGUF file of the default model becomes an ordinary folder, and how a wrong reading is noticed.

Reading a GGUF file dequantises the weights and re-orders the rows of queries and keys, and a mistake in that order
gives a model that runs and speaks, only worse. So the saved folder is measured afterwards, against figures known
beforehand and against the same weights in the wrong order. This module hides transformers' GGUF reader; torch and
transformers are imported only when a conversion is due.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.errors import UserError
from analysis.models.default_source import Source
from analysis.models.gguf_tokenizer import repair_tokenizer

PROBE_PROMPT = "The capital of France is"
PROBE_TEXT = (
    "Photosynthesis is the process by which plants, algae and some bacteria convert light energy into chemical energy. "
    "Carbon dioxide and water are turned into glucose, and oxygen is released into the atmosphere as a by-product of "
    "the reaction."
)


def convert(gguf_file: Path, made: Path) -> dict[str, Any]:
    """Read the GGUF with transformers' own reader and save model, tokenizer and configuration to ``made``.

    float32, because rounding the dequantised values to bfloat16 moves single logits by up to 0.3 (float16: 0.03),
    and 538 MB load in about a second.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The reader draws its own progress bar, whatever transformers' setting says.
    with _quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        where = {"gguf_file": gguf_file.name, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(str(gguf_file.parent), **where)
        model = AutoModelForCausalLM.from_pretrained(str(gguf_file.parent), dtype=torch.float32, **where)
        repair_tokenizer(tokenizer, gguf_file)
        tokenizer.model_max_length = model.config.max_position_embeddings
        # The model that was read calls itself quantised and refuses to be saved; a plain one of its kind does not.
        dropped = {"quantization_config", "_name_or_path", "_model_name_or_path"}
        kept = {name: value for name, value in model.config.to_dict().items() if name not in dropped}
        plain = type(model)(type(model.config).from_dict(kept))
        plain.load_state_dict(model.state_dict())
        for junk in ("is_local", "local_files_only"):
            tokenizer.init_kwargs.pop(junk, None)
        plain.save_pretrained(str(made), max_shard_size="2GB")
        tokenizer.save_pretrained(str(made))
    return {
        "parameters": sum(p.numel() for p in plain.parameters()),
        "layers": plain.config.num_hidden_layers,
        "heads": plain.config.num_attention_heads,
        "bos": tokenizer.bos_token,
        "eos": tokenizer.eos_token,
        "pad": tokenizer.pad_token,
        "chat_template": bool(tokenizer.chat_template),
    }


def probe(path: Path) -> dict[str, Any]:
    """What the saved folder does: its next token after a prompt, and nats per token on an encyclopaedic text.

    ``nats_per_token`` is the mean of -log p(token | tokens before it) over all tokens but the first, natural log,
    float32, no beginning-of-text token. ``nats_wrong_rotary`` is the control: the same with the rows of the query and
    key weights in GGUF's order (neighbours rotate) instead of the half-and-half order that the module expects; it
    shows that the first figure would have noticed. None if the model has no such weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with _quiet_transformers(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(str(path), local_files_only=True, use_safetensors=True)
        model.eval()
        prompt = tokenizer(PROBE_PROMPT, return_tensors="pt").input_ids
        text = tokenizer(PROBE_TEXT, return_tensors="pt").input_ids
        answer = tokenizer.decode(model(prompt).logits[0, -1].argmax())
        facts = {
            "probe_prompt": PROBE_PROMPT,
            "probe_answer": answer,
            "probe_text": PROBE_TEXT,
            "probe_tokens": int(text.shape[1]),
            "nats_per_token": _nats(model, text),
            "nats_wrong_rotary": None,
        }
        layers = getattr(getattr(model, "model", None), "layers", [])
        rotated = [p for layer in layers for p in (layer.self_attn.q_proj, layer.self_attn.k_proj)]
        width = getattr(model.config, "head_dim", None)
        if rotated and width:
            for linear in rotated:
                rows = linear.weight.view(-1, 2, width // 2, linear.in_features)
                linear.weight.copy_(rows.transpose(1, 2).reshape_as(linear.weight))
            facts["nats_wrong_rotary"] = _nats(model, text)
    return facts


def _nats(model: Any, ids: Any) -> float:
    """The model's own mean next-token loss on ``ids`` (int64, 1 x tokens): exactly nats per token."""
    return float(model(ids, labels=ids).loss)


def judge(source: Source, facts: dict[str, Any]) -> None:
    """Refuse a model that does not do what this one is known to do; a wrong layout would look fine otherwise.

    ``facts`` are those of :func:`convert` and :func:`probe` together. Raises UserError(field="model").
    """
    wrong = [
        f"it has {facts[name]} {name} where {getattr(source, name)} were expected"
        for name in ("parameters", "layers", "heads")
        if getattr(source, name) not in (None, facts[name])
    ]
    if source.max_nats is not None and not facts["nats_per_token"] <= source.max_nats:
        wrong.append(f"it needs {facts['nats_per_token']:.2f} nats per token, above {source.max_nats}")
    if source.answer is not None:
        if facts["probe_answer"] != source.answer:
            wrong.append(f"after '{PROBE_PROMPT}' it says '{facts['probe_answer']}'")
        if not all(facts[name] for name in ("chat_template", "bos", "eos", "pad")):
            wrong.append("its tokenizer lacks a special token or the chat template")
    if wrong:
        raise UserError(
            f"The default model was read wrongly: {'; '.join(wrong)}. The installed transformers or gguf package may "
            "be too old or too new; install the versions that Attune names.",
            "model",
        )


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars on stderr while reading; what was set before comes back."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
