"""Steered generation, and next-token distributions that follow a slider without a whole pass.

Generation installs its hooks for each forward pass alone, since the worker serves other requests between tokens. The
cache of a prompt uses that nothing below the lowest steered block can change: it keeps what every block gave in one
plain pass and, for a new setting, lets the blocks below hand on what they gave, so that only those above compute. The
model's own forward runs it all (masks, rotary embeddings, kinds of layers); no architecture is written again. Where a
model carries more between its blocks than hidden states, that shows in a first trial, and whole passes are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.generation import decode
from analysis.models.handing_on import handing_on
from analysis.models.hooks import hidden_of, layout, with_hidden
from analysis.models.loaded_model import LoadedModel
from analysis.steering.gates import spares_prompt
from analysis.steering.operators import Intervention
from analysis.steering.plan import Applied, Plan


class Step(NamedTuple):
    """One generated token and the logits (V,), float32 on the CPU, that it was chosen from."""

    token: int
    logits: Tensor


def generate_stream(
    loaded: LoadedModel,
    ids: list[int],
    count: int,
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    interventions: Iterable[Intervention] = (),
    stop: Callable[[], bool] | None = None,
    applied: Callable[[Applied], None] | None = None,
) -> Iterator[Step]:
    """Yield up to ``count`` tokens that the steered model writes after the prompt ``ids``, which is steered as well
    unless an intervention acts on generated tokens only.

    Ends at an end token, where the model has no further position, or when ``stop`` says so, asked before each token.
    ``temperature`` 0 takes the most likely token; else tokens are drawn, with ``seed``, from the ``top_p`` nucleus.
    ``applied`` is handed the counts of what was changed, which go on growing. Between tokens the model is untouched.

    Raises UserError, when called and not at the first token, for bad settings or interventions that do not fit.
    """
    if not ids:
        raise UserError("There is no prompt to go on from. Type one.", "prompt")
    if not 0 <= temperature <= 10 or not 0 < top_p <= 1:
        raise UserError("The temperature must be from 0 to 10, and top-p above 0 and at most 1.", "temperature")
    plan = Plan(loaded, interventions, prompt_tokens=len(ids))
    if applied is not None:
        applied(plan.applied)
    return _steps(loaded, ids, count, temperature, top_p, seed, plan, stop or (lambda: False))


def _steps(
    loaded: LoadedModel,
    ids: list[int],
    count: int,
    temperature: float,
    top_p: float,
    seed: int,
    plan: Plan,
    stop: Callable[[], bool],
) -> Iterator[Step]:
    if count < 1 or stop():
        return
    made = decode(loaded, ids, count, temperature=temperature, top_p=top_p, seed=seed, during=plan.installed)
    for token, logits in made:
        yield Step(token, logits)
        if stop():
            return


class PromptCache:
    """One prompt, read once without steering; then the next-token distribution under any interventions.

    ``base_logits`` (V,) float32 on the CPU are the unsteered ones. ``nbytes``: what the kept activations take.
    """

    @torch.no_grad()
    def __init__(
        self,
        loaded: LoadedModel,
        ids: Sequence[int],
        layers: Iterable[int] | None = None,
        prompt_tokens: int | None = None,
    ) -> None:
        """Read the prompt ``ids``. ``layers``: blocks at whose residual stream steering may begin; by default all.
        ``prompt_tokens``: how many of the ids are the prompt where others were written after it; by default all.

        A setting that begins elsewhere is still right, and begins from the next kept block below.
        """
        self._loaded = loaded
        self._prompt_tokens = len(ids) if prompt_tokens is None else prompt_tokens
        self._ids = torch.tensor([list(ids)], device=loaded.device)
        self._blocks = layout(loaded).blocks
        wanted = set(range(len(self._blocks))) if layers is None else {n for n in layers if n >= 0}
        self._outputs: dict[int, Any] = {}
        self._kept: set[int] = set()
        with _watched(self._blocks, self._keep, wanted):
            self.base_logits = self._pass()[0]
        # Equal up to rounding is what a pass that skips blocks must give; None until it was tried.
        self._sound: dict[int, bool] = {}

    @property
    def tokens(self) -> int:
        """How many tokens the prompt has."""
        return int(self._ids.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the activations that are kept."""
        return sum(hidden_of(self._outputs[n]).nbytes for n in self._kept)

    def next_logits(self, interventions: Iterable[Intervention]) -> Tensor:
        """Logits (V,) float32 on the CPU after the prompt, all of whose positions are steered as ``where`` says.

        Equal to a full steered pass. Costs the share of blocks above the lowest site. Errors as of ``steer``.
        """
        return self.rows_of_logits(interventions, 1)[0]

    def rows_of_logits(self, interventions: Iterable[Intervention], rows: int) -> Tensor:
        """The same (rows, V) for a batch of so many rows with the prompt: for those who do something else to each."""
        given = list(interventions)
        plan = Plan(self._loaded, given, prompt_tokens=self._prompt_tokens)
        spared = self._prompt_tokens == self.tokens and all(map(spares_prompt, given))
        if not plan.sites or spared:
            return self.base_logits.expand(rows, -1).clone()
        lowest = plan.sites[0]
        # What a block gave serves for its residual stream; its own MLP needs the block below.
        top = lowest.layer if lowest.kind == "residual" else lowest.layer - 1
        start = max((n for n in self._kept if n <= top), default=-1)
        if start >= 0 and not self._is_sound(start):
            start = -1
        return self._pass(start, plan, rows)

    def next_distribution(self, interventions: Iterable[Intervention]) -> Tensor:
        """Probabilities (V,) float32 of the next token; as :meth:`next_logits`."""
        return self.next_logits(interventions).softmax(-1)

    def _keep(self, layer: int, output: Any, whole: bool) -> None:
        hidden = hidden_of(output)
        # A copy, since the next block may go on in the same memory; of other blocks only the form is kept.
        self._outputs[layer] = with_hidden(output, hidden.clone() if whole else hidden.new_empty(0))
        if whole:
            self._kept.add(layer)

    def _is_sound(self, start: int) -> bool:
        if start not in self._sound:
            again = self._pass(start)[0]
            scale = float(self.base_logits.abs().max())
            loose = 1e-5 if self._loaded.model.dtype == torch.float32 else 2e-2
            difference = float((again - self.base_logits).abs().max())
            self._sound[start] = difference <= loose * max(1.0, scale)
        return self._sound[start]

    @torch.no_grad()
    def _pass(self, start: int = -1, plan: Plan | None = None, rows: int = 1) -> Tensor:
        """Logits (rows, V) after the prompt, blocks up to ``start`` handing on what they gave."""
        ids = self._ids.expand(rows, -1)
        with handing_on(self._blocks, self._outputs, start):
            if plan is None:
                output = self._loaded.model(ids, use_cache=False, logits_to_keep=1)
            else:
                with plan.installed():
                    output = self._loaded.model(ids, use_cache=False, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1].float().cpu()
        return logits


@contextmanager
def _watched(blocks: Sequence[nn.Module], keep: Callable[[int, Any, bool], None], wanted: set[int]) -> Iterator[None]:
    def watcher(layer: int) -> Callable[..., None]:
        def watch(_module: nn.Module, _args: Any, output: Any) -> None:
            keep(layer, output, layer in wanted)

        return watch

    handles = [block.register_forward_hook(watcher(n)) for n, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
