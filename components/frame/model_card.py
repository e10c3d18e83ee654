"""What is known of a model: before loading from its metadata, after loading from a look at it; on the page, and as the
parts of a view."""

from __future__ import annotations

import json
from typing import Any

from dash import html

from analysis.models.capabilities import Capability, LoadReport, Need, capability
from analysis.models.model_facts import ModelEstimate, ModelFacts
from analysis.models.spec import ModelSpec
from analysis.status import Resident
from components.kit.part import Facts, Table, Text, Texts
from components.kit.view import Control, Drawing, NoOptions, view


def size(count: float | None) -> str:
    """Bytes as a person reads them."""
    if count is None:
        return "not known"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"


def _table(rows: list[tuple[str, str]]) -> Any:
    return html.Table([html.Tr([html.Th(a, scope="row"), html.Td(b)]) for a, b in rows], className="attune-facts")


def estimate_card(data: ModelEstimate) -> Any:
    """Parameters and memory needed, against what the machine has."""
    rows = [
        ("Parameters", f"{data.parameters:,}"),
        ("Architecture", f"{data.architecture} ({data.model_type})"),
        ("Layers, heads", f"{data.layers}, {data.heads}"),
        ("Weights in memory", size(data.bytes_needed)),
        ("At most while loading", size(data.peak_bytes)),
        ("On disk", size(data.bytes_on_disk)),
    ]
    fits = "attune-good" if data.fits else "attune-bad"
    return html.Div([html.P(data.verdict, className=fits), _table(rows)])


MADE_FIRST: dict[Need, str] = {
    "residual stream": "once regions are fitted to it",
    "MLP vectors": "once its neurons are measured",
    "activations": "once features are fitted to it",
    "English items": "once a study of it is made",
}
"""What has to be made for a model before a page shows anything of it: until then it can work, and does not yet. The
default model comes with all of it."""


def _works(page: str, need: Need, able: Capability, bundled: bool) -> Any:
    first = "" if bundled else MADE_FIRST.get(need, "")
    words = "does not work" if not able.works else f"works, {first}" if first else "works"
    look = "attune-bad" if not able.works else "" if first else "attune-good"
    return html.Li([html.Strong(f"{page}: {words}. "), able.reason], className=look)


@view("model/report", LoadReport)
def model_report(report: LoadReport, options: NoOptions, theme: str) -> Drawing:
    """A model's facts, what loading has proved of it, and what works with it."""
    facts = report.facts
    proof = [Texts("", (Text("Proved at loading", "\n".join(facts.proof)),))] if facts.proof else []
    rows = tuple((row.need, "yes" if row.works else "no", row.reason) for row in report.capabilities)
    return Drawing(
        caption=facts.note,
        parts=(
            *proof,
            Facts(facts.label, tuple(fact_rows(facts))),
            Table("What works with it", ("needed", "works", "why"), rows),
        ),
        facts={"model": facts.label, "revision": facts.revision, "fingerprint": facts.fingerprint},
        control=recording_control(facts),
        numbers={"parameters": facts.parameters, "layers": facts.layers, "heads": facts.heads},
    )


def recording_control(facts: ModelFacts) -> Control | None:
    """The model's own attention, which the recorded queries and keys must reproduce."""
    if facts.recording_error is None or not facts.attention_layers:
        return None
    text = (
        "Attention computed from the recorded queries and keys differs from the model's own by at most "
        f"{facts.recording_error:.1e}, on {facts.probe_tokens} tokens in all layers and heads."
    )
    return Control("the model's own attention", text, {"largest difference": facts.recording_error})


def facts_card(index: int, model: Resident, used: bool, pages: list[tuple[str, Need]]) -> Any:
    """A loaded model: its facts, and which pages work with it and why. ``pages``: the name of each and its need."""
    facts = model.facts
    rows = fact_rows(facts)
    bundled = model.spec.source == ModelSpec().source
    works = [_works(name, need, capability(need, facts), bundled) for name, need in pages]
    chosen = {"use": json.dumps(model.spec.to_dict(), sort_keys=True)}
    button = (
        html.Span("in use here", className="attune-state attune-state-done")
        if used
        else html.Button("Use in this window", id=chosen, className="attune-button", type="button")
    )
    return html.Div(
        [
            html.Div([html.Strong(facts.label), button], className="attune-job-head"),
            html.P(
                f"Proved at loading: {' '.join(facts.proof)} This took "
                + (f"{facts.proof_seconds:.1f} s." if facts.proof_seconds >= 0.05 else "less than 0.1 s."),
                className="attune-note",
            )
            if facts.proof
            else None,
            html.P(facts.note, className="attune-note") if facts.note else None,
            html.P(
                "The files were saved over since this model was read. Load it again for the weights in them now.",
                className="attune-bad",
            )
            if model.changed
            else None,
            html.Ul(works, className="attune-works"),
            _table(rows),
        ],
        className="attune-job",
        key=f"{index}-{used}",
    )


def fact_rows(facts: ModelFacts) -> list[tuple[str, str]]:
    """Name and value of what is known of a model."""
    group = facts.heads // max(1, facts.key_heads)
    heads = sorted(set(facts.layer_heads or [facts.heads]))
    rows = [
        ("Parameters", f"{facts.parameters:,}, {facts.numbers}"),
        (
            "Layers, query heads, key heads",
            f"{facts.layers}, {facts.heads}, {facts.key_heads} ({group} queries per key head)"
            if len(heads) == 1
            else f"{facts.layers}, {' or '.join(map(str, heads))} by layer, up to {facts.key_heads}",
        ),
        ("Head width, hidden size", f"{facts.head_width}, {facts.hidden}"),
        ("Longest input", f"{facts.max_positions:,} tokens" if facts.max_positions else "no limit of its own"),
        ("Chat template", "yes" if facts.chat_template else "no"),
        (
            "Speed of a pass",
            f"{1000 * facts.seconds_per_token:.2f} ms per token, measured on {facts.probe_tokens} tokens",
        ),
    ]
    if facts.softcap:
        rows.append(("Soft-cap of attention logits", f"±{facts.softcap:g}"))
    if facts.sliding_windows:
        rows.append(("Sliding window", f"{facts.sliding_windows[0]:,} tokens in some layers"))
    return rows
