"""The same prompt at growing strengths of one region, written side by side: what a slider does, seen at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Real
from analysis.mfa.answers.steering import Ladder, Rung
from analysis.mfa.ops.steer import Seed, UnderSteering, at_strength, shares_in
from analysis.steering.room import TokenCount

Rungs = Literal["kl", "strength"]
KLS = (0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0)
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class SteerLadder(UnderSteering[Ladder]):
    """Texts at eight strengths of one region of the set-up, the others kept: those at which the next token costs the
    KLs of :data:`KLS`, or :data:`STRENGTHS`. All are written in one batch with the unsteered text."""

    kind: ClassVar[Kind] = "stream"
    region: int = 0
    by: Annotated[Rungs, Choice(get_args(Rungs), words="The rungs")] = "kl"
    count: TokenCount = 40
    temperature: Annotated[float, Real(0.0, 2.0, words="The temperature")] = 0.7
    top_p: Annotated[float, Real(0.05, 1.0, words="Top-p")] = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(r.region != self.region for r in self.steer.regions):
            raise UserError("This region is not on the sliders. Add it first.", "region")

    def run(self, context: Context) -> Ladder:
        from analysis.mfa.steering import interventions_of
        from analysis.steering.calibrate import kl_divergence, strength_for_kl
        from analysis.steering.writing import Writer

        loaded, fit, prompt = self.prepared(context)

        def price(strength: float) -> float:
            context.check()
            made = interventions_of(at_strength(self.steer, self.region, strength), fit)
            return kl_divergence(prompt.base, prompt.cache.next_logits(made))

        places: list[tuple[float, float | None, float, bool]] = []
        if self.by == "strength":
            places = [(strength, None, price(strength), True) for strength in STRENGTHS]
        else:
            known: dict[float, float] = {}
            for target in KLS:
                nearest = strength_for_kl(price, target, known=known)
                places.append((nearest.strength, target, nearest.kl, nearest.met))
                if not nearest.met:  # a dearer one is not reached either, and would be the same text again
                    break
        context.line(
            rungs=[{"strength": s, "target": target, "kl": kl, "met": met} for s, target, kl, met in places],
            region=self.region,
        )
        writer = Writer(context, loaded, prompt.ids, self, self.model)
        names = [f"rung-{n}" for n in range(len(places))]
        arms = {
            name: interventions_of(at_strength(self.steer, self.region, place[0]), fit)
            for name, place in zip(names, places, strict=True)
        }
        texts, _ = writer.write_all(arms)
        present = {name: shares_in(loaded, fit, [self.region], prompt.ids, texts[name])[0] for name in (*names, "base")}
        rungs = tuple(
            Rung(*place, texts[name], present[name], context.ended(name) or None)
            for name, place in zip(names, places, strict=True)
        )  # fmt: skip
        return Ladder(
            self.region, fit.label(self.region), texts["base"], present["base"], rungs, writer.rate,
            f"{len(rungs)} texts of up to {self.count} tokens in one batch, {writer.rate:.1f} tokens a second.", True,
            context.ended("base") or None,
        )  # fmt: skip
