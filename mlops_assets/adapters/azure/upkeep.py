"""Upkeep of the Delta tables in their containers, each under the role that writes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.delta.readings import ORDER
from mlops_assets.adapters.delta.upkeep import DeltaTableUpkeep
from mlops_assets.settings.access import may

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.settings.azure import AzureBackend

_LOGS = ("quarantine", "restatements")
_FORECASTS = ("predictions", "quality", "hindcasts")


def open_upkeep(
    backend: AzureBackend, *, environ: Mapping[str, str] = os.environ
) -> dict[str, DeltaTableUpkeep]:
    """Return the upkeep of every table that this host may write, by its name.

    Those in the lake are the ETL's, those of forecasts prod's.
    """
    found = dict[str, DeltaTableUpkeep]()
    if may(backend, "lake", "write"):
        readings = open_table(backend, "etl", "lake", "readings", environ=environ)
        found["readings"] = DeltaTableUpkeep(readings, ORDER)
    for name in _LOGS if found else ():
        table = open_table(backend, "etl", "lake", name, environ=environ)
        found[name] = DeltaTableUpkeep(table)
    for name in _FORECASTS if may(backend, "forecasts", "write") else ():
        table = open_table(backend, "prod", "forecasts", name, environ=environ)
        found[name] = DeltaTableUpkeep(table)
    return found
