"""The commits of one Delta table, wherever its log lies."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any


class CommitLog(ABC):
    """The log of one table; a version's commit has one name and never changes."""

    @abstractmethod
    def read(self, version: int) -> bytes:
        """The bytes of a commit; FileNotFoundError when there is none."""

    @abstractmethod
    def state(self, version: int) -> object | None:
        """What changes when a commit is replaced; None when it is gone, or no longer the newest."""

    @abstractmethod
    def check(self, version: int | None = None) -> None:
        """Refuse a table whose newest commit is not whole, where that can be.

        Raises:
            TornCommitError: naming the file and what to do.
        """

    @abstractmethod
    def advice_on_checkpoint(self) -> str:
        """What to do about a checkpoint that is not whole; empty when it is not to blame."""

    def actions(self, version: int) -> list[dict[str, Any]]:
        """What a commit did; ValueError when a line of it is no JSON."""
        return [json.loads(line) for line in self.read(version).splitlines() if line]

    def find(self, name: str, value: str, newest: int, *, after: int = -1) -> int | None:
        """The newest version with such metadata, looked for from ``newest`` down to ``after``.

        The log itself is read, not the library's history: that numbers commits from the newest one,
        which another writer may have made between its two looks.
        """
        for version in range(newest, after, -1):
            try:
                metadata = self.metadata(version)
            except FileNotFoundError:
                return None
            if metadata.get(name) == value:
                return version
        return None

    def metadata(self, version: int) -> dict[str, Any]:
        """What a commit says of itself; FileNotFoundError when there is none."""
        found: dict[str, Any] = {}
        for action in self.actions(version):
            found |= _metadata(action)
        return found


def _metadata(action: dict[str, Any]) -> dict[str, Any]:
    """What a commit says of itself; Delta on Spark has one text for it, in which we write JSON."""
    info: dict[str, Any] = action.get("commitInfo", {})
    try:
        return info | dict(json.loads(info.get("userMetadata") or "{}"))
    except (ValueError, TypeError):
        return info
