"""Quality as a Delta table in the container of forecasts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.delta.quality import DeltaQualityTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.settings.azure import AzureBackend, Role


def open_quality(
    backend: AzureBackend,
    role: Role,
    name: Literal["quality", "hindcasts"] = "quality",
    *,
    environ: Mapping[str, str] = os.environ,
) -> DeltaQualityTable:
    """Return `lake/quality`, or what was never issued in time, as a role reaches it."""
    return DeltaQualityTable(open_table(backend, role, "forecasts", name, environ=environ))
