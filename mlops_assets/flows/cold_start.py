"""Proposing the refresh that ends a cold start: a command for people, git is the only trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain import occasion
from mlops_assets.domain.cold_start import end_of_cold_start
from mlops_assets.domain.identifiers import CircuitKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mlops_assets.domain.alert import Alert
    from mlops_assets.domain.circuit import Config
    from mlops_assets.ports import Lake


def ended_cold_starts(lake: Lake, config: Config, *, data_now: datetime) -> dict[CircuitKey, str]:
    """Return the circuits that have enough readings now, with the command that uses them."""
    if not lake.readings.exists():
        return {}
    found: dict[CircuitKey, str] = {}
    columns = ("plant_id", "circuit_id", "first_timestamp", "last_timestamp", "rows")
    for plant, circuit, first, last, rows in lake.readings.summary().select(columns).iter_rows():
        key = CircuitKey(plant, circuit)
        if key in config.circuits:
            day = end_of_cold_start(config.circuits[key].spec, first, last, rows, data_now)
            if day is not None:
                found[key] = f"mlops refresh --cutoff {day} --circuit {key}"
    return dict(sorted(found.items()))


def proposals(lake: Lake, config: Config, *, data_now: datetime) -> Iterator[Alert]:
    """Tell each circuit's owners once."""
    for key, command in ended_cold_starts(lake, config, data_now=data_now).items():
        yield occasion.cold_start_over(key, command, config.plants)
