"""How far a count of long work is, said ten times on its way: enough to see that it goes on."""

from __future__ import annotations

from dataclasses import dataclass

_PARTS = 10


@dataclass(slots=True)
class Count:
    """So many of a total are done."""

    what: str
    total: int
    done: int = 0

    def advance(self, label: str = "") -> str | None:
        """Count one more, and return the line that is due at each tenth of the whole.

        >>> count = Count("training", 149, done=14)
        >>> count.advance("P001/C003")
        'training: 15 of 149, P001/C003'
        >>> count.advance("P001/C004") is None
        True
        """
        before = self.done * _PARTS // max(1, self.total)
        self.done += 1
        if self.done * _PARTS // max(1, self.total) == before:
            return None
        line = f"{self.what}: {self.done} of {self.total}"
        return f"{line}, {label}" if label else line
