"""What someone asks for: which contrast, how many examples, which seed, which options.

It is plain data, checked once when it is made, so that it can travel as JSON between page and worker, be part of a
content hash, and be written beside a result. It says nothing about a model: the same contrast is asked of many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, cast

from analysis.errors import UserError
from analysis.fields import Text, Whole, check_fields
from analysis.qk.contrasts.kinds import CONTRAST_KINDS, OptionValue, whole_text
from analysis.qk.contrasts.template import parse_template

MIN_EXAMPLES = 8
MAX_EXAMPLES = 20_000
MAX_SEED = 2**32 - 1
MAX_NAME = 40


@dataclass(frozen=True)
class ContrastSpec:
    """A contrast to be built: ``kind`` is a key of ``CONTRAST_KINDS``.

    ``n_examples`` (8 to 20,000) left out, or None, becomes the default of the kind, and so does each option that
    ``options`` leaves out. ``name``: what its user calls it, which changes no example and no fit. Raises UserError
    whose field is ``kind``, ``n_examples``, ``seed``, ``options``, ``name`` or the name of an option. A template is
    also parsed, so that its mistakes show before any model is asked.
    """

    kind: str
    # Typed as int because it always is one once the object is made.
    n_examples: Annotated[int, Whole(MIN_EXAMPLES, MAX_EXAMPLES, words="The number of examples")] = cast(int, None)
    seed: Annotated[int, Whole(0, MAX_SEED, words="The seed")] = 0
    options: dict[str, OptionValue] = field(default_factory=dict)
    name: Annotated[str, Text(MAX_NAME, words="The name of the feature")] = ""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in CONTRAST_KINDS:
            raise UserError(f"The contrast must be one of {', '.join(CONTRAST_KINDS)}.", "kind")
        kind = CONTRAST_KINDS[self.kind]
        if self.n_examples is None:
            object.__setattr__(self, "n_examples", kind.default_examples)
        check_fields(self)
        if not whole_text(self.name) or any(ord(c) < 32 for c in self.name):
            raise UserError("The name of the feature holds characters that cannot be shown. Type it again.", "name")
        object.__setattr__(self, "name", self.name.strip())
        object.__setattr__(self, "options", self._checked(kind.options))
        if self.kind == "template":
            parse_template(str(self.options["template"]), str(self.options["word_lists"]))

    def _checked(self, known: tuple[Any, ...]) -> dict[str, OptionValue]:
        if not isinstance(self.options, Mapping):
            raise UserError("The options must be names with values.", "options")
        names = [option.name for option in known]
        for name in self.options:
            if name not in names:
                raise UserError(
                    f"The {self.kind} contrast has no option {name!r}. Its options are {', '.join(names)}.", "options"
                )
        return {option.name: option.check(self.options.get(option.name, option.default)) for option in known}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; :meth:`from_dict` reads it back."""
        data = {"kind": self.kind, "n_examples": self.n_examples, "seed": self.seed, "options": dict(self.options)}
        return data | ({"name": self.name} if self.name else {})

    def unnamed(self) -> ContrastSpec:
        """The same contrast without its name, as a fit is kept."""
        return replace(self, name="") if self.name else self

    @classmethod
    def from_dict(cls, data: object) -> ContrastSpec:
        """Read what :meth:`to_dict` wrote. Missing entries take their defaults. Raises UserError, as the class does."""
        if not isinstance(data, Mapping):
            raise UserError("A contrast must be a JSON object.")
        extra = [str(name) for name in data if name not in ("kind", "n_examples", "seed", "options", "name")]
        if extra:
            raise UserError(f"A contrast has no entry {extra[0]!r}.", "options")
        return cls(
            kind=data.get("kind", ""),
            n_examples=cast(int, data.get("n_examples")),
            seed=data.get("seed", 0),
            options=data.get("options", {}),
            name=data.get("name", ""),
        )
