"""The token card as tables, for a pin: the same rows as in the panel, each number in a column beside its null."""

from __future__ import annotations

from analysis.models.token_name import TokenName
from analysis.token_card.answers import (
    ChannelRow,
    LeadingRegionRow,
    LensRow,
    PromotingFeatureRow,
    RegionRow,
    Row,
    SubspaceRow,
    TokenCardAnswer,
    TokenPart,
    UsedFeatureRow,
)
from components.kit.labels import as_text
from components.kit.part import Cell, Part, Text, Texts, table_of
from components.kit.view import Control, Drawing, NoOptions, view

NULL_WORDS = {
    "QK subspaces": "random subspaces of the same rank and relabelled examples",
    "Regions": "the share of all tokens in the region",
    "Neuron channels": "channels of random vectors",
    "MLP features": "one feature at the share that chance gives",
}


@view("token-card/parts", TokenCardAnswer)
def token_parts(card: TokenCardAnswer, options: NoOptions, theme: str) -> Drawing:
    """One token in four decompositions."""
    if card.id is None:
        return Drawing(caption=card.sentence, parts=(Texts("", (_strip("Tokens", card.pieces, None),)),))
    parts: list[Part] = []
    context = card.context
    if context is not None:
        parts.append(Texts("", (_strip(f"“{card.token}” in its text", context.tokens, context.at - context.first),)))
    parts += [table_of(part.title, [_row(row) for row in part.rows]) for part in card.parts if part.rows]
    if card.lens is not None and card.lens.ranks:
        parts.append(table_of("Logit lens by block", _lens(card.lens)))
    place = "" if context is None else f" at position {context.at} of {context.count}"
    said = [f"{part.title}: {part.sentence}" for part in card.parts if part.sentence]
    said += [] if card.lens is None else [card.lens.sentence]
    caption = " ".join([f"Token {card.id}, “{card.token}”{place}.", *([card.note] if card.note else []), *said])
    return Drawing(caption=caption, parts=tuple(parts), facts={"token": card.token}, control=_control(card.parts))


def _control(parts: tuple[TokenPart, ...]) -> Control | None:
    words = [f"{part.title}: {NULL_WORDS[part.title]}" for part in parts if part.rows and part.title in NULL_WORDS]
    if not words:
        return None
    return Control("chance", f"Each row has a column of what chance gives. {'; '.join(words)}.")


def _strip(title: str, tokens: tuple[TokenName, ...], at: int | None) -> Text:
    shaded = tuple((as_text(name.token), 1.0 if i == at else 0.0) for i, name in enumerate(tokens))
    return Text(title, "".join(token for token, _ in shaded), tokens=shaded)


def _lens(lens: LensRow) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for n, share in enumerate(lens.agreement):
        own: dict[str, Cell] = {
            "behind": "embeddings" if n == 0 else f"block {n - 1}",
            "rank": lens.ranks[n],
            "probability": lens.chances[n],
        }
        if lens.how:
            own |= {"rank, steered": lens.steered_ranks[n], "probability, steered": lens.steered_chances[n]}
        rows.append(own | {"agreement of the lens": share})
    return rows


def _row(row: Row) -> dict[str, Cell]:
    match row:
        case SubspaceRow():
            mean, spread = row.null_trace or (None, None)
            return {
                "feature": row.feature, "layer": row.layer, "head": row.head, "rank": row.rank, "query": row.query,
                "key": row.key, "random subspace": row.expected, "query, median": row.query_typical,
                "key, median": row.key_typical, "trace in nats": row.trace, "relabelled, mean": mean,
                "relabelled, sd": spread,
            }  # fmt: skip
        case RegionRow():
            return {
                "region": row.region, "name": row.label, "block": row.layer, "responsibility": row.responsibility,
                "share of all tokens": row.expected, "median": row.typical, "next region": row.second,
                "its responsibility": row.second_share, "local offset": row.local,
            }  # fmt: skip
        case LeadingRegionRow():
            return {"region": row.region, "name": row.label, "block": row.layer, "rank": row.rank, "among": row.why}
        case ChannelRow():
            return {
                "neuron": f"{row.vector} {row.neuron}", "block": row.layer, "channel": row.channel, "token": row.token,
                "percentile": row.percentile, "p": row.p, "beyond the null": "yes" if row.beyond else "no", "z": row.z,
                "the neuron's own z": row.own_z,
            }  # fmt: skip
        case UsedFeatureRow():
            return {
                "feature": row.feature, "name": row.label, "block": row.layer, "share of tokens": row.share,
                "by chance": row.expected, "of its usual activation": row.value,
            }  # fmt: skip
        case PromotingFeatureRow():
            return {
                "feature": row.feature, "name": row.label, "block": row.layer, "rank": row.rank, "logit": row.value,
            }  # fmt: skip
