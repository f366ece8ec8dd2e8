"""The ETL on a standalone cluster gives the rows of the one in this process, slice by slice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets.domain.arrivals import REASONS
from mlops_assets.domain.errors import DataError
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.engines.spark.lakes import (
    NOW,
    SEED,
    a_lake_on,
    company,
    copied,
    ingested,
    slices,
    state,
)
from mlops_assets_tests.fakes.readings import a_circuit, a_config, csv_of

pytestmark = pytest.mark.spark


def told(report):
    """A report without the numbers of versions, which count a schema commit or not."""
    return replace(report, delta_version=None)


def test_a_feed_with_every_defect_gives_the_same_rows_on_both_engines(spark, tmp_path):
    print(f"seed {SEED}")
    config, (first, second) = company(), slices()
    on_spark = a_lake_on(tmp_path / "spark", "spark", spark)
    on_polars = a_lake_on(tmp_path / "polars", "polars")
    reports = [ingested(lake, config, first) for lake in (on_polars, on_spark)]
    assert told(reports[0]) == told(reports[1])
    assert state(on_spark) == state(on_polars)

    # What one engine began the other goes on with, either way round.
    spark_then_polars = a_lake_on(copied(tmp_path / "spark", tmp_path / "sp"), "polars")
    polars_then_spark = a_lake_on(copied(tmp_path / "polars", tmp_path / "ps"), "spark", spark)
    lakes = [on_polars, on_spark, spark_then_polars, polars_then_spark]
    reports = [told(ingested(lake, config, second)) for lake in lakes]
    assert reports == reports[:1] * len(lakes)
    expected = state(on_polars)
    assert all(state(lake) == expected for lake in lakes)

    # The feed did what it is for.
    reasons = set(on_polars.quarantine.read()["reason"].str.split(":").list.first())
    assert set(REASONS) - {"bad_unit"} <= reasons
    assert {"stuck", "level"} & reasons
    assert reports[0].rows_withdrawn or reports[0].rows_returned
    assert reports[0].rows_restated > 0
    assert {"temperature", "rain"} <= set(expected["columns"])
    again = ingested(polars_then_spark, config, {})
    assert (again.rows_read, again.delta_version) == (0, polars_then_spark.readings.version())


def test_a_table_on_spark_has_no_feature_that_delta_rs_does_not_write(spark, tmp_path):
    lake = a_lake_on(tmp_path / "a", "spark", spark)
    rows = [("P1", "C1", f"2024-05-01T{hour:02}:00Z", hour + 1) for hour in range(6)]
    ingested(lake, a_config(a_circuit("P1/C1")), {"a.csv": csv_of(rows)})
    from deltalake import DeltaTable

    table = DeltaTable(tmp_path / "a" / "readings")
    protocol = table.protocol()
    assert protocol.min_reader_version == 1
    assert protocol.min_writer_version <= 2
    assert not protocol.reader_features
    assert table.metadata().configuration["delta.enableDeletionVectors"] == "false"
    assert LocalReadingsTable(tmp_path / "a" / "readings").merge(
        lake.readings.read().with_columns(pl.col("value") + 1), slice_id="b"
    ).updated == len(rows)


def test_what_an_executor_cannot_read_is_one_line_and_leaves_the_slice_for_later(spark, tmp_path):
    lake = a_lake_on(tmp_path / "a", "spark", spark)
    config = a_config(a_circuit("P1/C1"))
    lake.landing.put("a.csv", csv_of([("P1", "C1", "2024-05-01T00:00Z", 1)]))
    real = lake.landing.files()
    lying = _Changed(lake.landing)
    with pytest.raises(DataError, match=r"on Spark: DataError: a\.csv: changed while it was read"):
        ingest(lake, config, now=NOW, landing=None if lying is None else lying)
    assert not lake.readings.exists()
    assert lake.journal.pending() != {}
    assert lake.landing.files() == real


class _Changed:
    """A zone whose files are told with another size than they have."""

    def __init__(self, zone):
        self.zone = zone

    def files(self):
        return tuple(replace(file, size=file.size + 1) for file in self.zone.files())

    def read(self, file):
        return self.zone.read(file)


def test_real_readings_give_the_same_table_on_both_engines(spark, tmp_path, real_readings):
    rows = (
        pl.scan_parquet(real_readings)
        .select("plant_id", "circuit_id", "timestamp", pl.col("value_raw").alias("value"))
        .filter(
            pl.col("timestamp").dt.date()
            < pl.col("timestamp").dt.date().min() + pl.duration(days=3)
        )
        .collect()
    )
    keys = rows.select("plant_id", "circuit_id").unique().sort("plant_id", "circuit_id").head(20)
    config = a_config(*(a_circuit(f"{plant}/{circuit}") for plant, circuit in keys.iter_rows()))
    rows.write_parquet(tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    lakes = [a_lake_on(tmp_path / e, e, spark) for e in ("polars", "spark")]
    for lake in lakes:
        lake.landing.put("real.parquet", data)
    now = datetime(2100, 1, 1, tzinfo=UTC)
    reports = [told(ingest(lake, config, now=now)) for lake in lakes]
    assert reports[0] == reports[1]
    assert reports[0].rows_inserted > 1000
    assert state(lakes[0]) == state(lakes[1])
