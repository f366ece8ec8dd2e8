"""The daily batch on a standalone cluster gives every digit of the one in this process."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import window_end
from mlops_assets.flows.deployment import deploy
from mlops_assets.flows.forecast import predict
from mlops_assets.settings import HomeLayout
from mlops_assets.stores.local import lake_of, registry_of, serving_of
from mlops_assets_tests.fakes.deployment import a_release, a_serving, an_entry
from mlops_assets_tests.fakes.trained_home import NOW, TrainedHome

pytestmark = pytest.mark.spark

DAY = date(2024, 6, 24)
IN_TIME = window_end(DAY, "UTC") + timedelta(hours=3)
KEYS = [CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")]


@pytest.fixture
def home(tmp_path):
    """Three live circuits; the model of the last cannot be read any more."""
    made = TrainedHome(tmp_path / "home", *map(str, KEYS))
    platform = made.platform
    platform.registry.environments.register(made.environment)
    entries = []
    for key, record in made.records.items():
        platform.registry.models.register(record, platform.dev.models.files(record))
        entries.append(
            an_entry(
                key,
                digest=record.digest,
                environment=str(record.environment),
                environment_digest=record.environment_digest,
                serving=a_serving(cutoff_date="2024-06-21"),
            )
        )
    deploy(platform.prod, platform.registry, a_release(*entries), now=NOW)
    damaged = max(made.layout.registry_models.rglob("model.json"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"{}")
    return made.layout.root


def batch(root, engine=None):
    """Predict in a home; returns the rows, the files' bytes and the report."""
    layout = HomeLayout(root)
    lake = lake_of(layout)
    if engine is not None:
        lake = replace(lake, engine=engine)
    report = predict(
        lake,
        serving_of(layout, "prod"),
        registry_of(layout),
        day=DAY,
        now=IN_TIME,
        data_now=IN_TIME,
    )
    files = sorted(layout.prediction_files("prod").rglob("*.parquet"))
    told = {
        key: (one.model_version, one.fallback, one.fallback_reason)
        for key, one in report.circuits.items()
    }
    return lake.predictions.read(issued_for=DAY), [f.read_bytes() for f in files], told, report


def test_a_batch_gives_the_same_rows_files_and_fallbacks_on_both_engines(spark, home, tmp_path):
    from mlops_assets.engines.spark.lake import SparkLakeEngine

    there = tmp_path / "there"
    shutil.copytree(home, there)
    rows, files, told, report = batch(home)
    assert len(report.circuits) == len(KEYS)
    assert {fallback for _, fallback, _ in told.values()} == {"none", "seasonal_naive"}
    on_spark = batch(there, SparkLakeEngine(spark))
    assert on_spark[0].equals(rows)
    assert on_spark[1] == files
    assert on_spark[2] == told
    again = batch(there, SparkLakeEngine(spark))
    assert again[3].rows == 0
