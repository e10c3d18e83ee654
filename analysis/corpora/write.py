"""Write the bundled corpus: ``python -m analysis.corpora.write OUT.jsonl``.

Six passages of every kind are written by the default model, each in another form (a letter, a news report, ...), and
two come from sentence patterns of this project, where only the words of the kind change. Everything is seeded. Each
finished batch is appended at once and a second call goes on where the first stopped.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.corpora.themes import Kind, themes
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.prompts import end_ids
from analysis.models.templates import chat_text

FORMS = (
    "a short story",
    "a diary entry",
    "a news report",
    "practical advice for a beginner",
    "a personal letter to a friend",
    "a paragraph of an encyclopedia",
    "a vivid description of a scene",
    "a conversation between two people",
    "a page of a travel or field notebook",
    "an opinion column",
    "a speech to a small audience",
    "a review of a book",
)
PATTERNS = (
    "On the table lay a note about {name}. It said: {a}, {b} and {c}.",
    "What do you know about {name}? I know about the {a}, the {b}, and a little about the {c}.",
    "She could not stop talking about the {a}. Then she mentioned the {b}, and after that the {c} and the {d}.",
    "My uncle spent his life with {theme}. His favourite subject was {name}: the {a}, the {b}, the {c}.",
    "The second chapter deals with {name}. Its key words are {a}, {b}, {c}, {d} and {e}.",
    "Nobody in our town understood the {a}. They had never seen a {b}, and the {c} was new to them.",
    "The list went on: {a}, {b}, {c}, {d}, {e}. All of it had to do with {theme}.",
    "Without the {a} there would be no {b}, and without the {b} nobody would think of the {c}.",
    "I dreamt of {name} last night. There was a {a} beside a {b}, and somewhere behind it the {c}.",
    "The exhibition on {theme} had one room for {name}, with a {a}, some {b}, and a picture of the {c}.",
    "They asked me to explain {name}. I began with the {a}, went on to the {b}, and ended with the {c}.",
    "First comes the {a}. Then comes the {b}. Last of all comes the {c}, and with it the {d}.",
)
WRITTEN, PATTERNED, LENGTH, BATCH, SEED = 6, 2, 150, 62, 20_261_122


def tasks() -> list[tuple[Kind, int]]:
    """Every passage that the model is to write, in a seeded order: (kind, number of the passage)."""
    every = [(kind, n) for theme in themes() for kind in theme.kinds for n in range(WRITTEN)]
    random.Random(SEED).shuffle(every)  # noqa: S311 - reproducible, not secret
    return every


def pattern_passage(kind: Kind, theme_name: str, number: int) -> str:
    """A passage of four patterns filled with the words of a kind; the same for the same arguments."""
    draw = random.Random(f"{SEED} {kind.theme} {kind.name} {number}")  # noqa: S311 - reproducible, not secret
    patterns = draw.sample(PATTERNS, 4)
    lines = []
    for pattern in patterns:
        a, b, c, d, e = draw.sample(kind.words, 5)
        lines.append(pattern.format(name=kind.name, theme=theme_name, a=a, b=b, c=c, d=d, e=e))
    return " ".join(lines)


def request(kind: Kind, theme_name: str, number: int) -> str:
    """What the model is asked to write."""
    draw = random.Random(f"{SEED} request {kind.theme} {kind.name} {number}")  # noqa: S311
    form = draw.choice(FORMS)
    words = ", ".join(draw.sample(kind.words, 4))
    return f"Write {form} about {kind.name}, on the theme of {theme_name}. Use the words {words}. Start right away."


@torch.no_grad()
def write_batch(loaded: LoadedModel, prompts: list[str], seed: int) -> list[str]:
    """Sample one passage for each prompt (temperature 0.8, top-p 0.95), up to LENGTH tokens."""
    tokenizer, model = loaded.tokenizer, loaded.model
    chats = [chat_text(tokenizer, [{"role": "user", "content": p}]) for p in prompts]
    rows = [tokenizer(c, add_special_tokens=False)["input_ids"] for c in chats]
    width, pad = max(map(len, rows)), 0
    ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows])
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor(sorted(end_ids(loaded)))
    end = int(tokenizer.eos_token_id)
    done = torch.zeros(len(rows), dtype=torch.bool)
    columns: list[Tensor] = []
    cache, feed, positions = None, ids, (mask.cumsum(1) - 1).clamp(min=0)
    for _ in range(LENGTH):
        output = model(
            feed,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        token = _sample(output.logits[:, -1].float(), generator)
        token[done] = end
        token[torch.isin(token, ends)] = end  # whichever it was, one stands for all behind it
        done |= token == end
        columns.append(token)
        if bool(done.all()):
            break
        feed, positions = token[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones(len(rows), 1, dtype=mask.dtype)], 1)
    tokens = torch.stack(columns, 1).tolist()
    texts = [tokenizer.decode(t[: t.index(end)] if end in t else t, skip_special_tokens=True) for t in tokens]
    return [tidy(t) for t in texts]


def _sample(logits: Tensor, generator: torch.Generator) -> Tensor:
    top = (logits / 0.8).softmax(-1).topk(min(200, logits.shape[-1]), -1)
    nucleus = top.values.masked_fill(top.values.cumsum(-1) - top.values > 0.95, 0)
    choice = torch.multinomial(nucleus, 1, generator=generator)
    return top.indices.gather(1, choice)[:, 0]


def tidy(text: str) -> str:
    """Without markup, headings and lead-ins, blanks joined, ended at the last full sentence if there is one."""
    text = re.sub(r"[*#_`]+", "", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and (lines[0].endswith(":") or len(lines[0].split()) < 8):
        lines = lines[1:]
    text = re.sub(r"\s+", " ", " ".join(lines)).strip()
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end > len(text) // 2 else text


def passages(loaded: LoadedModel, done: set[tuple[str, str, int]]) -> Iterator[list[dict[str, Any]]]:
    """Batches of passages that are not done yet."""
    names = {theme.key: theme.name for theme in themes()}
    every = tasks()
    for start in range(0, len(every), BATCH):
        batch = every[start : start + BATCH]
        if all((k.theme, k.name, n) in done for k, n in batch):
            continue
        texts = write_batch(loaded, [request(k, names[k.theme], n) for k, n in batch], SEED + start)
        yield [
            {"theme": k.theme, "kind": k.name, "number": n, "by": "model", "text": t}
            for (k, n), t in zip(batch, texts, strict=True)
        ]


def main() -> None:
    """Write or go on writing the file that is named."""
    path = Path(sys.argv[1])
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(r["theme"], r["kind"], r["number"]) for r in rows}
    with path.open("a", encoding="utf-8") as file:
        for theme in themes():
            for kind in theme.kinds:
                for n in range(WRITTEN, WRITTEN + PATTERNED):
                    if (theme.key, kind.name, n) not in done:
                        text = pattern_passage(kind, theme.name, n)
                        row = {"theme": theme.key, "kind": kind.name, "number": n, "by": "pattern", "text": text}
                        file.write(json.dumps(row) + "\n")
        loaded = load_model("default")
        for count, batch in enumerate(passages(loaded, done), start=1):
            file.writelines(json.dumps(row) + "\n" for row in batch)
            file.flush()
            print(f"batch {count} of {-(-len(tasks()) // BATCH)}", flush=True)


if __name__ == "__main__":
    main()
