"""The ledger in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.ledger import TreeLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class LocalLedger(TreeLedger):
    """`ledger/` of a home."""

    def __init__(
        self,
        folder: Path,
        anchor: Callable[[str], None],
        anchored: Callable[[], Sequence[str]],
    ) -> None:
        super().__init__(DiskTree(folder), anchor, anchored)
