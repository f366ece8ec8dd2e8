"""Predictions in Delta and Parquet: partitions, plain strings, conflicts and damage."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import polars as pl
import pyarrow.parquet as pq
import pytest

from mlops_assets.adapters.local.forecast import LocalPredictionFiles, LocalPredictionsTable
from mlops_assets.domain.errors import DataError
from mlops_assets_tests.contracts.test_predictions_table import C1, C2, DAY, rows


def test_polars_reads_the_table_without_this_project(tmp_path):
    LocalPredictionsTable(tmp_path / "predictions").replace(rows(C1), issued_for=DAY)
    read = pl.scan_delta(str(tmp_path / "predictions")).filter(pl.col("issued_for") == DAY)
    assert read.collect().select(rows(C1).columns).equals(rows(C1))


def test_strings_are_plain_in_the_table_and_in_the_files(tmp_path):
    LocalPredictionsTable(tmp_path / "predictions").replace(rows(C1), issued_for=DAY)
    files = LocalPredictionFiles(tmp_path / "files", tmp_path)
    assert files.write(C1, DAY, rows(C1)) == f"files/P1/C1/{DAY}.parquet"
    for path in tmp_path.rglob("*.parquet"):
        assert "string_view" not in {str(kind) for kind in pq.read_schema(path).types}


def test_a_days_file_is_the_days_rows_and_is_left_alone_when_it_says_the_same(tmp_path):
    files = LocalPredictionFiles(tmp_path / "files", tmp_path)
    assert not files.exists(C1, DAY)
    path = tmp_path / files.write(C1, DAY, rows(C1))
    assert files.exists(C1, DAY)
    assert pl.read_parquet(path).equals(rows(C1))
    before = path.stat().st_mtime_ns
    files.write(C1, DAY, rows(C1))
    assert path.stat().st_mtime_ns == before
    files.write(C1, DAY, rows(C1, level=2.0))
    assert pl.read_parquet(path).equals(rows(C1, level=2.0))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_processes_that_replace_their_own_circuits_lose_no_row_of_the_others(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from mlops_assets.adapters.local.forecast import LocalPredictionsTable
        from mlops_assets.domain.identifiers import CircuitKey
        from mlops_assets_tests.contracts.test_predictions_table import DAY, rows
        table = LocalPredictionsTable(Path(sys.argv[1]))
        for level in range(1, 6):
            table.replace(rows(CircuitKey("P1", sys.argv[2]), level=float(level)), issued_for=DAY)
        """
    )
    names = ["C1", "C2", "C3"]
    runs = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "predictions"), name])
        for name in names
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    table = LocalPredictionsTable(tmp_path / "predictions")
    read = table.read(issued_for=DAY)
    assert read.group_by("circuit_id").len().sort("circuit_id").rows() == [(n, 24) for n in names]
    assert set(read["value"]) == {5.0}
    assert table.version() == 14


def test_a_commit_that_lost_the_race_is_made_again(tmp_path):
    path = tmp_path / "predictions"
    LocalPredictionsTable(path).replace(rows(C1), issued_for=DAY)
    table, other = LocalPredictionsTable(path), LocalPredictionsTable(path)
    inner = table._table
    read = inner._read

    def raced(*arguments):
        found = read(*arguments)
        if inner._read is raced:
            inner._read = read
            other._table._replace(rows(C2), ["plant_id", "circuit_id", "issued_for"])
        return found

    inner._read = raced
    table.replace(rows(C1, level=7.0), issued_for=DAY)
    assert table.read(circuits=[C2]).equals(rows(C2))
    assert table.read(circuits=[C1]).equals(rows(C1, level=7.0))


def test_an_empty_last_commit_is_named(tmp_path):
    path = tmp_path / "predictions"
    table = LocalPredictionsTable(path)
    for level in (1.0, 2.0):
        table.replace(rows(C1, level=level), issued_for=DAY)
    (path / "_delta_log" / f"{1:020}.json").write_bytes(b"")
    with pytest.raises(DataError, match=r"predictions: its commit 0+1\.json is empty"):
        table.read()


def test_a_lost_file_is_named(tmp_path):
    path = tmp_path / "predictions"
    table = LocalPredictionsTable(path)
    table.replace(rows(C1), issued_for=DAY)
    for file in path.rglob("*.parquet"):
        file.unlink()
    with pytest.raises(DataError, match=r"predictions: its commit 0+\.json added .* which is gone"):
        table.read()
