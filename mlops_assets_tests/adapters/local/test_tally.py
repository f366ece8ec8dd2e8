"""The share of each circuit is counted once for each data file, and always as the rows have it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.adapters.delta.readings import ORDER
from mlops_assets.adapters.delta.tally import Tally
from mlops_assets.adapters.delta.upkeep import DeltaTableUpkeep
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets.domain.errors import DataError
from mlops_assets_tests.fakes.readings import readings

START = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def table(tmp_path):
    return LocalReadingsTable(tmp_path / "t")


def counted(table):
    """What the rows themselves say."""
    keys = ["plant_id", "circuit_id"]
    stamp = pl.col("timestamp")
    return (
        table.read()
        .group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("rows"),
            stamp.min().alias("first_timestamp"),
            stamp.max().alias("last_timestamp"),
        )
        .sort(keys)
    )


def test_it_agrees_with_the_rows_after_any_merges_and_upkeep(tmp_path, table):
    chance = random.Random(20240628)
    for number in range(12):
        key = f"P1/C{chance.randrange(3)}"
        start = START + timedelta(hours=chance.randrange(24 * 30))
        more = {"rain": [1.0] * 30} if number > 6 else {}
        table.merge(
            readings([float(number)] * 30, key=key, start=start, **more), slice_id=str(number)
        )
        assert table.summary().equals(counted(table))
    DeltaTableUpkeep(DeltaFolder(tmp_path / "t"), ORDER).tidy(now=datetime.now(UTC))
    assert table.summary().equals(counted(table))


def test_only_new_files_are_opened(table, monkeypatch):
    opened = []
    genuine = Tally._counted
    monkeypatch.setattr(
        Tally, "_counted", lambda self, name: (opened.append(name), genuine(self, name))[1]
    )
    for day in range(20):
        table.merge(readings([1.0] * 24, start=START + timedelta(days=day)), slice_id=str(day))
        table.summary()
    assert len(opened) == 20
    assert table.summary()["rows"].to_list() == [480]
    assert len(opened) == 20


@pytest.mark.parametrize("content", [b"", b"x", None])
def test_without_what_was_kept_all_is_counted(tmp_path, table, content):
    table.merge(readings([1.0, 2.0]), slice_id="a")
    expected = table.summary()
    kept = tmp_path / ".t.tally.parquet"
    if content is None:
        pl.DataFrame({"file": ["x"]}).write_parquet(kept)
    else:
        kept.write_bytes(content)
    assert table.summary().equals(expected)


def test_a_data_file_that_is_gone_is_named(tmp_path, table):
    table.merge(readings([1.0]), slice_id="a")
    table.merge(readings([1.0], start=START + timedelta(days=9)), slice_id="b")
    oldest = min((tmp_path / "t").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    oldest.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        table.summary()
