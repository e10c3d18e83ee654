"""One turn of a conversation as plain data that may come from a browser or a file: checked once, free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.mfa.settings import SteeringSettings
from analysis.steering.room import MAX_WRITTEN

MAX_TURNS, MAX_CHARACTERS = 40, 20_000


@dataclass(frozen=True)
class TurnSetting:
    """What the ``user`` said, the ``reply`` ("" in the turn that is to be written), its token ``ids`` if the model
    wrote it and no one has changed it, and how the model is steered in this turn."""

    user: str
    reply: str = ""
    ids: tuple[int, ...] = ()
    steer: SteeringSettings = SteeringSettings()

    def __post_init__(self) -> None:
        for text, name in ((self.user, "The user's part"), (self.reply, "The reply")):
            if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
                raise UserError(f"{name} of a turn is a text of at most {MAX_CHARACTERS:,} characters.", "turns")
        good = isinstance(self.ids, tuple) and len(self.ids) <= MAX_WRITTEN
        if not good or not all(type(i) is int and 0 <= i < 10_000_000 for i in self.ids):
            raise UserError("The tokens of a reply come as a list of ids.", "turns")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {"user": self.user, "reply": self.reply, "ids": list(self.ids), "steer": self.steer.to_dict()}

    @classmethod
    def from_dict(cls, data: Any) -> TurnSetting:
        """The reverse, for data that nobody has checked. Raises UserError."""
        if not isinstance(data, dict) or "user" not in data or set(data) - {"user", "reply", "ids", "steer"}:
            raise UserError("A turn has the fields user, reply, ids and steer.", "turns")
        ids = data.get("ids", [])
        if not isinstance(ids, (list, tuple)):
            raise UserError("The tokens of a reply come as a list of ids.", "turns")
        steer = SteeringSettings.from_dict(data.get("steer") or {})
        return cls(data["user"], data.get("reply", ""), tuple(ids), steer)
