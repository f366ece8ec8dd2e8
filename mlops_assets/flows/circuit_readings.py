"""Each circuit's share of the readings table and of what was kept out of it.

What the logs hold is counted a day at a time and kept, so this does not grow with history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain import merging, quarantine_log
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import CircuitReadings, missing_steps

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit
    from mlops_assets.ports import Lake

# With the version of what is counted: another one is counted from the start.
STANDING, RESTATED = "standing-1", "restated-1"


@dataclass(frozen=True, slots=True)
class Restated:
    """How many rows of a circuit were restated, and in which version of the table last."""

    rows: int
    version: int


def restated(
    lake: Lake, circuits: Collection[CircuitKey] | None = None
) -> dict[CircuitKey, Restated]:
    """Return the circuits, of these or of all, of which rows were restated."""
    import polars as pl

    counts = (
        lake.restatements.daily(RESTATED, merging.counted)
        .group_by("plant_id", "circuit_id")
        .agg(pl.col("rows").sum(), pl.col("version").max())
        .sort("plant_id", "circuit_id")
    )
    found = {CircuitKey(*row[:2]): Restated(*row[2:]) for row in counts.iter_rows()}
    return {key: each for key, each in found.items() if circuits is None or key in circuits}


def circuit_readings(
    lake: Lake, circuits: Mapping[CircuitKey, Circuit]
) -> dict[CircuitKey, CircuitReadings]:
    """Each circuit's share of the table; a circuit without readings has none."""
    rows = {
        (plant, circuit): (count, first, last)
        for plant, circuit, count, first, last in lake.readings.summary().iter_rows()
    }
    reasons, stuck = _held(lake)
    changed = restated(lake, circuits)
    shares = {}
    for key, circuit in circuits.items():
        name = (key.plant_id, key.circuit_id)
        count, first, last = rows.get(name, (0, None, None))
        shares[key] = CircuitReadings(
            rows=count,
            first_timestamp=first,
            last_timestamp=last,
            gaps=missing_steps(first, last, count, circuit.spec.step),
            quarantined=sum(reasons.get(name, {}).values()),
            restated=changed[key].rows if key in changed else 0,
            reasons=reasons.get(name, {}),
            stuck_until=stuck.get(name),
        )
    return shares


def _held(
    lake: Lake,
) -> tuple[dict[tuple[str, str], dict[str, int]], dict[tuple[str, str], datetime]]:
    """Return how much is in quarantine by circuit and reason, and until when meters are stuck."""
    import polars as pl

    counts = (
        lake.quarantine.daily(STANDING, quarantine_log.counted)
        .group_by("plant_id", "circuit_id", "reason")
        .agg(pl.col("rows").sum(), pl.col("stuck_until").max())
        .filter(pl.col("rows") > 0)
        .sort("reason")
    )
    reasons: dict[tuple[str, str], dict[str, int]] = {}
    stuck: dict[tuple[str, str], datetime] = {}
    for plant, circuit, reason, rows, until in counts.iter_rows():
        reasons.setdefault((plant, circuit), {})[reason] = rows
        if until is not None:
            stuck[plant, circuit] = until
    return reasons, stuck
