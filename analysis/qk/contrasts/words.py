"""The words of the presets. They sit apart from the code that uses them so that either can change alone.

The first objects of the list form the fitting vocabulary of the lexical contrast, so they are common words of
different sorts: most tokenizers hold them as one token. The others serve as company and as counterfactuals.
"""

from __future__ import annotations

OBJECTS: tuple[str, ...] = tuple(
    (
        "cup clock coat key book lamp rope drum coin plate hammer mirror towel camera basket ring bottle brush chair "
        "candle phone knife pillow shoe map bowl radio glove pen kettle ball scarf bucket fork purse blanket nail vase "
        "spoon hat card jar battery belt desk broom comb shirt saw tape pan doll wallet pencil glass kite sponge soap "
        "table button needle guitar photo pot flute shelf sock torch drill screw toy carpet curtain umbrella paper "
        "string watch bag flower lock glue"
    ).split()
)

CATEGORIES: dict[str, tuple[str, ...]] = {
    "animal": ("tiger", "rabbit", "sheep", "goat", "otter"),
    "fruit": ("lemon", "cherry", "mango", "banana", "melon"),
    "drink": ("milk", "wine", "juice", "cider", "cocoa"),
    "vehicle": ("train", "ferry", "van", "plane", "tram"),
    "country": ("Brazil", "Norway", "Kenya", "Japan", "Peru"),
}

FILLER: tuple[str, ...] = tuple(
    (
        "river cloud stone forest hill storm field island valley snow rain wind lake beach desert sky moon star sun "
        "leaf root branch sand wave cliff cave meadow garden path bridge road village winter summer autumn spring "
        "morning evening night noon"
    ).split()
)

LETTERS: tuple[str, ...] = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
