"""A circuit whose spec names a feature: from `init --feature` to what it predicts every day."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlops_assets.cli.demo import PEOPLE
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.resources.home import initialise_demo
from mlops_assets.settings import Settings
from mlops_assets_tests.journeys.command import mlops
from mlops_assets_tests.journeys.people import commit, opened

DAYS = 60
KEY = "PLANT/LOAD"
AUTHOR = "author@demo.example"
FEATURES = "features: [heat, hour_of_day]"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Readings that follow the heat of the day before, with a gap in what was measured."""
    rng = np.random.default_rng(8)
    heat = np.repeat(rng.normal(0, 3, DAYS), 24) + rng.normal(0, 0.3, DAYS * 24)
    hours = np.arange(DAYS * 24)
    value = 100 + 10 * np.sin(hours / 24 * 2 * np.pi) + rng.normal(0, 1, len(hours))
    value[24:] += 3 * heat[:-24]
    start = datetime(2024, 3, 1, tzinfo=UTC)
    column = pl.Series(heat)
    column[list(range(24 * 56, 24 * 56 + 5))] = None
    frame = pl.DataFrame(
        {
            "plant_id": "PLANT",
            "circuit_id": "LOAD",
            "timestamp": [start + timedelta(hours=int(hour)) for hour in hours],
            "value": value,
            "heat": column,
        }
    )
    path = tmp_path_factory.mktemp("raw") / "readings.parquet"
    frame.write_parquet(path)
    return path


def test_init_writes_the_feature_into_each_spec(raw, tmp_path):
    home = tmp_path / "home"
    words = ("--readings", str(raw), "--feature", "heat", "--effort", "fast")
    assert mlops(home, "init", *words)["circuits"] == 1
    assert "features: [heat]" in (home / "config" / "plants" / f"{KEY}.yml").read_text()


def test_what_a_feature_says_reaches_the_daily_predictions(raw, tmp_path):
    """Trained, proved, signed, deployed and predicted every day, and never by a fallback."""
    home = tmp_path / "home"
    settings = Settings.find(home, None, {}, home)
    initialise_demo(settings, people={**PEOPLE, AUTHOR: ("ml_engineer",)}, readings=raw)
    spec = home / "config" / "plants" / f"{KEY}.yml"
    text = spec.read_text().replace("forecaster: auto", f"forecaster: ridge\n{FEATURES}")
    spec.write_text(text)
    commit(home / "config", "Forecast by the heat", author=AUTHOR)
    document = mlops(home, "demo", "--readings", str(raw))
    assert document["deployed"] == 1
    assert document["refused"] == {}
    assert document["skill"] > 0.3
    rows = opened(home).lake.predictions.read(circuits=[CircuitKey.parse(KEY)])
    assert set(rows["fallback"]) == {"none"}
    assert rows["issued_for"].n_unique() == 8
    assert rows["value"].is_finite().all()
    folder = home / "workspaces" / "dev" / "models" / KEY / "1"
    assert json.loads((folder / "record.json").read_text())["tags"]["forecaster"] == "ridge"
    (release,) = mlops(home, "release", "list")
    assert mlops(home, "verify", "--reproduce", release["release"])["ok"]
