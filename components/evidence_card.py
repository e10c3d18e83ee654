"""Evidence in words: the facts of a feature on one head, and what a held-out test says. Missing figures are said so."""

from __future__ import annotations

from typing import Any

from dash import html


def said(value: float | None, form: str, missing: str = "not defined here") -> str:
    """A number in a format, or the words for its absence."""
    return missing if value is None else format(value, form)


def evidence_card(facts: dict[str, Any], name: str) -> Any:
    """Verdict, remarks, and the table of figures behind them."""
    both = (
        f"{said(facts['attention_positive'], '.3f')} / {said(facts['attention_negative'], '.3f', 'in another prompt')}"
    )
    noise = facts["noise_share"]
    gap = f"{facts['trace']:.2f} ± {facts['trace_error']:.2f} raw, {facts['trace_nats']:.2f} nats"
    cosine = (
        f"{facts['split_half_query']:.2f} on the query side, {facts['split_half_key']:.2f} on the key side; "
        f"whole key subspace {facts['split_half_subspace']:.2f}"
    )
    rows = [
        ("Mean logit gap, not centred (trace)" if facts["centred"] else "Mean logit gap (trace)", gap),
        ("Attention on matching keys / others", both),
        ("Matching key wins", "not defined here" if facts["hits"] is None else f"{facts['hits']:.0%} of examples"),
        ("Rank by the 99 % energy rule", str(facts["rank_by_rule"])),
        ("Singular values above the null's 95 %", said(facts["above_null"], "d", "no null")),
        ("Split-half cosine of the first pair", cosine),
        ("Sampling noise", "not defined here" if noise is None else f"{noise:.1%} of the squared norm"),
        ("Examples", f"{facts['examples']:,}"),
    ]
    warn = " attune-warn" if noise is None or noise > 0.01 else ""
    return html.Div(
        [
            html.P([html.Strong(f"{name}, layer {facts['layer']}, head {facts['head']}. "), facts["verdict"]]),
            html.Ul([html.Li(r) for r in facts["remarks"]], className="attune-remarks" + warn),
            html.Table([html.Tr([html.Th(a, scope="row"), html.Td(b)]) for a, b in rows], className="attune-facts"),
        ],
        className="attune-card",
    )


def swap_sentence(table: dict[str, Any], place: str) -> str:
    """What swapping keys on unseen examples did, at the rank of the energy rule, beside random subspaces."""
    none = table["rows"][0]
    rule = next((r for r in table["rows"] if r["rank"] == table["rule_rank"]), none)
    text = (
        f"{place}, {table['pairs']} examples: original / target attention {none['orig']:.3f} / "
        f"{none['target']:.3f} without "
        f"a swap, {rule['orig']:.3f} / {rule['target']:.3f} at rank {table['rule_rank']} (dashed)"
    )
    if "random_orig" not in rule:
        return text + "."
    shares = [
        f"{said(rule[field], '.0%')} ({side})"
        for field, side in (("share_query", "query side"), ("share_key", "key side"), ("share_both", "both"))
    ]
    return (
        f"{text}, {rule['random_orig']:.3f} / {rule['random_target']:.3f} in random subspaces of that rank. "
        "At this rank the "
        f"subspace keeps {', '.join(shares)} of the held-out gap."
    )
