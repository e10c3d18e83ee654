"""What a model's configuration says, and the shapes that follow from it when no header gives them.

transformers' own configuration classes know each architecture's names and defaults, so no list of architectures is
kept here. Where a model has no safetensors file, its module is built on torch's meta device, which has shapes but no
memory. A configuration is foreign input: whatever is wrong with it becomes a sentence, and code that it points to is
never run.
"""

from __future__ import annotations

from typing import Any

from analysis.models.config_limits import MAX_LAYERS
from analysis.models.metadata_facts import Facts, Stored, bad, is_buffer, parameters_only


def described(
    config: dict[str, Any], tensors: list[Stored] | None, origin: str, size: int | None, weights: str
) -> Facts:
    """Add what the configuration says; ``tensors`` None means: take the shapes from a module on the meta device."""
    parsed, notes = _parsed_config(config)
    text = parsed.get_text_config()
    if tensors is None:
        tensors = _meta_tensors(parsed)
        origin += " The stored type is what the configuration says."
    else:
        _check_filled(parsed, config, tensors)
        tensors = parameters_only(tensors, bool(getattr(text, "tie_word_embeddings", False)))
    if weights == "pickle":
        notes.append(
            "These weights are pickle files; they are read with weights_only=True, so that no code in them runs."
        )
    names = config.get("architectures")
    return Facts(
        tensors=tensors,
        config=config,
        architecture=str(names[0])
        if isinstance(names, list) and names
        else type(parsed).__name__.replace("Config", ""),
        model_type=str(config.get("model_type", "")),
        layers=getattr(text, "num_hidden_layers", None),
        heads=getattr(text, "num_attention_heads", None),
        origin=origin,
        bytes_on_disk=size,
        notes=notes,
        weights=weights,
    )


def _check_filled(parsed: Any, config: dict[str, Any], tensors: list[Stored]) -> None:
    """Raises UserError if config.json describes far more than the files hold: what they lack would be made, so that a
    few kilobytes could take all memory, and only then be found missing."""
    layers = getattr(parsed.get_text_config(), "num_hidden_layers", None)
    if isinstance(layers, int) and layers > len(tensors):
        raise bad(
            f"config.json describes {layers:,} layers, and the files hold {len(tensors):,} tensors. They do not belong "
            "together: download both again."
        )
    if config.get("quantization_config"):
        return  # packed: a stored number is not a number of the model
    whole = [t for t in tensors if t.dtype.startswith(("int", "uint", "bool")) and not is_buffer(t)]
    if 2 * sum(t.numbers for t in whole) > sum(t.numbers for t in tensors):
        raise bad(
            f"The weights are stored as {whole[0].dtype}, and config.json does not say how they were quantised. Save "
            "them as floating numbers, or with their quantization_config."
        )
    held, wanted = sum(t.numbers for t in tensors), sum(t.numbers for t in _meta_tensors(parsed))
    if wanted > 1.5 * held + 100_000_000:
        raise bad(
            f"config.json describes {wanted / 1e6:,.0f} million numbers, and the files hold {held / 1e6:,.0f} million. "
            "They do not belong together: download both again."
        )


def _parsed_config(config: dict[str, Any]) -> tuple[Any, list[str]]:
    """transformers' own configuration object, which knows each architecture's names and defaults."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        if config.get("auto_map"):
            raise bad(
                "This model brings its own Python code, and Attune never runs code from a model repository. Choose a "
                "model whose architecture is part of transformers."
            )
        raise bad(f"The installed transformers does not know the model type {str(kind)[:60]!r}. Choose another model.")
    try:
        kind_class: Any = CONFIG_MAPPING[kind]
        # transformers writes infinity as {"__float__": "Infinity"}, and takes it back on reading a file only.
        decoded = getattr(kind_class, "_decode_special_floats", lambda data: data)(config)
        parsed = kind_class.from_dict(decoded)
    except Exception as error:  # a configuration is foreign input; each class refuses in its own way
        raise bad(
            f"The model's config.json does not make sense to transformers: {_first_line(error)} Correct it, or "
            "download the model again."
        ) from error
    if type(parsed) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise bad(f"A model of type {kind} is not a causal language model. Choose one that predicts the next token.")
    ignored = "This model brings its own Python code; it is not run, transformers' own class is used instead."
    return parsed, [ignored] if config.get("auto_map") else []


def _meta_tensors(parsed: Any) -> list[Stored]:
    """The parameters of the module that ``parsed`` describes; tied weights are one parameter, so they come once."""
    import torch
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM.from_config
    if not 0 < (getattr(parsed.get_text_config(), "num_hidden_layers", 0) or 0) <= MAX_LAYERS:
        raise bad(f"The model's config.json names no sensible number of layers (1 to {MAX_LAYERS}). Correct it.")
    try:
        with torch.device("meta"):
            model = build(parsed, trust_remote_code=False)
    except Exception as error:  # see _parsed_config
        raise bad(
            f"No module can be built from the model's config.json: {_first_line(error)} Correct it, or download the "
            "model again."
        ) from error
    return [
        Stored(name, str(p.dtype).removeprefix("torch."), tuple(p.shape), p.numel() * p.element_size())
        for name, p in model.named_parameters()
    ]


def _first_line(error: Exception) -> str:
    """The library's own words, of a validation error those on the value."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[1] if len(lines) > 1 and lines[0].endswith(":") else lines[0] if lines else ""
    return f"{(said[:200] or type(error).__name__).rstrip('. ')}."
