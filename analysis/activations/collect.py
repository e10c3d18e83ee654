"""Run a model over passages and keep its activations at some sites.

The work takes minutes to hours, so it can be cut off anywhere and goes on where it was, and it says how long it will
take before it starts. Passages are read in a seeded order, so that any first part of them is a fair sample, and in
chunks with fixed bounds, the unit of progress that counts (:mod:`analysis.activations.reading`), here one after the
other, or on the nodes of a cluster: the rows come into the store in the order of the chunks, whoever read them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.activations.chunks import Chunks
from analysis.activations.reading import Piece, Reading, read_chunk
from analysis.activations.recipe import Recipe
from analysis.activations.room import amount, require_room
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage, corpus_hash
from analysis.engine.spread import Here, Spread
from analysis.errors import UserError
from analysis.models.frames import frame_ids
from analysis.models.hooks import site_width
from analysis.models.legible import check_corpus
from analysis.models.sites import Site
from analysis.progress import Check, Progress, no_check, silent
from analysis.spoken import duration

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.model_facts import ModelFacts

CHUNK_CHARACTERS = 16_000  # about 4,000 tokens
LOOKED_AT = 50  # passages, to see whether the model can read them at all
_SHORT = {"residual": 1, "mlp_output": 1, "mlp_hidden": 4}  # usual widths, in units of the residual stream


def tokens_of(loaded: LoadedModel, passages: Sequence[Passage]) -> list[list[int]]:
    """Token ids of each passage, without start or end tokens: what documents and positions of a store refer to."""
    if not passages:
        return []
    found = loaded.tokenizer([p.text for p in passages], add_special_tokens=False)["input_ids"]
    return [list(ids) for ids in found]


def start_tokens(loaded: LoadedModel) -> list[int]:
    """The tokens that the model's tokenizer puts before any text; many tokenizers put none."""
    return frame_ids(loaded.tokenizer)[0]


def passage_order(count: int, seed: int) -> list[int]:
    """In which order passages are read: a permutation of range(count), the same for the same arguments."""
    return [int(i) for i in np.random.default_rng(seed).permutation(count)]


def recipe_of(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    sites: Sequence[Site],
    *,
    window: int = 128,
    seed: int = 0,
    skip_first: int = 2,
    norm_guard: float = 20.0,
) -> Recipe:
    """The recipe of a collection. Raises UserError for no text, no site, or numbers out of range."""
    if not passages:
        raise UserError("There is no text to collect activations from. Choose a corpus, or bring a text.", "texts")
    if not sites:
        raise UserError("No site is named. Choose at least one block whose activations are wanted.", "site")
    longest = min(window, loaded.facts.max_positions or window)
    if not 0 <= skip_first < longest - len(start_tokens(loaded)) or not 8 <= window <= 100_000:
        raise UserError("The window must be from 8 to 100,000 tokens, and longer than what is skipped in it.", "window")
    if not 0 <= norm_guard < float("inf"):
        raise UserError("The limit on norms must be zero (none) or a number of medians, such as 20.", "norm_guard")
    return Recipe(
        model=loaded.facts.label,
        fingerprint=loaded.facts.fingerprint,
        dtype=loaded.facts.dtype,
        sites=tuple(sorted(set(sites), key=lambda s: s.order)),
        corpus=corpus_hash(passages),
        seed=seed,
        window=longest,
        skip_first=skip_first,
        norm_guard=float(norm_guard),
    )


def estimate(
    facts: ModelFacts, sites: Sequence[Site], tokens: int, widths: Mapping[Site, int] | None = None
) -> dict[str, Any]:
    """What collecting ``tokens`` activations takes: {"seconds": float, "bytes": int, "sentence": str}.

    Seconds from the speed that was measured when the model was loaded, for the blocks up to the highest site; bytes on
    disk in float16. ``widths``: numbers per activation, where known (``site_width``); else those that are usual.
    """
    widths = widths or {}
    width = sum(widths.get(s, facts.hidden * _SHORT.get(s.kind, 1)) for s in sites)
    depth = max((s.layer + 1 for s in sites), default=0) / max(facts.layers, 1)
    seconds, size = tokens * facts.seconds_per_token * min(depth, 1.0), tokens * (2 * width + 12)
    sentence = f"Collecting {tokens:,} activations takes about {duration(seconds)} and {amount(size)} of disk."
    return {"seconds": seconds, "bytes": size, "sentence": sentence}


def collect(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    sites: Sequence[Site],
    store: ActivationStore | None = None,
    *,
    max_tokens: int,
    window: int = 128,
    batch_tokens: int = 2048,
    seed: int = 0,
    skip_first: int = 2,
    norm_guard: float = 20.0,
    progress: Progress = silent,
    check: Check = no_check,
    spread: Spread | None = None,
) -> ActivationStore:
    """At least ``max_tokens`` activations (fewer if the passages end) at each site, in a store; what it has is kept.

    The store (that of the recipe in the data folder, unless one is given) may hold more than were asked for: the first
    ``max_tokens`` rows are the same however many there are. ``window``: the most tokens read in one piece, start tokens
    included; longer passages are cut into pieces of equal length. ``spread``: what reads the chunks. ``progress`` and
    ``check`` are called between batches, where no hook is in the model; ``check`` may raise Cancelled, and what is
    finished by then is kept.

    Raises:
        UserError: bad settings, texts that the model cannot read, no room on disk, or activations that are no numbers.
        ValueError: the given store has another recipe.
    """
    recipe = recipe_of(loaded, passages, sites, window=window, seed=seed, skip_first=skip_first, norm_guard=norm_guard)
    store = store or ActivationStore.of(recipe)
    if store.recipe.key != recipe.key:
        raise ValueError("the store has another recipe")
    _fill(loaded, passages, [(store, max_tokens)], batch_tokens, progress, check, spread or Here(loaded))
    return store


def collect_each(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    wants: Mapping[Site, int],
    *,
    window: int = 128,
    batch_tokens: int = 2048,
    norm_guard: float = 20.0,
    progress: Progress = silent,
    check: Check = no_check,
    spread: Spread | None = None,
) -> dict[Site, ActivationStore]:
    """A store of its own for each site, with at least so many activations, from one pass over the texts.

    The stores are those that :func:`collect` makes for each site alone, bit for bit, and each goes on where it was, so
    that whoever wants one site later finds it. Raises what :func:`collect` does.
    """
    recipes = {site: recipe_of(loaded, passages, [site], window=window, norm_guard=norm_guard) for site in wants}
    stores = {site: ActivationStore.of(recipe) for site, recipe in recipes.items()}
    _fill(
        loaded,
        passages,
        [(stores[site], wants[site]) for site in wants],
        batch_tokens,
        progress,
        check,
        spread or Here(loaded),
    )
    return stores


def _fill(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    wants: Sequence[tuple[ActivationStore, int]],
    batch_tokens: int,
    progress: Progress,
    check: Check,
    spread: Spread,
) -> None:
    """Read on until each store has so many activations. Their recipes differ in their sites alone."""
    if min(tokens for _, tokens in wants) < 1:
        raise UserError("At least one activation must be asked for.", "tokens")
    lacking = [(store, tokens) for store, tokens in wants if not store.complete and store.rows < tokens]
    if not lacking:
        progress(1.0, _done(wants[0][0]))
        return
    recipe = lacking[0][0].recipe
    order = passage_order(len(passages), recipe.seed)
    check_corpus(loaded.tokenizer, [passages[i].text for i in order[:LOOKED_AT]])
    _require_room(loaded, lacking)
    total = sum(tokens for _, tokens in lacking)
    pace = _Pace(total)
    prefix = start_tokens(loaded)
    heard: list[bool] = []

    def have(more: Mapping[int, int] | None = None) -> int:
        """Activations so far, with those of a chunk that is being read, by the place of their store."""
        counts = (store.rows + store.waiting + (more or {}).get(n, 0) for n, (store, _) in enumerate(lacking))
        return sum(min(count, tokens) for count, (_, tokens) in zip(counts, lacking, strict=True))

    def told(share: float | None, text: str = "", **facts: Any) -> None:
        more = dict(zip(facts.get("stores", ()), facts.get("rows", ()), strict=True))
        heard.append(bool(more))
        progress(min(1.0, have(more) / total), pace.sentence(have(more), facts.get("tokens", 0)))

    common = Reading(
        tuple(store.recipe.sites for store, _ in lacking),
        len(prefix),
        recipe.skip_first,
        recipe.norm_guard,
        batch_tokens,
    )
    with ExitStack() as writing:
        for store, _ in lacking:
            writing.enter_context(store.writing())
        chunks = Chunks(
            lacking,
            list(_chunks(passages, order)),
            lambda start, stop: _pieces(loaded, passages, order[start:stop], prefix, recipe),
        )
        parts = spread(read_chunk, common, chunks, progress=told, check=check)
        for n, part in enumerate(parts):
            chunks.add(n, part)
            if not any(heard):  # it was read elsewhere, where what is kept was not counted batch by batch
                progress(min(1.0, have() / total), pace.sentence(have(), part.tokens))
            heard.clear()
            if not chunks.short:
                break
        else:
            for n in chunks.short:
                lacking[n][0].finish()
        del parts  # what is being read beyond the last chunk ends here
    if any(not store.rows for store, _ in lacking):
        raise UserError("The passages are too short: not one activation was left. Bring longer ones.", "texts")
    progress(1.0, _done(lacking[0][0]))


def _require_room(loaded: LoadedModel, lacking: Sequence[tuple[ActivationStore, int]]) -> None:
    """UserError unless the disk holds what the stores lack."""
    size = 0
    for store, tokens in lacking:
        store.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        widths = {site: site_width(loaded, site) for site in store.recipe.sites}
        size += estimate(loaded.facts, store.recipe.sites, tokens - store.rows, widths)["bytes"]
    place = lacking[0][0].path
    require_room(place.parent, size, place.name)


def _chunks(passages: Sequence[Passage], order: list[int]) -> Iterator[tuple[int, int]]:
    """Bounds of chunks in the order, each closed by the passage with which it has CHUNK_CHARACTERS."""
    start = characters = 0
    for place, document in enumerate(order, start=1):
        characters += len(passages[document].text)
        if characters >= CHUNK_CHARACTERS or place == len(order):
            yield start, place
            start, characters = place, 0


def _pieces(
    loaded: LoadedModel, passages: Sequence[Passage], documents: list[int], prefix: list[int], recipe: Recipe
) -> list[Piece]:
    """Passages cut into pieces of equal length that fit the window, those left out that would give no row."""
    room, found = recipe.window - len(prefix), []
    for document, ids in zip(documents, tokens_of(loaded, [passages[d] for d in documents]), strict=True):
        count = -(-len(ids) // room)
        bounds = [len(ids) * i // count for i in range(count + 1)] if count else []
        for first, last in itertools.pairwise(bounds):
            if len(prefix) + last - first > recipe.skip_first:
                found.append(Piece(document, first - len(prefix), prefix + ids[first:last]))
    return found


class _Pace:
    """Speed since the start, in words."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.began, self.read, self.first = wanted, time.monotonic(), 0, -1

    def sentence(self, have: int, tokens: int) -> str:
        """Counts ``tokens`` more as read and says how far it is, how fast, and how long it will take."""
        self.read += tokens
        if self.first < 0:
            self.first, self.began, self.read = have, time.monotonic(), 0
            return f"{have:,} of {self.wanted:,} activations"
        seconds = max(time.monotonic() - self.began, 1e-6)
        left = max(0, self.wanted - have) * seconds / max(have - self.first, 1)
        speed = f"{self.read / seconds:,.0f} tokens per second"
        return f"{min(have, self.wanted):,} of {self.wanted:,} activations, {speed}, {duration(left)} left"


def _done(store: ActivationStore) -> str:
    return f"{store.rows:,} activations kept" + (", the whole corpus" if store.complete else "")
