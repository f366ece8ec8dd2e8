"""What a home holds in its containers, and what killed processes left in them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.adapters.tree.retention import PLACES, TreeStorage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from mlops_assets.adapters.azure.tree import BlobTree
    from mlops_assets.domain.retention import Kind

# Nothing that lives longer than this is being written.
LEFTOVER = timedelta(hours=24)


class BlobStorage(TreeStorage):
    """The storage of one home; ``locks`` is the tree of its locks."""

    def __init__(self, trees: Mapping[Kind, BlobTree], locks: BlobTree) -> None:
        super().__init__(trees)
        self._swept = trees
        self._locks = locks

    def sweep(self, now: datetime) -> int:
        """Remove folders that killed processes left without their seal a day ago."""
        return sum(
            tree.sweep(depth=PLACES[kind].depth, seal=seal, before=now - LEFTOVER)
            for kind, tree in self._swept.items()
            if (seal := PLACES[kind].seal) is not None
        )

    def lock(self) -> AbstractContextManager[None]:
        """Hold removal against other removals of this home."""
        return self._locks.locked("retention.lock")
