"""Tables of the validation page: what was measured beside what it ought to be, on the page and as parts of a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from analysis.answer import plain_of
from analysis.qk.answers.validation import Invariant, InvariantTable, ToyTraining
from components.kit.part import Table
from components.kit.view import Control, Drawing, NoOptions, view
from components.qk.controls import KNOWN, has_room, invariant_control

CHECK_WORDS = {True: ("as expected", "attune-good"), False: ("not as expected", "attune-bad"), None: ("", "")}


@view("validation/checks", ToyTraining)
def toy_table(toy: ToyTraining, options: NoOptions, theme: str) -> Drawing:
    """What was measured on a toy, beside its known answer."""
    checks = toy_checks(toy)
    verdicts = [verdict for *_, verdict in checks if verdict is not None]
    rows = tuple((q, m, e, CHECK_WORDS[v][0]) for q, m, e, v in checks)
    text = f"{sum(verdicts)} of the {len(verdicts)} quantities whose answer is known are as expected."
    return Drawing(
        caption=f"Trained in {toy.steps:,} steps. {toy.source or ''}".strip(),
        parts=(Table("Measured beside the known answer", ("quantity", "measured", "expected", "verdict"), rows),),
        facts={**plain_of(toy.settings), "steps": toy.steps},
        control=Control(KNOWN, text, {"as expected": float(sum(verdicts)), "known": float(len(verdicts))}),
        numbers={"accuracy": toy.accuracy, "share on the diagonal": toy.interaction.diagonal_share}
        | {f"rank of {name}": float(latent.rank) for name, latent in toy.latents.items()},
    )


@view("validation/invariants", InvariantTable)
def measured_invariants(table: InvariantTable, options: NoOptions, theme: str) -> Drawing:
    """Identities of the method with their errors on a model."""
    columns = ("claim", "measured error", "allowed", "a variant that must fail", "its error", "verdict")
    rows = tuple((r.claim, r.error, r.tolerance, r.variant, r.broken, _outcome(r)) for r in table.invariants)
    return Drawing(
        caption=" ".join(table.notes),
        parts=(Table("Identities on the model", columns, rows),),
        control=invariant_control(table),
        numbers={"identities": len(rows), "identities that hold": sum(r.holds for r in table.invariants)},
    )


def invariant_table(rows: Sequence[Invariant]) -> Any:
    """Claims with measured errors, tolerances, and the variant that breaks them."""
    head = html.Tr(
        [html.Th(t, scope="col") for t in ("claim", "measured error", "allowed", "a variant that must fail", "")]
    )
    body = [
        html.Tr(
            [
                html.Td(r.claim),
                html.Td(f"{r.error:.1e}"),
                html.Td(f"{r.tolerance:.0e}"),
                html.Td("none on this model" if r.broken is None else f"{r.variant}: {r.broken:.2g}"),
                html.Td(_outcome(r), className="attune-good" if r.holds else "attune-bad"),
            ]
        )
        for r in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


def _outcome(row: Invariant) -> str:
    """Whether an identity holds; one whose wrong variant passes as well was not put to the test."""
    if row.holds:
        return "holds" if row.broken is not None else "holds (nothing to tell it from)"
    return "not tested: the wrong variant passes too" if row.error <= row.tolerance else "FAILS"


Check = tuple[str, str, str, bool | None]


def checks_table(rows: Sequence[Check]) -> Any:
    """Measured against expected: (quantity, measured, expected, verdict)."""
    head = html.Tr([html.Th(t, scope="col") for t in ("quantity", "measured", "expected", "")])
    body = [
        html.Tr([html.Td(q), html.Td(m), html.Td(e), html.Td(CHECK_WORDS[v][0], className=CHECK_WORDS[v][1])])
        for q, m, e, v in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


def toy_checks(toy: ToyTraining) -> list[Check]:
    """What was measured on a toy beside what its known answer is."""
    settings = toy.settings
    fits = has_room(toy)
    ceiling = toy.ceiling
    rows: list[Check] = [
        (
            "accuracy",
            f"{toy.accuracy:.3f}",
            "no bound known" if ceiling is None else f"{ceiling:.3f} at most",
            None if ceiling is None else abs(toy.accuracy - ceiling) < 0.01,
        )
    ]
    for name, latent in toy.latents.items():
        expected = (
            f"{latent.true_rank}"
            if fits
            else f"at most {latent.true_rank}: superposition in {settings.d_head} dimensions"
        )
        rows.append((f"rank of {name}", str(latent.rank), expected, latent.rank == latent.true_rank if fits else None))
        limit = max(0.03, latent.noise_share**0.5 * 1.5)
        rows.append(
            (
                f"covariance of {name} against its closed form",
                f"{latent.closed_form_error:.1%}",
                f"{limit:.1%} (sampling noise alone {latent.noise_share**0.5:.1%})",
                latent.closed_form_error <= limit,
            )
        )
        rows.append(
            (
                f"trace of {name} is the mean logit gap",
                f"{latent.trace:.4f}",
                f"{latent.mean_gap:.4f}",
                abs(latent.trace - latent.mean_gap) < 1e-6,
            )
        )
    both = next(s for s in toy.swaps if s.condition == "z1+z2")
    small = next(s for s in toy.swaps if s.kind == "random")
    rows.append(
        (
            "attention on the target after swapping z1 and z2",
            f"{both.target:.3f}",
            "0.9 or more" if fits else "",
            both.target >= 0.9 if fits else None,
        )
    )
    rows.append(
        (
            f"the same in random subspaces of rank {small.rank}",
            f"{small.target:.3f}",
            "0.1 at most" if settings.n1 <= settings.d_head // 5 + 1 else "",
            small.target <= 0.1 if settings.n1 <= settings.d_head // 5 + 1 else None,
        )
    )
    rows.append(
        (
            "share of the interaction matrix on its diagonal",
            f"{toy.interaction.diagonal_share:.1%}",
            "90 % or more" if fits else "",
            toy.interaction.diagonal_share >= 0.9 if fits else None,
        )
    )
    return rows
