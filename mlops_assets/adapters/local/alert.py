"""Alerts in files of this machine: what was sent, and a line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree.alert import Secrets, TreeAlertLog, TreeAlerts

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.domain.circuit import AlertPolicy

__all__ = ["LocalAlertLog", "LocalAlerts", "Secrets"]


class LocalAlertLog(TreeAlertLog):
    """``alerts/KIND/NAME`` of a home."""

    def __init__(self, folder: Path) -> None:
        super().__init__(DiskTree(folder))


class LocalAlerts(TreeAlerts):
    """The receivers that a policy names, and a file of a home."""

    def __init__(
        self,
        file: Path,
        policy: AlertPolicy,
        secrets: Secrets | None = None,
        terminal: TextIO | None = None,
    ) -> None:
        super().__init__(DiskTree(file.parent), file.name, policy, secrets, terminal)
