"""Endpoints in a folder of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.deployment import TreeEndpoints

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey


class LocalEndpoints(TreeEndpoints):
    """The endpoints of one serving workspace, in one folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(DiskTree(folder, folder.parent.parent.parent))

    def room(self, circuits: Collection[CircuitKey]) -> Verdict | None:  # noqa: ARG002
        """A disk holds as many as there are."""
        return None

    def prepare(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:  # noqa: ARG002
        """Nothing is to be made ready: a model is loaded when it is applied."""
        return {}

    def announce(self, plants: Collection[str]) -> None:
        """Nothing else shows what is live."""

    def differences(self) -> Sequence[str]:
        """The live manifest is all that serves."""
        return ()

    def outdated(self) -> Sequence[Deployment]:
        """Models are applied by the code that runs."""
        return ()
