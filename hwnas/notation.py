"""How the code of an architecture is written and read, where each published benchmark has its own way."""

from __future__ import annotations

from collections.abc import Sequence


class Notation:
    """How a code is written: ``0,4,2``. A published benchmark's own way is a subclass."""

    def write(self, indices: Sequence[int]) -> str:
        return ",".join(map(str, indices))

    def read(self, text: str) -> list[str]:
        """The indices that `text` holds, as text. Digits alone will do where each index is one digit."""
        return text.split(",") if "," in text else list(text)


class Joined(Notation):
    """Indices joined by a separator: ``22212220``, ``7-8-1``."""

    def __init__(self, separator: str) -> None:
        self.separator = separator

    def write(self, indices: Sequence[int]) -> str:
        return self.separator.join(map(str, indices))

    def read(self, text: str) -> list[str]:
        return text.split(self.separator) if self.separator and self.separator in text else super().read(text)
