"""Environment versions in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.environment import TreeEnvironmentRegistry

if TYPE_CHECKING:
    from pathlib import Path


class LocalEnvironmentRegistry(TreeEnvironmentRegistry):
    """`workspaces/dev/environments`, or `registry/environments`."""

    def __init__(self, root: Path) -> None:
        super().__init__(DiskTree(root))
