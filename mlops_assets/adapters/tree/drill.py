"""Rollback drills as one JSON file each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.adapters.tree import Tree

_NAME = re.compile(r"[0-9].*\.json")


class TreeDrillFiles:
    """The drills of one home."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def write(self, name: str, data: bytes) -> str:
        """Keep one drill, whole or not at all; returns its path relative to the home."""
        self._tree.write_atomic(name, data)
        return self.path(name)

    def path(self, name: str) -> str:
        """Where a drill lies, relative to the home."""
        return self._tree.path(name)

    def names(self) -> Sequence[str]:
        """The drills that are kept, oldest first: their names begin with their time."""
        return [name for name in self._tree.names() if _NAME.fullmatch(name)]

    def read(self, name: str) -> bytes:
        """One drill; DataError when there is none."""
        data = self._tree.read(name)
        if data is None:
            raise DataError(f"{self._tree.path(name)}: there is no such drill")
        return data
