"""Interventions of one row of a batch each: what makes texts under different settings one batch.

A row is changed by the same functions as if it were alone (:mod:`analysis.steering.plan`), on its own slice of the
activation, so that its text is that of a single run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.batch import Row, decode_batch
from analysis.models.hooks import checked, hooked
from analysis.models.kept_prefix import Before
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.progress import Check, no_check
from analysis.steering.operators import Intervention
from analysis.steering.plan import Plan, positions_of


class Arm(NamedTuple):
    """One text of a batch: its prompt and draw, and what is done to it."""

    row: Row
    interventions: Sequence[Intervention] = ()


class RowPlans:
    """The plans of the rows of a batch, installed together for one pass."""

    def __init__(self, loaded: LoadedModel, arms: Iterable[Arm]) -> None:
        """Errors as of :class:`~analysis.steering.plan.Plan`."""
        self._loaded = loaded
        self.plans = [Plan(loaded, arm.interventions, prompt_tokens=len(arm.row.ids)) for arm in arms]
        self._inside: list[Plan] = []

    @contextmanager
    def installed(self, rows: Sequence[int]) -> Iterator[None]:
        """The hooks are in place for passes whose batch holds the rows of these numbers, in this order."""
        plans = self._inside = [self.plans[n] for n in rows]
        sites = sorted({site for plan in plans for site in plan.sites}, key=lambda s: s.order)
        if not sites:
            yield
            return
        base: nn.Module = self._loaded.model.base_model
        handle = base.register_forward_pre_hook(self._begin, with_kwargs=True)
        try:
            with hooked(self._loaded, {site: self._applier(site, plans) for site in sites}):
                yield
        finally:
            handle.remove()

    def _begin(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        now = positions_of(args, kwargs, None)
        for n, plan in enumerate(self._inside):
            plan.begin(now.row(n))

    def _applier(self, site: Site, plans: list[Plan]) -> Callable[[Tensor], Tensor | None]:
        def apply(x: Tensor) -> Tensor | None:
            out: Tensor | None = None
            for n, plan in enumerate(plans):
                if site not in plan.sites:
                    continue
                changed = plan.change(site, x[n : n + 1])
                if changed is not None:
                    out = x.clone() if out is None else out
                    out[n : n + 1] = changed
            return out

        return apply


class BatchStep(NamedTuple):
    """One token of one arm, by its number, and the logits (V,) float32 on the CPU that it was chosen from."""

    arm: int
    token: int
    logits: Tensor


def generate_batch(
    loaded: LoadedModel,
    arms: Sequence[Arm],
    count: int,
    *,
    stop: Callable[[int], bool] = lambda _: False,
    before: Before | None = None,
    check: Check = no_check,
) -> Iterator[list[BatchStep]]:
    """Write all arms in one batch; each step yields the token of every arm that still grows, and each arm's text is
    that of :func:`~analysis.steering.generate.generate_stream` for it alone.

    ``stop`` is asked of an arm's number before each of its tokens; ``before`` as of
    :func:`~analysis.models.batch.decode_batch`; ``check`` is called during passes, and what it raises ends them. Raises
    UserError, when called and not at the first token, for an empty prompt, bad settings, or interventions that do not
    fit.
    """
    for arm in arms:
        row = arm.row
        if not row.ids:
            raise UserError("There is no prompt to go on from. Type one.", "prompt")
        if not 0 <= row.temperature <= 10 or not 0 < row.top_p <= 1:
            raise UserError("The temperature must be from 0 to 10, and top-p above 0 and at most 1.", "temperature")
    plans = RowPlans(loaded, arms)
    return _steps(loaded, arms, count, plans, stop, before, check)


@torch.no_grad()
def _steps(
    loaded: LoadedModel,
    arms: Sequence[Arm],
    count: int,
    plans: RowPlans,
    stop: Callable[[int], bool],
    before: Before | None,
    check: Check,
) -> Iterator[list[BatchStep]]:
    @contextmanager
    def during(rows: Sequence[int]) -> Iterator[None]:
        with plans.installed(rows), checked(loaded, check):
            yield

    made = decode_batch(loaded, [arm.row for arm in arms], count, during=during, stop=stop, before=before)
    for steps in made:
        yield [BatchStep(n, token, logits) for n, (token, logits) in sorted(steps.items())]
