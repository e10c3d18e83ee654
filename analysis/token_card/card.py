"""One token through all four decompositions: QK subspaces, regions, vocabulary channels, MLP features.

The methods do not know each other; this is the place where a token meets all of them. Each part stands alone: what one
of them lacks (a fit, a measurement, a context) is said in its own sentence, and the other parts are shown all the same.
Every number comes with what chance gives: a random subspace, a random token, random vectors. Links are places on pages,
as a path and the entries of a query, since only the web process knows how an address is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.fields import whole
from analysis.models.prompts import LONG_CHARACTERS, MAX_TOKENS, check_prompt
from analysis.models.spec import OTHELLO, ModelSpec
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.steering.steers import Steer
from analysis.token_card.answers import LensRow, TokenCardAnswer, TokenContext

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.token_card.text import TokenText

MOVES = (
    "The tokens of this model are moves of Othello, each named by its square; the Othello page shows what the model "
    "makes of them."
)
AROUND = 18
"""Tokens of context shown on either side."""


@dataclass(frozen=True)
class TokenCard(Operation[TokenCardAnswer]):
    """What the four decompositions say of one token.

    The token is named by ``token`` (typed text), by ``token_id``, or by ``position`` in a context: the prompt ``text``
    (with ``chat`` and ``generate`` as on the Attention page) or the tokens ``ids`` of a passage. ``contrasts``:
    features of the Attention page to look at besides those fitted with their usual settings. ``steer``: a set-up under
    which the lens reads the text once more, and which goes along where it is asked why the token stands there.
    """

    model: ModelSpec = ModelSpec("default")
    token: str = ""
    token_id: int = -1
    text: str = ""
    chat: bool = False
    position: int = -1
    generate: int = 0
    ids: tuple[int, ...] = ()
    contrasts: tuple[ContrastSpec, ...] = ()
    steer: Steer | None = None

    def __post_init__(self) -> None:
        whole(self.token_id, -1, 10_000_000, "token", "The number of the token")
        whole(self.position, -1, 1_000_000, "position", "The position of the token")
        whole(self.generate, 0, 200, "generate", "The number of generated tokens")
        if self.text:
            check_prompt(self.text, LONG_CHARACTERS)
        if not isinstance(self.ids, tuple) or len(self.ids) > MAX_TOKENS or len(self.contrasts) > 6:
            raise UserError(
                f"A context has at most {MAX_TOKENS:,} tokens, and at most six features are compared.", "text"
            )
        for token in self.ids:
            whole(token, 0, 10_000_000, "ids", "The number of a token")
        if self.position < 0 and self.token_id < 0:
            from analysis.models.lookup import check_typed

            check_typed(self.token)

    def reads(self, context: Context) -> str:
        """Checksums of all fits, factorizations and measurements of this model, and which features are fitted."""
        from analysis.bridge.steers import reads_of
        from analysis.mfa.library import REGION_SETS
        from analysis.rotate.library import MEASUREMENTS
        from analysis.snmf.library import FACTORIZATIONS
        from analysis.token_card.parts import fitted_contrasts

        fingerprint = context.residents.fingerprint(self.model) or ""
        shelves = (s.checksums(fingerprint) for s in (REGION_SETS, MEASUREMENTS, FACTORIZATIONS))
        features = (key for _, key in fitted_contrasts(context, self.model, self.contrasts))
        steer = [] if self.steer is None else [reads_of(self.steer, lambda: context.model(self.model))]
        return " ".join([*shelves, *features, *steer])

    def run(self, context: Context) -> TokenCardAnswer:
        from analysis.models.lookup import names_of, relatives
        from analysis.token_card.parts import TokenParts
        from analysis.token_card.text import TokenText
        from analysis.token_card.why import why_here

        loaded = context.model(self.model)
        text = TokenText(self.model, self.text, self.chat, self.generate, self.ids, self.position)
        ids = text.ids(context, loaded)
        token, note = (ids[self.position], "") if ids else self._token(loaded)
        if token is None:
            return self._offer(loaded)
        (name,) = names_of(loaded.tokenizer, [token])
        before = text.before(loaded, ids)
        why, note_on_why = (None, None) if before is None else why_here(before, token, self.steer)
        return TokenCardAnswer(
            token,
            name.token,
            names_of(loaded.tokenizer, relatives(loaded.tokenizer, token)),
            self._context(loaded, ids) if ids else None,
            MOVES if self.model.source == OTHELLO else note,
            TokenParts(text, self.contrasts, context, loaded, token, ids).parts(),
            lens=self._lens(context, text, loaded, token, ids),
            why=why,
            why_note=note_on_why or None,
        )

    def _lens(
        self, context: Context, text: TokenText, loaded: LoadedModel, token: int, ids: list[int]
    ) -> LensRow | None:
        """None without a text before the token; without numbers, and a sentence on why, where blocks cannot be read."""
        from analysis.token_card.lens import lens_row

        try:
            return lens_row(context, text, loaded, token, ids, self.steer)
        except UserError as error:
            return LensRow((), (), (), (), (), "", error.message)

    def _token(self, loaded: LoadedModel) -> tuple[int | None, str]:
        """The token that is meant, and a remark where it is not what was typed to the letter."""
        from analysis.models.lookup import meant

        if self.token_id < 0:
            return meant(loaded.tokenizer, self.token)
        if self.token_id >= loaded.facts.vocabulary:
            raise UserError(f"This model has tokens 0 to {loaded.facts.vocabulary - 1:,}.", "token")
        return self.token_id, ""

    def _offer(self, loaded: LoadedModel) -> TokenCardAnswer:
        """What was typed is no single token: its pieces, each of which has the typed text around it."""
        from analysis.models.lookup import forms, names_of, pieces
        from analysis.models.prompts import encode_prompt

        word = self.token.strip()
        if len(pieces(loaded.tokenizer, self.token)) == 1 and word:
            raise UserError(f"“{word[:60]}” is no word that this model's tokenizer knows. Type another.", "token")
        ids = encode_prompt(loaded, self.token, False)
        parts = tuple(replace(name, position=i) for i, name in enumerate(names_of(loaded.tokenizer, ids)))
        sentence = f"“{word[:60]}” is {len(ids)} tokens of this model. Choose one to see it in this text."
        other = names_of(loaded.tokenizer, forms(loaded.tokenizer, word))
        return TokenCardAnswer(None, "", other, text=self.token, pieces=parts, sentence=sentence)

    def _context(self, loaded: LoadedModel, ids: list[int]) -> TokenContext:
        """The tokens around the one asked about, and what opens the card for another one of them."""
        from analysis.models.lookup import names_of

        first = max(0, self.position - AROUND)
        around = names_of(loaded.tokenizer, ids[first : self.position + AROUND + 1])
        own = None if self.text else tuple(ids)
        return TokenContext(around, first, self.position, len(ids), self.text, self.chat, self.generate, own)
