"""The readings table and the two logs of rows beside it, in the container of the lake."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.delta.readings import DeltaReadingsTable
from mlops_assets.adapters.delta.row_log import DeltaRowLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.settings.azure import AzureBackend, Role


def open_readings(
    backend: AzureBackend, role: Role, *, environ: Mapping[str, str] = os.environ
) -> DeltaReadingsTable:
    """Return `lake/readings` as a role reaches it."""
    return DeltaReadingsTable(open_table(backend, role, "lake", "readings", environ=environ))


def open_row_log(
    backend: AzureBackend,
    role: Role,
    kind: Literal["quarantine", "restatements"],
    *,
    environ: Mapping[str, str] = os.environ,
) -> DeltaRowLog:
    """Return `lake/quarantine` or `lake/restatements` as a role reaches it."""
    return DeltaRowLog(open_table(backend, role, "lake", kind, environ=environ), kind)
