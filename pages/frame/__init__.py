"""The frame's callbacks, and what every answer of the server passes through."""
