"""A feed with real faults in many slices, late and again: what one slice of it gives."""

from __future__ import annotations

import random
from datetime import date, timedelta

import polars as pl
import pytest

from mlops_assets.domain.circuit import Config
from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.quarantine_log import standing
from mlops_assets.domain.readings import KEY
from mlops_assets.domain.simulation import simulate
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.fakes.readings import NOW, a_circuit, a_config, a_lake
from mlops_assets_tests.flows.test_readings import balanced, local_lake

SEED = 11
FIRST, DAYS = date(2024, 5, 1), 20
LIMITS = ReadingLimits(
    maximum=200.0, sign="positive", stuck_hours=3, spike_jump=3.0, spike_factor=2.0
)
CONFIG = a_config(
    a_circuit("P1/C1", limits=LIMITS),
    a_circuit("P1/C2", interval="30min", limits=LIMITS),
    a_circuit("P2/C1"),
)


def feed(config: Config) -> pl.DataFrame:
    """What the simulated meters report, with more faults than usual."""
    chance = random.Random(SEED)
    rows = []
    last = FIRST + timedelta(days=DAYS - 1)
    for key, meter in simulate(config.circuits.values(), seed=SEED, first=FIRST, last=last).items():
        values = meter.recorded.tolist()
        for place in sorted(chance.sample(range(len(values)), 12)):
            kind = chance.choice(("spike", "leap", "stuck", "zero", "step"))
            length = 1 if kind in ("spike", "leap", "zero") else chance.randrange(2, 9)
            for each in range(place, min(place + length, len(values))):
                factor = {"spike": 7.0, "leap": 1.6, "zero": 0.0, "step": 2.5}.get(kind)
                values[each] = values[place] if factor is None else values[each] * factor
        for place, value in enumerate(values):
            given = None if value != value else value  # noqa: PLR0124 not a number
            rows.append((key.plant_id, key.circuit_id, meter.moment(place), given))
    names = [*KEY, "value"]
    return pl.DataFrame(rows, schema=names, orient="row").cast(
        {"timestamp": pl.Datetime("us", "UTC"), "value": pl.Float64}
    )


def take(lake, parts):
    for part in parts:
        name = f"{len(lake.landing.files()):05}.csv"
        lake.landing.put(name, part.write_csv().encode())
        assert balanced(ingest(lake, CONFIG, now=NOW))


def state(lake):
    held = standing(lake.quarantine.read()).select(*KEY, "value", "reason").unique().sort(pl.all())
    return lake.readings.read().drop("source", "ingested_at").rows(), held.rows()


def sliced(rows, hours):
    spans = rows.with_columns(pl.col("timestamp").dt.truncate(f"{hours}h").alias("_span"))
    parts = spans.sort("timestamp").partition_by("_span", maintain_order=True)
    return [part.drop("_span") for part in parts]


@pytest.mark.parametrize("kind", ["local", "fake"])
def test_slices_late_rows_and_windows_sent_again_leave_no_trace(kind, tmp_path):
    rows = feed(CONFIG)
    one = a_lake()
    take(one, [rows])
    wanted = state(one)
    assert {reason for *_, reason in wanted[1]} >= {"stuck", "jump", "level", "wrong_sign"}
    chance = random.Random(SEED)
    lake = local_lake(tmp_path) if kind == "local" else a_lake()
    parts = sliced(rows, 24 if kind == "local" else 6)
    late = parts.pop(7)
    take(lake, [*parts, late])
    assert state(lake) == wanted
    entries = len(lake.quarantine.read().filter(pl.col("state") != "refused"))
    take(lake, chance.sample(parts, 5))
    assert state(lake) == wanted
    again = lake.quarantine.read().filter(pl.col("state") != "refused")
    assert len(again) == entries, "what arrives again tells the log nothing new"
