"""Everything that is stored and may one day be removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from mlops_assets.domain.retention import Stored


class Storage(Protocol):
    """What a home holds, seen as things that may be removed."""

    def items(self) -> Iterator[Stored]:
        """Every thing of every kind, with its age and size."""

    def remove(self, item: Stored) -> None:
        """Remove one thing, whole or not at all; one that is gone is no error."""

    def sweep(self, now: datetime) -> int:
        """Remove what killed processes left behind; returns how many names went."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold removal against backups and other removals of this home."""
