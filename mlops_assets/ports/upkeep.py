"""Keeping a table quick to open and small: what it may need from time to time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What tidying a table did. ``files`` is how many data files it has now."""

    files: int
    compacted: int
    checkpoint: int
    leftovers: int


class TableUpkeep(Protocol):
    """Upkeep of one Delta table; nothing of it changes a row, and each step may be repeated."""

    def version(self) -> int | None:
        """The newest version; None where there is no table, TornCommitError where it is torn."""

    def tidy(self, *, now: datetime) -> Tidied | None:
        """Join small files of past days, checkpoint, sweep; None where there is no table."""

    def vacuum(self, *, keep: Sequence[int], older_than: timedelta) -> int:
        """Remove files that no version since ``older_than`` needs, nor any version in ``keep``.

        Returns:
            How many files went.
        """
