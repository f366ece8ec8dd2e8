"""What the catalogue names late is read again on the cluster as in this process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.engines.spark.lakes import a_lake_on, ingested, state
from mlops_assets_tests.fakes.readings import a_circuit, a_config, csv_of

pytestmark = pytest.mark.spark

HEADER = "plant_id,circuit_id,timestamp,value,rain"
HOURS = range(6)


def rows(circuit):
    return [("P1", circuit, f"2024-05-02T{hour:02}:00Z", hour, hour / 2) for hour in HOURS]


def test_a_late_circuit_and_a_late_feature_give_the_same_rows_on_both_engines(spark, tmp_path):
    config = a_config(a_circuit("P1/C1"), a_circuit("P1/C2"), features=("rain",))
    known, late = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")
    some = replace(config, circuits={known: config.circuits[known]}, feature_columns=())
    lakes = [
        a_lake_on(tmp_path / "polars", "polars"),
        a_lake_on(tmp_path / "spark", "spark", spark),
    ]
    odd = [("P1", "C2", "soon", 1, 2), ("P1", "C2", "2024-05-02T07:00Z", "NA", 2)]
    files = {"a.csv": csv_of([*rows("C1"), *rows("C2"), *odd], header=HEADER)}
    for wanted, sent in ((some, files), (config, {})):
        reports = [replace(ingested(each, wanted, sent), delta_version=None) for each in lakes]
        assert reports[0] == reports[1]
    assert set(reports[0].added) == {"P1/C2", "rain"}
    assert (reports[0].rows_inserted, reports[0].rows_updated) == (6, 6)
    assert state(lakes[0]) == state(lakes[1])
    for key in (known, late):
        found = lakes[1].readings.read(circuits=[key], columns=["value", "rain"]).rows()
        assert found == [(hour, hour / 2) for hour in HOURS]
