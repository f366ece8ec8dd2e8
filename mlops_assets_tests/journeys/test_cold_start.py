"""A circuit of its first day: trained, signed, deployed and forecast like any other, then renewed.

It reports for one day before the cutoff date, so that no day can score its model.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.alert import alerts
from mlops_assets.assets.home import Home
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.settings import Settings
from mlops_assets_tests.journeys.command import mlops
from mlops_assets_tests.journeys.people import opened

OLD, NEW = "PLANT/OLD", "PLANT/NEW"
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 40
# The demo trains up to seven days before the last reading.
BEGAN = DAYS - 8


def rows(circuit, first, last):
    """Hourly readings of whole days."""
    hours = np.arange(24 * first, 24 * last)
    noise = np.random.default_rng(first).normal(0, 1, len(hours))
    return pl.DataFrame(
        {
            "plant_id": "PLANT",
            "circuit_id": circuit.partition("/")[2],
            "timestamp": [START + timedelta(hours=int(hour)) for hour in hours],
            "value": 100 + 10 * np.sin(hours / 24 * 2 * np.pi) + noise,
        }
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A demo of a circuit that was always there and one that began a day before the cutoff."""
    folder = tmp_path_factory.mktemp("cold")
    pl.concat([rows(OLD, 0, DAYS), rows(NEW, BEGAN, DAYS)]).write_parquet(folder / "raw.parquet")
    words = ("--readings", str(folder / "raw.parquet"), "--effort", "fast")
    return folder / "home", mlops(folder / "home", "demo", *words)


def test_a_circuit_of_one_day_goes_through_gates_test_and_production_to_a_forecast(begun):
    home, document = begun
    assert document["refused"] == {}
    assert {name: document[name] for name in ("trained", "deployed", "predicted")} == {
        "trained": 2,
        "deployed": 2,
        "predicted": 2,
    }
    folder = home / "workspaces" / "dev" / "models" / NEW / "1"
    assert json.loads((folder / "record.json").read_text())["tags"]["forecaster"] == "cold_start"
    predictions = opened(home).lake.predictions.read(circuits=[CircuitKey.parse(NEW)])
    assert set(predictions["fallback"]) == {"none"}
    assert predictions["issued_for"].n_unique() == 8
    assert predictions["value"].is_finite().all()


def test_its_signers_were_shown_that_nothing_measured_it(begun):
    home, _ = begun
    (release,) = mlops(home, "release", "list")
    shown = mlops(home, "release", "show", release["release"])
    assert "not measured: no day could be scored" in json.dumps(shown)
    assert mlops(home, "verify", "--reproduce", release["release"])["ok"]


def test_once_it_has_two_weeks_the_sensor_proposes_its_refresh(begun):
    home, _ = begun
    assert proposed(home) == []
    later = pl.concat([rows(key, DAYS, DAYS + 8) for key in (OLD, NEW)])
    later.write_parquet(home / "lake" / "raw" / "later.parquet")
    mlops(home, "ingest")
    cutoff = (START + timedelta(days=DAYS + 7)).date()
    command = f"mlops refresh --cutoff {cutoff} --circuit {NEW}"
    assert proposed(home) == [command]
    (line,) = (line for line in mlops(home, "plan") if line["circuit"] == NEW)
    assert line["reason"].endswith(f"it has enough readings now: `{command}`")
    assert mlops(home, *command.split()[1:])["branch"]


def proposed(home):
    """The commands that the sensor has told people of, for circuits that are no longer young."""
    told = Home(Settings.find(home, None, {}, home))
    alerts(dg.build_sensor_context(resources={"home": told}))
    file = told.settings.layout.alerts_file
    lines = file.read_text().splitlines() if file.exists() else []
    letters = [json.loads(line) for line in lines]
    return [letter["command"] for letter in letters if letter["kind"] == "cold_start_over"]
