"""What a model writes on after a chain that was altered, up to where it would give its answer."""

from __future__ import annotations

from analysis.faithfulness.ask import ContinuedAsk
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.passes import Count
from analysis.models.generation import decode
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, no_check

SPARE = 8
"""Tokens that are left free: text that was written may have some more tokens when it is read again."""


def written_on(
    loaded: LoadedModel, tokens: Tokens, ask: ContinuedAsk, count: Count, check: Check = no_check
) -> tuple[str, bool]:
    """What the model writes greedily after the ask's chain, and whether it was stopped at a limit: the ask's, or that
    of what this model can read with the cue and the longest candidate behind it.

    It ends before the first line of the cue, or at an end of the model's turn. UserError if the text as it is does not
    fit.
    """
    begun = ask.after("")
    ids = tokens.encode([ask.text])[0][0]
    longest = max(map(len, tokens.encode([begun.text + c for c in ask.candidates])[0]))
    most = min(ask.most, tokens.limit - longest - SPARE)
    stop = next((line.strip() for line in ask.cue.splitlines() if line.strip()), "")
    # Decoded behind some of the prompt: alone, a token that begins with a space may lose it.
    made = ids[-4:]
    known = len(_text(tokens, made))
    text, done = "", 0
    for token, _ in decode(loaded, ids, max(0, most)):
        check()
        count.passes, count.tokens = count.passes + 1, count.tokens + (1 if done else len(ids))
        done += 1
        made.append(token)
        text = _text(tokens, made)[known:]
        if stop and stop in text:
            return text[: text.index(stop)].rstrip(), False
    return text.rstrip(), done >= max(0, most)


def _text(tokens: Tokens, ids: list[int]) -> str:
    return str(tokens.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
