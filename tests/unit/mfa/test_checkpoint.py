"""The authors' layouts, built by hand from their description, and every way in which a file can be wrong."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.checkpoint import read_checkpoint, write_checkpoint
from analysis.mfa.parameters import Noise, Parameters

K, D, R = 3, 6, 2


def stored(noise: Noise = "shared", seed: int = 0) -> dict[str, Any]:
    """A state dict as the authors' training leaves it."""
    g = torch.Generator().manual_seed(seed)
    return {
        "mu": torch.randn(K, D, generator=g) * 20,
        "dir_raw": torch.randn(K, D, R, generator=g),
        "scale_rho": torch.randn(K, R, generator=g),
        "psi_rho": torch.randn((D,) if noise == "shared" else (K, D), generator=g),
        "pi_logits": torch.randn(K, generator=g),
    }


def described(state: dict[str, Any], **change: Any) -> dict[str, Any]:
    meta = {"K": K, "D": D, "q": R, "psi_per_component": state["psi_rho"].ndim == 2, "eps_floor": 1e-5, "version": 1}
    return {"state_dict": state, "meta": {**meta, "rotation_on": False, "rotation_kind": None, **change}}


def by_hand(state: dict[str, Any], epsilon: float) -> Parameters:
    """The loading rule, one number at a time."""
    loadings = torch.zeros(K, D, R)
    for k in range(K):
        for j in range(R):
            column = state["dir_raw"][k, :, j]
            length = math.log1p(math.exp(float(state["scale_rho"][k, j])))
            loadings[k, :, j] = column / math.sqrt(sum(float(c) ** 2 for c in column)) * length
    noise = state["psi_rho"].double().apply_(lambda v: math.log1p(math.exp(v)) + epsilon).float()
    shares = state["pi_logits"].exp()
    return Parameters(shares / shares.sum(), state["mu"], loadings, noise)


def close(a: Parameters, b: Parameters, **tolerance: float) -> bool:
    return all(torch.allclose(x, y, **tolerance) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "model.ckpt")
    return folder / "model.ckpt"


def refusal(content: Any, folder: Path) -> str:
    with pytest.raises(UserError) as refused:
        read_checkpoint(saved(content, folder))
    assert refused.value.field == "file" and refused.value.message.endswith(".")
    return refused.value.message


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_layouts_are_read_by_the_loading_rule(noise: Noise, tmp_path: Path) -> None:
    state = stored(noise)
    b = {"cls": "MFA", "K": K, "D": D, "rank": R, "psi_per_component": noise == "component", "eps_floor": 0.25}
    for content, name, epsilon in (
        (described(state, eps_floor=0.5), "A", 0.5),
        ({"state_dict": state, "meta": {**b, "version": 1}}, "B", 0.25),
        (state, "C", 1e-8),
    ):
        found, meta = read_checkpoint(saved(content, tmp_path))
        assert close(found, by_hand(state, epsilon), atol=1e-5)
        assert (meta["format"], meta["noise"], meta["epsilon"]) == (name, noise, epsilon)
        assert (meta["components"], meta["width"], meta["factors"], meta["rotation"]) == (K, D, R, "none")
        assert found.means.dtype == torch.float32 and not found.loadings.requires_grad


def test_what_a_file_leaves_out_is_taken_as_the_authors_take_it(tmp_path: Path) -> None:
    state = stored()
    state["psi_rho"] = torch.full((D,), -40.0)  # so that the floor is all there is
    assert read_checkpoint(saved(state, tmp_path))[0].noise == pytest.approx(1e-8)
    content = described(state)
    del content["meta"]["eps_floor"]
    assert read_checkpoint(saved(content, tmp_path))[0].noise == pytest.approx(1e-5)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module."])
def test_prefixes_of_wrappers_do_not_matter(prefix: str, tmp_path: Path) -> None:
    state = stored()
    plain = read_checkpoint(saved(state, tmp_path))[0]
    assert close(read_checkpoint(saved({prefix + n: t for n, t in state.items()}, tmp_path))[0], plain, atol=0)


def test_an_orthogonal_rotation_is_applied_and_an_oblique_one_left_out(tmp_path: Path) -> None:
    state = stored()
    plain = read_checkpoint(saved(described(state), tmp_path))[0]
    angle = torch.tensor([0.3, 1.0, 2.0])
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(K, R, R)
    rotated = {**state, "_rot_T": turn, "_rot_inv_Tt": turn}
    found, meta = read_checkpoint(saved(described(rotated, rotation_on=True, rotation_kind="varimax"), tmp_path))
    assert meta["rotation"] == "varimax"
    for k in range(K):
        assert torch.allclose(found.loadings[k], plain.loadings[k] @ turn[k], atol=1e-6)
    assert not torch.allclose(found.loadings, plain.loadings)
    assert close(read_checkpoint(saved(described(rotated), tmp_path))[0], plain, atol=0)
    # An oblique one would change the covariance W W^T that stands for the component, so the loadings stay.
    oblique = {**state, "_rot_T": turn, "_rot_inv_Tt": turn * torch.tensor([1.0, 1.2])}
    found, meta = read_checkpoint(saved(described(oblique, rotation_on=True, rotation_kind="oblimin"), tmp_path))
    assert close(found, plain, atol=0) and meta["rotation"] == "left out: oblimin is not orthogonal"


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_written_and_read_again(noise: Noise, dtype: torch.dtype, tmp_path: Path) -> None:
    p = by_hand(stored(noise), 1e-5).scaled(40.0, torch.ones(D)).to(dtype)
    p = replace(p, weights=p.weights / p.weights.sum())
    p.loadings[1, :, 1] = 0
    p.loadings[0, :, 0] *= 1e-8
    p.noise.view(-1)[0] = 3e-7  # below the authors' floor
    write_checkpoint(p, tmp_path / "new" / "model.ckpt", {"model": "some/model", "layer": 4, "parts": [1, None]})
    found, meta = read_checkpoint(tmp_path / "new" / "model.ckpt")
    for name in ("weights", "means", "loadings", "noise"):
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        assert torch.allclose(getattr(found, name), getattr(p, name), rtol=tolerance, atol=0), name
    assert found.means.dtype == dtype and bool((found.loadings[1, :, 1] == 0).all())
    assert meta["format"] == "A" and meta["extra"] == {"model": "some/model", "layer": 4, "parts": [1, None]}
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["model.ckpt"]


def test_written_file_has_the_keys_and_shapes_that_the_authors_read(tmp_path: Path) -> None:
    write_checkpoint(by_hand(stored(), 1e-5), tmp_path / "m.ckpt")
    content = torch.load(tmp_path / "m.ckpt", weights_only=True)
    shapes = {name: tuple(t.shape) for name, t in content["state_dict"].items()}
    assert shapes == {
        "mu": (K, D),
        "dir_raw": (K, D, R),
        "scale_rho": (K, R),
        "psi_rho": (D,),
        "pi_logits": (K,),
        "_rot_T": (K, R, R),
        "_rot_inv_Tt": (K, R, R),
    }
    said = {
        "cls": "MFA",
        "K": K,
        "D": D,
        "q": R,
        "rank": R,
        "psi_per_component": False,
        "dtype": "torch.float32",
        "version": 1,
    }
    assert said.items() <= content["meta"].items() and content["meta"]["rotation_on"] is False


def test_extra_is_cut_down_to_plain_data(tmp_path: Path) -> None:
    extra = {"run": "a", 3: torch.zeros(2), "deep": [[[[[[[[1]]]]]]]], "loss": math.nan}
    found = read_checkpoint(saved(described(stored(), extra=extra), tmp_path))[1]["extra"]
    assert found == {"run": "a", "3": "(Tensor)", "deep": [[[["(list)"]]]], "loss": None}


class Harmful:
    """An object that would leave a mark if it were unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_objects_are_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    message = refusal({**stored(), "note": Harmful(mark)}, tmp_path)
    assert "can run code" in message and not mark.exists()
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"mu": Harmful(mark)}, protocol=2))
    with pytest.raises(UserError):
        read_checkpoint(tmp_path / "plain.pkl")
    assert not mark.exists()


@pytest.mark.parametrize("body", [b"", b"not a checkpoint at all", b"PK\x03\x04 broken", b"\x80\x02}q\x00."])
def test_other_files_are_refused(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(body)
    with pytest.raises(UserError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_missing_file_a_folder_and_a_cut_file_are_refused(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "nothing.ckpt", "no file of that name"), (tmp_path, "is a folder")):
        with pytest.raises(UserError, match=said):
            read_checkpoint(path)
    whole = saved(described(stored()), tmp_path)
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(UserError, match="not a checkpoint"):
        read_checkpoint(whole)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mu", torch.zeros(K), "needed are K x D"),
        ("dir_raw", torch.zeros(K, D + 1, R), "needed are K x D"),
        ("scale_rho", torch.zeros(R, K), f"must be {K} x {R}"),
        ("psi_rho", torch.zeros(K), f"must be {D} or {K} x {D}"),
        ("pi_logits", torch.zeros(K, 1), f"must be {K}."),
        ("mu", torch.full((K, D), math.nan), "mu has numbers that are not finite"),
        ("psi_rho", torch.full((D,), math.inf), "psi_rho has numbers that are not finite"),
        ("psi_rho", torch.full((D,), 3e38).double() * 10, "too large"),
        ("mu", torch.zeros(K, D, dtype=torch.int64), "not a tensor of floating numbers"),
        ("mu", [[0.0] * D] * K, "not a plain tensor"),
        ("mu", torch.zeros(K, D).to_sparse(), "no plain numbers"),
        ("mu", torch.zeros(1, 1).expand(10**6, 10**6), "claims more numbers"),
    ],
)
def test_wrong_tensors_are_refused_by_name(name: str, value: Any, says: str, tmp_path: Path) -> None:
    assert says in refusal({**stored(), name: value}, tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"K": K + 1}, f"K = {K + 1}, its tensors say {K}"),
        ({"q": R + 1}, "its tensors say 2"),
        ({"K": torch.zeros(2)}, "its tensors say 3"),
        ({"psi_per_component": True}, "psi_per_component = True"),
        ({"eps_floor": "tiny"}, "eps_floor"),
        ({"eps_floor": math.nan}, "eps_floor"),
        ({"rotation_on": True}, "no _rot_inv_Tt"),
    ],
)
def test_a_meta_that_contradicts_is_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in refusal(described(stored(), **change), tmp_path)


def test_missing_keys_and_wrong_containers_are_refused(tmp_path: Path) -> None:
    state = stored()
    assert "no scale_rho, pi_logits;" in refusal(
        {n: t for n, t in state.items() if n not in ("scale_rho", "pi_logits")}, tmp_path
    )
    assert "no mu" in refusal({"weight": torch.zeros(3)}, tmp_path)
    assert "must be dictionaries" in refusal({"state_dict": [1, 2]}, tmp_path)
    assert "must be dictionaries" in refusal({"state_dict": state, "meta": 3}, tmp_path)
    bare: Tensor = torch.zeros(K, D)
    assert "no dictionary" in refusal(bare, tmp_path)
    wrong = {**state, "_rot_inv_Tt": torch.eye(R)}
    assert "K x q x q" in refusal(described(wrong, rotation_on=True), tmp_path)


def test_safetensors_with_the_same_names(tmp_path: Path) -> None:
    state = stored("component")
    meta = {"K": str(K), "rank": str(R), "eps_floor": "0.25", "extra": '{"layer": 6}', "made by": "some code"}
    save_file({f"module.{n}": t for n, t in state.items()}, tmp_path / "m.safetensors", metadata=meta)
    found, facts = read_checkpoint(tmp_path / "m.safetensors")
    assert close(found, by_hand(state, 0.25), atol=1e-5)
    assert (facts["format"], facts["epsilon"], facts["extra"]) == ("B", 0.25, {"layer": 6})
    save_file({"mu": state["mu"]}, tmp_path / "m.safetensors")
    with pytest.raises(UserError, match="It has no dir_raw, scale_rho"):
        read_checkpoint(tmp_path / "m.safetensors")


def test_tensors_that_share_their_numbers_are_not_written_over(tmp_path: Path) -> None:
    state = stored()
    both = torch.cat([state["mu"].flatten(), state["dir_raw"].flatten()])
    shared = {**state, "mu": both[: K * D].view(K, D), "dir_raw": both[K * D :].view(K, D, R)}
    assert close(read_checkpoint(saved(described(shared), tmp_path))[0], by_hand(state, 1e-5), atol=1e-5)
    square = state["mu"].repeat_interleave(R, 1).view(K, D, R)  # mu lies in the very same numbers
    shared = {**state, "mu": square[:, :, 0], "dir_raw": square}
    whole = {**state, "mu": square[:, :, 0].clone(), "dir_raw": square.clone()}
    assert close(read_checkpoint(saved(described(shared), tmp_path))[0], by_hand(whole, 1e-5), atol=1e-5)
