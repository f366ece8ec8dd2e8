"""What people see of each circuit's readings in Dagster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from mlops_assets.assets.readings import circuit_readings_facts
from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.fakes.readings import a_circuit, a_config, a_lake, csv_of

START = datetime(2024, 6, 1, tzinfo=UTC)
DAYS = 20
PRESENT = START + timedelta(days=DAYS)
STUCK = ReadingLimits(stuck_hours=3, minimum=0.0)


def hourly(circuit, days, stuck_for=0):
    hours = days * 24
    values = [50 + hour % 24 if hour < hours - stuck_for else 42 for hour in range(hours)]
    stamps = [(START + timedelta(hours=hour)).isoformat() for hour in range(hours)]
    return [("P1", circuit, stamp, value) for stamp, value in zip(stamps, values, strict=True)]


def test_stuck_silent_dead_and_absent_circuits_are_told_with_what_was_kept_out():
    lake = a_lake()
    names = ("C1", "C2", "C3", "C4", "C5")
    config = a_config(*(a_circuit(f"P1/{name}", limits=STUCK) for name in names))
    rows = [
        *hourly("C1", DAYS),
        *hourly("C2", DAYS, stuck_for=8),
        *hourly("C3", DAYS - 2),
        *hourly("C4", 3),
        ("P1", "C1", START.isoformat(), -1),
    ]
    lake.landing.put("a.csv", csv_of(rows))
    ingest(lake, config, now=PRESENT)
    told = {
        fact.partition: fact
        for fact in circuit_readings_facts(SimpleNamespace(lake=lake), config, PRESENT)
    }
    states = {name: fact.metadata["state"] for name, fact in told.items()}
    assert states == {
        "P1/C1": "reporting",
        "P1/C2": "stuck",
        "P1/C3": "silent",
        "P1/C4": "dead",
        "P1/C5": "no readings",
    }
    stuck = told["P1/C2"].metadata
    assert stuck["quarantined_for"] == {"stuck": 7}
    assert stuck["stuck_until"] == PRESENT - timedelta(hours=1)
    assert told["P1/C1"].metadata["quarantined_for"] == {"out_of_range": 1}
    assert (told["P1/C3"].metadata["age_hours"], told["P1/C4"].metadata["rows"]) == (49.0, 72)
    assert told["P1/C2"].version == f"{PRESENT.date()}:stuck", "a new state is told at once"
