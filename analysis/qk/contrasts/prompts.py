"""Prompts to look at before fitting anything: each shows one habit of attention heads, and says what to look for."""

from __future__ import annotations

PRESET_PROMPTS: list[dict[str, str]] = [
    {
        "title": "Repeated names",
        "text": "The ferry passed Marlow Quay, Tern Rock and Alder Point. On its way home it passed Marlow Quay, Tern",
        "why": "Induction heads look from a repeated token back to the token that followed it the first time.",
    },
    {
        "title": "Boxes",
        "text": (
            "The coin is kept in Box M, the lamp is kept in Box C and the drum is kept in Box T. "
            "Question: in which box is the lamp? Answer: the lamp is kept in Box"
        ),
        "why": "Binding heads look from the last token to the letter that belongs to the object asked for.",
    },
    {
        "title": "A list of categories",
        "text": "Here is a list.\n- tiger\n- lemon\n- train\n- milk\n- otter\n- mango\nEvery fruit named in the list:",
        "why": "Filter heads look from the question to those items of the list that belong to the category.",
    },
    {
        "title": "Quotation",
        "text": (
            'The baker said, "We open at six," and the miller replied, "Then I will bring the flour at five." '
            'What the baker said was, "We'
        ),
        "why": "Some heads keep track of who speaks and whether a quotation is still open.",
    },
    {
        "title": "Code with brackets",
        "text": "def total(rows):\n    return sum([max(row[0], (row[1] + row[2]) * 2) for row in rows",
        "why": "Some heads look from the end of the line to the brackets that are still open.",
    },
    {
        "title": "Who is meant",
        "text": "The gardener thanked the pilot because she had brought the seeds all the way from Peru, and the pilot",
        "why": "Heads that follow reference look from a pronoun or a repeated noun to the person it stands for.",
    },
    {
        "title": "Several scripts and emoji",
        "text": "cat = 🐈, chat = 🐈, кошка = 🐈, 猫 = 🐈, قطة = 🐈; dog = 🐕, chien = 🐕, собака =",
        "why": "One character can be several tokens: see where heads look when the pieces of an emoji repeat.",
    },
    {
        "title": "A question to an assistant",
        "text": "User: Which is heavier, a kilo of wool or a kilo of iron?\nAssistant: They weigh the same, because",
        "why": "Shows how much attention rests on the first token and on the words that mark whose turn it is.",
    },
]

# For a model that knows the squares of a board and no word at all.
MOVE_PROMPTS: list[dict[str, str]] = [
    {
        "title": "An Othello opening",
        "text": "F5 D6 C3 D3 C4 F4 F6",
        "why": "The model knows moves only. See which heads look one move back, or at the moves of the same player.",
    },
    {
        "title": "Thirty moves of Othello",
        "text": "E6 F6 F5 D6 F7 G4 C3 E3 C4 D7 F3 D3 H5 G7 C6 G3 D8 B2 E7 C8 D2 B6 G5 C5 H7 D1 B3 H3 E2 F4",
        "why": "A legal game of random moves. No move comes twice, so there is no induction.",
    },
]
