"""Predictions as a Delta table in the container of forecasts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.delta.forecast import DeltaPredictionsTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.settings.azure import AzureBackend, Role


def open_predictions(
    backend: AzureBackend, role: Role, *, environ: Mapping[str, str] = os.environ
) -> DeltaPredictionsTable:
    """Return `lake/predictions` as a role reaches it."""
    return DeltaPredictionsTable(
        open_table(backend, role, "forecasts", "predictions", environ=environ)
    )
