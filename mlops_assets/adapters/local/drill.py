"""Rollback drills as one JSON file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import read_bytes, write_atomic
from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class LocalDrillFiles:
    """`workspaces/prod/drills/`."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home

    def write(self, name: str, data: bytes) -> str:
        """Keep one drill, whole or not at all; returns its path relative to the home."""
        write_atomic(self._folder / name, data)
        return self.path(name)

    def path(self, name: str) -> str:
        """Where a drill lies, relative to the home."""
        return (self._folder / name).relative_to(self._home).as_posix()

    def names(self) -> Sequence[str]:
        """The drills that are kept, oldest first: their names begin with their time."""
        return sorted(path.name for path in self._folder.glob("[0-9]*.json"))

    def read(self, name: str) -> bytes:
        """One drill; DataError when there is none."""
        data = read_bytes(self._folder / name)
        if data is None:
            raise DataError(f"{self._folder.name}/{name}: there is no such drill")
        return data
