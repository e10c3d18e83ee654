"""The four parts of a token card: what each decomposition says of one token, beside what chance gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts import CONTRAST_KINDS
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FitContrast, feature_name, fit_name, fit_of
from analysis.token_card.answers import (
    ChannelRow,
    LeadingRegionRow,
    Place,
    PromotingFeatureRow,
    RegionRow,
    Row,
    SubspaceRow,
    TokenPart,
    UsedFeatureRow,
)
from analysis.token_card.rows import ROWS, Part, amount, feature_facts, region_facts, usable_fits
from analysis.token_card.text import TokenText

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trace import Trace

NO_CONTEXT = "There is no text around it: open the token from a prompt, or type a few words and choose one of them."


def fitted_contrasts(
    context: Context, model: ModelSpec, others: tuple[ContrastSpec, ...]
) -> list[tuple[ContrastSpec, str]]:
    """The features that are fitted on a model, ``others`` and those with their usual settings, with what names their
    fits (:func:`analysis.qk.ops.features.fit_name`)."""
    contrasts: list[ContrastSpec] = []
    usual = [ContrastSpec(kind) for kind in CONTRAST_KINDS if kind not in ("template", "jsonl")]
    for contrast in (*others, ContrastSpec("induction"), *usual):
        if contrast not in contrasts:
            contrasts.append(contrast)
    found = [(contrast, fit_name(context, FitContrast(model, contrast))) for contrast in contrasts]
    return [(contrast, name) for contrast, name in found if name is not None]


@dataclass
class TokenParts:
    """The parts of one card: of ``token``, at its place in ``text`` whose tokens are ``ids`` (none without a text).

    ``contrasts``: features to look at besides those fitted with their usual settings.
    """

    text: TokenText
    contrasts: tuple[ContrastSpec, ...]
    context: Context
    loaded: LoadedModel
    token: int
    ids: list[int]

    def parts(self) -> tuple[TokenPart, ...]:
        """The four parts, in the order of the pages."""
        plan: tuple[tuple[str, str, Callable[[], Part]], ...] = (
            ("QK subspaces", "/attention", self.subspaces),
            ("Regions", "/steering", self.regions),
            ("Neuron channels", "/neurons", self.channels),
            ("MLP features", "/mlp-features", self.features),
        )
        parts = []
        for title, path, make in plan:
            self.context.check()
            try:
                rows, sentence = make()
            except UserError as error:
                rows, sentence = [], error.message
            parts.append(TokenPart(title, tuple(rows), sentence, rows[0].link if rows else Place(path)))
        return tuple(parts)

    @cached_property
    def _link(self) -> dict[str, Any]:
        return self.text.link(self.loaded, self.ids)

    def subspaces(self) -> Part:
        """How much of the token's query and key lies in the subspaces of fitted features, on their strongest heads."""
        fitted = [c for c, _ in fitted_contrasts(self.context, self.text.model, self.contrasts)]
        if not fitted:
            return [], (
                "No feature of query-key spaces has been fitted on this model. Open the Attention page and press Fit; "
                "induction is a good first one."
            )
        if not self.ids:
            names = ", ".join(feature_name(c) for c in fitted)
            return [], f"Queries and keys exist in a text only. {NO_CONTEXT} Fitted here: {names}."
        trace = self.text.trace(self.context, self.ids)
        each = max(1, min(3, ROWS // len(fitted)))
        fits = [(fit_of(self.context, self.text.model, c), c) for c in fitted]
        rows = [row for fit, c in fits for row in self._heads(fit, c, trace, each)][:ROWS]
        sentence = (
            "Share of this token's query and key that lies in a feature's subspace, on the heads with the largest "
            "trace. The tick is what a random subspace of that rank holds, the median that of this text's tokens."
        )
        return rows, sentence

    def _heads(self, fit: Any, contrast: ContrastSpec, trace: Trace, count: int) -> list[SubspaceRow]:
        from analysis.qk.evidence import subspace_of

        nats = fit.trace * fit.scaling[:, None]
        rows = []
        for flat in np.argsort(-nats, axis=None)[:count]:
            i, head = (int(n) for n in np.unravel_index(flat, nats.shape))
            layer, at = fit.layers[i], self.text.position
            record, subspace = trace.layers[layer], subspace_of(fit, layer, head)
            queries = _shares(record.queries[0, head], subspace.query_basis)
            keys = _shares(record.keys[0, head // record.group], subspace.key_basis)
            null = fit.null_trace[i, head] * fit.scaling[i]
            query = {"head": {"layer": layer, "head": head}, "features": [contrast.to_dict()], **self._link}
            rows.append(
                SubspaceRow(
                    feature=feature_name(contrast),
                    layer=layer,
                    head=head,
                    trace=float(nats[i, head]),
                    null_trace=(float(null.mean()), float(null.std())) if len(null) else None,
                    rank=subspace.rank,
                    width=len(queries[1]),
                    expected=subspace.rank / len(queries[1]),
                    query=float(queries[0][at]),
                    key=float(keys[0][at]),
                    query_typical=float(np.median(queries[0])),
                    key_typical=float(np.median(keys[0])),
                    link=Place("/attention", query),
                )
            )
        return rows

    @cached_property
    def _activations(self) -> dict[Any, Any]:
        """Activations (T, d) float32 of the tokens up to this one by site, for all fits from one pass."""
        from analysis.models.capture import capture

        sites = list(dict.fromkeys(fit.site for fit in (*self._regions, *self._factorizations)))
        batch = ([0], [self.text.read(self.loaded, self.ids)])
        return next(capture(self.loaded, [batch], sites, skip_first=0, norm_guard=None)).activations

    @cached_property
    def _regions(self) -> list[Any]:
        from analysis.mfa.library import fit_for, listing

        names = [fit.name for fit in listing(self.text.model)]
        return usable_fits(fit_for, self.context.memory, self.loaded, names)

    @cached_property
    def _factorizations(self) -> list[Any]:
        from analysis.snmf.library import fit_for, listing

        names = [fit.name for fit in listing(self.text.model)]
        return usable_fits(fit_for, self.context.memory, self.loaded, names)

    def regions(self) -> Part:
        """The region of the token where it stands; without a context, the regions whose leading tokens it is among."""
        if not self._regions:
            return [], (
                "There is no fit of regions for the weights of this model yet. Open the Steering page, tab “Fit "
                "another”, and press Fit."
            )
        if not self.ids:
            return self._leading_regions()
        return [self._split(fit) for fit in self._regions], (
            "The region that this token's activation lies in. The tick is the share of all tokens that lie there; the "
            "median is that of this text, since in many dimensions nearly every token is sure of its region. The local "
            "offset is a share of the distance from the mean."
        )

    def _split(self, fit: Any) -> RegionRow:
        """Region, second region and local offset of the token, as on the Steering page."""
        x = self._activations[fit.site].float()
        shares = fit.density.responsibilities(x)
        (first, *more), (region, *others) = (t.tolist() for t in shares[-1].topk(min(2, shares.shape[1])))
        z = fit.density.posterior(x[-1:], shares[-1:].argmax(1))[0]
        local, norm = (fit.parameters.loadings[region] @ z).norm(), (x[-1] - fit.mean).norm()
        row = fit.manifest["regions"][region]
        return RegionRow(
            **region_facts(fit, region),
            responsibility=first,
            typical=float(shares.max(1).values.median()),
            expected=row["size"] / max(1, fit.manifest["rows"]),
            second=others[0] if others else region,
            second_label=fit.label(others[0] if others else region),
            second_share=more[0] if more else 0.0,
            local=float(local / norm.clamp(min=1e-12)),
            outside=self.text.position < fit.skip_first,
        )

    def _leading_regions(self) -> Part:
        rows: list[LeadingRegionRow] = []
        tried = 0.0
        for fit in self._regions:
            for why, name in (
                ("over-represented among its tokens", "lifted"),
                ("promoted by its centroid", "promoted"),
            ):
                top = fit.arrays[name].long()
                tried += top.numel() / self.loaded.facts.vocabulary
                for region, rank in (top == self.token).nonzero().tolist():
                    rows.append(LeadingRegionRow(**region_facts(fit, region), why=why, rank=rank + 1))
        rows.sort(key=lambda r: (r.rank, r.fit))
        return rows[:ROWS], (
            f"{amount(len(rows), 'region has', 'regions have')} it among the leading tokens; of a token drawn at "
            f"random one would expect {tried:.1f}. Which region it lies in itself depends on the text around it."
        )

    def channels(self) -> Part:
        """Channels made beforehand with this token among their 20, and how often random vectors land on it."""
        from analysis.models.lookup import names_of, relatives
        from analysis.rotate.library import open_library
        from analysis.rotate.reading import LEVEL

        library = open_library(self.context.memory, self.loaded.facts.fingerprint)
        if library is None:
            return [], (
                "The neurons of this model have not been measured, and without random vectors nothing could be said. "
                "Open the Neurons page and press Measure."
            )
        null = library.null("unembedding")
        share = float((null.top == self.token).flatten(1).any(1).float().mean())
        tail = f"Of {null.vectors} random vectors, {share:.1%} have it in one of their {null.rounds} channels."
        if not library.made:
            return [], (
                "No neuron's channels have been made for this model beforehand; the Neurons page finds those of any "
                f"neuron. {tail}"
            )
        tokenizer, rows = self.loaded.tokenizer, []
        for form in names_of(tokenizer, [self.token, *relatives(tokenizer, self.token)]):
            for row in library.search(form.id):
                place = Place("/neurons", {k: row[k] for k in ("layer", "vector", "neuron", "channel")})
                rows.append(ChannelRow(**row, id=form.id, token=form.token, beyond=row["p"] <= LEVEL, link=place))
        own = [row for row in rows if row.id == self.token]
        rows.sort(key=lambda r: (r.id != self.token, not r.beyond, -r.own_z))
        tally = f"{amount(len(own), 'holds', 'hold')} this very token, {sum(r.beyond for r in own)} beyond the null"
        sentence = f"Of the channels of {len(library.made)} neurons, {tally if own else 'none holds this very token'}"
        others = len(rows) - len(own)
        sentence += f", and {amount(others, 'holds', 'hold')} another form of the word. " if others else ". "
        return rows[:ROWS], sentence + tail

    def features(self) -> Part:
        """Features that the token uses where it stands, and those that push it up."""
        fits = self._factorizations
        if not fits:
            return [], (
                "No MLP features have been made for the weights of this model yet. Open the MLP features page, tab "
                "“Fit another”, and press Fit."
            )
        users: list[UsedFeatureRow] = []
        outside = 0
        for fit in fits if self.ids else ():
            used = self._used(fit)
            outside += used is None
            users += used or []
        promoting, tried = self._promoting(fits)
        users.sort(key=lambda r: r.share)
        rows: list[Row] = [*users[: ROWS - min(2, len(promoting))], *promoting]
        sentence = "Which features it uses itself depends on the text around it. "
        if self.ids:
            sentence = (
                "Features by how few tokens make them as active as this one does. The tick is where one feature of the "
                "fit is to be expected for a token drawn at random. "
            )
        if outside:
            sentence += f"{outside} of {len(fits)} factorizations have not seen activations like this one's. "
        return rows[:ROWS], sentence + (
            f"{amount(len(promoting), 'feature has', 'features have')} it among the 20 tokens that they push up; of a "
            f"token drawn at random one would expect {tried:.1f}."
        )

    def _used(self, fit: Any) -> list[UsedFeatureRow] | None:
        """The three features of a fit that are most unusual to be this active; None where it saw no such token.

        ``share``: on how many of all tokens the feature is at least as active, from the deciles kept with the fit.
        ``value``: its activation relative to what is usual of it. ``expected``: the share at which one feature of the
        fit is to be expected for a token drawn at random.
        """
        from analysis.snmf.reading import OUTSIDE, codes

        x = self._activations[fit.site].float()
        norms = x.norm(dim=1)
        if self.text.position < fit.skip_first or float(norms[-1]) > OUTSIDE * float(norms.median()):
            return None
        used, deciles = codes(fit.components, x[-1:])[0].double(), fit.arrays["deciles"].double()
        scale = fit.arrays["scale"].double()
        rows = []
        for row in fit.manifest["rows"]:
            k = row["feature"]
            value, lowest = float(used[k]), float(deciles[k, 0])
            if value <= 0 or value < lowest or not row["active"]:  # not among the tokens on which it counts as active
                continue
            below = float(np.interp(value, deciles[k].numpy(), np.linspace(0, 1, deciles.shape[1])))
            share = max(row["active"] * (1 - below), 1 / max(1, fit.manifest["tokens"]))
            usual = value / max(float(scale[k]), 1e-12)
            facts = feature_facts(fit, k, "active here")
            rows.append(UsedFeatureRow(**facts, value=usual, share=share, expected=1 / fit.features))
        return sorted(rows, key=lambda r: r.share)[:3]

    def _promoting(self, fits: list[Any]) -> tuple[list[PromotingFeatureRow], float]:
        """Rows of features with this very token among the 20 that they push up, and how many chance would give."""
        from analysis.models.prompts import token_labels

        label, rows, tried = token_labels(self.loaded.tokenizer, [self.token])[0], [], 0.0
        for fit in fits:
            for row in fit.manifest["rows"]:
                tried += len(row["plus"]) / self.loaded.facts.vocabulary
                if label in row["plus"]:
                    rank = row["plus"].index(label)
                    value = float(fit.arrays["plus_value"][row["feature"], rank])
                    facts = feature_facts(fit, row["feature"], "promotes")
                    rows.append(PromotingFeatureRow(**facts, rank=rank + 1, value=value))
        return sorted(rows, key=lambda r: r.rank), tried


def _shares(vectors: Any, basis: Any) -> tuple[np.ndarray, Any]:
    """Share of the squared length of vectors (T, d) inside an orthonormal basis (d, r), (T,); and the first vector."""
    x = vectors.double()
    inside = (x @ basis.to(x)).square().sum(1) / x.square().sum(1).clamp(min=1e-300)
    return inside.numpy(), x[0]
