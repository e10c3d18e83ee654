"""A model on the hub, known from a few kilobytes and within a few seconds, or from the hub's cache on this machine.

The network can be absent, slow or closed, and its client fails in a dozen ways. This module hides all of them: the
question is asked in a thread with a time limit, each refusal becomes a sentence that says what to do, and "out of
reach" is never reported as "absent".
"""

from __future__ import annotations

from pathlib import Path

from analysis.deadline import in_time
from analysis.models.config_limits import check_config
from analysis.models.metadata_config import described
from analysis.models.metadata_facts import Facts, Stored, bad, type_name
from analysis.models.metadata_folder import from_folder
from analysis.models.spec import ModelSpec

HUB_SECONDS = 9.0


def from_hub(spec: ModelSpec) -> Facts:
    """From the hub within HUB_SECONDS, or, where it is out of reach, from the copy that the hub's cache holds."""
    from huggingface_hub import constants, errors, get_token, try_to_load_from_cache

    name = spec.source
    http_error: type[Exception] = getattr(errors, "HTTPError", OSError)  # of the HTTP library, whichever it is
    try:
        return in_time(lambda: _ask_hub(spec), HUB_SECONDS)
    except errors.GatedRepoError as error:
        todo = "accept its terms on its page there" if get_token() else "accept its terms there, then set HF_TOKEN"
        raise bad(f"The model {name} is gated: its owner asks who downloads it. To use it, {todo}.") from error
    except errors.RevisionNotFoundError as error:
        raise bad(
            f"The model {name} has no revision {spec.revision}. Check the spelling, or leave it empty."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise bad(
            f"The hub has no model {name}, or it is private. Check the spelling; for a private model set HF_TOKEN."
        ) from error
    except errors.EntryNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            raise bad(f"{name} has no config.json on the hub, so it is not a model for transformers.") from error
        reason: Exception = error
    except errors.SafetensorsParsingError as error:
        raise bad(f"The safetensors headers of {name} on the hub cannot be read. Choose another model.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "an error")
        raise bad(f"The hub answered {status} when asked for {name}. Try again later, or check HF_TOKEN.") from error
    except (http_error, OSError) as error:
        reason = error
    cached = try_to_load_from_cache(name, "config.json", revision=spec.revision)
    if isinstance(cached, str):
        facts = from_folder(Path(cached).parent)
        origin = f"Read from the copy of {name} in the hub's cache on this machine; the hub itself was not reached."
        return facts._replace(origin=origin)
    if constants.HF_HUB_OFFLINE:
        raise bad(
            f"Downloads are switched off (HF_HUB_OFFLINE); {name} is not on this machine. Give a folder or GGUF file."
        ) from reason
    raise bad(
        f"The hub cannot be reached from this machine, so whether {name} exists is not known. Check the network, or "
        "give the path of a folder or a GGUF file."
    ) from reason


def _ask_hub(spec: ModelSpec) -> Facts:
    from huggingface_hub import HfApi, hf_hub_download

    api, name = HfApi(), spec.source
    info = api.model_info(name, revision=spec.revision, timeout=5, files_metadata=True)
    sizes = {s.rfilename: int(s.size or 0) for s in info.siblings or []}
    if "config.json" not in sizes and any(f.endswith(".gguf") for f in sizes):
        raise bad(f"{name} holds GGUF files only. Download the one you want and give its path.")
    config = check_config(Path(hf_hub_download(name, "config.json", revision=info.sha, etag_timeout=5)))
    if "model.safetensors" in sizes or "model.safetensors.index.json" in sizes:
        headers = api.get_safetensors_metadata(name, revision=info.sha, timeout=5)
        tensors = [
            Stored(n, type_name(t.dtype), tuple(map(int, t.shape)), t.data_offsets[1] - t.data_offsets[0])
            for file in headers.files_metadata.values()
            for n, t in file.tensors.items()
        ]
        size = sum(sizes.get(f, 0) for f in headers.files_metadata)
        return described(
            config, tensors, f"Read from the safetensors headers of {name} on the hub.", size, "safetensors"
        )
    pickles = {f: n for f, n in sizes.items() if f.startswith("pytorch_model") and f.endswith(".bin")}
    origin = f"Counted on a module built from the config.json of {name} on the hub, without memory."
    return described(config, None, origin, sum(pickles.values()) or None, "pickle" if pickles else "none")
