"""Each circuit's share of the readings table and of what was kept out of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlops_assets.domain.quarantine_log import last_stuck, standing
from mlops_assets.domain.readings import CircuitReadings, missing_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from mlops_assets.domain.circuit import Circuit
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import Lake


def circuit_readings(
    lake: Lake, circuits: Mapping[CircuitKey, Circuit]
) -> dict[CircuitKey, CircuitReadings]:
    """Each circuit's share of the table; a circuit without readings has none."""
    rows = {
        (plant, circuit): (count, first, last)
        for plant, circuit, count, first, last in lake.readings.summary().iter_rows()
    }
    ids = ["plant_id", "circuit_id"]
    held = standing(lake.quarantine.read(circuits))
    quarantined = _per_circuit(held, ids)
    reasons, stuck = _reasons(held), last_stuck(held)
    restated = _per_circuit(lake.restatements.read(circuits), [*ids, "timestamp", "slice"])
    shares = {}
    for key, circuit in circuits.items():
        name = (key.plant_id, key.circuit_id)
        count, first, last = rows.get(name, (0, None, None))
        shares[key] = CircuitReadings(
            rows=count,
            first_timestamp=first,
            last_timestamp=last,
            gaps=missing_steps(first, last, count, circuit.spec.step),
            quarantined=quarantined[name],
            restated=restated[name],
            reasons=reasons.get(name, {}),
            stuck_until=stuck.get(name),
        )
    return shares


def _reasons(held: pl.DataFrame) -> dict[tuple[str, str], dict[str, int]]:
    counts = held.group_by("plant_id", "circuit_id", "reason").len().sort("reason")
    found: dict[tuple[str, str], dict[str, int]] = {}
    for plant, circuit, reason, count in counts.iter_rows():
        found.setdefault((plant, circuit), {})[reason] = count
    return found


def _per_circuit(rows: pl.DataFrame, columns: list[str]) -> Counter[tuple[str, str]]:
    if len(columns) > len(("plant_id", "circuit_id")):
        rows = rows.unique(columns)
    counts = rows.group_by("plant_id", "circuit_id").len()
    return Counter({(plant, circuit): count for plant, circuit, count in counts.iter_rows()})
