"""What upkeep of any Delta table must do: fewer files, the same rows, pinned versions kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from deltalake import DeltaTable

from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.azure.quality import open_quality
from mlops_assets.adapters.azure.upkeep import open_upkeep
from mlops_assets.adapters.delta.readings import ORDER, DeltaReadingsTable
from mlops_assets.adapters.delta.row_log import DeltaRowLog
from mlops_assets.adapters.delta.table import CONFIGURATION
from mlops_assets.adapters.delta.upkeep import DeltaTableUpkeep
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.quality import quality_frame
from mlops_assets_tests.contracts.test_quality_table import a_day
from mlops_assets_tests.fakes.readings import readings

START = datetime(2024, 6, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 10


@pytest.fixture(params=["local", pytest.param("azure", marks=pytest.mark.azure)])
def stored(request, tmp_path):
    if request.param == "local":
        return DeltaFolder(tmp_path / "t")
    account = request.getfixturevalue("storage_account")
    return open_table(account.backend(), "etl", "lake", "readings", environ=account.environ)


@pytest.fixture
def table(stored):
    """A table of which every day came alone."""
    table = DeltaReadingsTable(stored)
    for day in range(DAYS):
        rows = readings([float(day)] * 24, start=START + timedelta(days=day))
        table.merge(rows, slice_id=str(day))
    return table


@pytest.mark.azure
def test_every_table_has_its_upkeep_under_the_role_that_writes_it(storage_account):
    found = open_upkeep(storage_account.backend(), environ=storage_account.environ)
    assert set(found) == {
        *("readings", "quarantine", "restatements"),
        *("predictions", "quality", "hindcasts"),
    }
    table = open_quality(storage_account.backend(), "prod", environ=storage_account.environ)
    table.replace(quality_frame([a_day()]))
    assert found["quality"].tidy(now=NOW).files == 1
    assert found["hindcasts"].tidy(now=NOW) is None


def test_there_is_nothing_to_tidy_where_there_is_no_table(stored):
    upkeep = DeltaTableUpkeep(stored, ORDER)
    assert upkeep.version() is None
    assert upkeep.tidy(now=NOW) is None
    assert upkeep.vacuum(keep=(), older_than=timedelta(0)) == 0


def test_small_files_of_past_days_become_few_and_hold_the_same_rows(stored, table):
    before, upkeep = table.read(), DeltaTableUpkeep(stored, ORDER)
    done = upkeep.tidy(now=NOW)
    assert (done.compacted, done.files) == (DAYS - 7, 8)
    assert table.read().equals(before)
    assert table.merged("3") == 3
    again = upkeep.tidy(now=NOW)
    assert (again.compacted, again.files) == (0, 8)
    assert again.checkpoint == done.checkpoint == table.version() == upkeep.version()


def test_a_vacuum_keeps_what_pinned_versions_need_and_takes_the_rest(stored, table):
    pinned, newest, upkeep = table.read(version=2), table.read(), DeltaTableUpkeep(stored, ORDER)
    for day in range(3):
        rows = readings([9.0], start=START + timedelta(days=day))
        table.merge(rows, slice_id=f"again-{day}")
    upkeep.tidy(now=NOW)
    assert upkeep.vacuum(keep=[2], older_than=timedelta(days=9)) == 0
    assert upkeep.vacuum(keep=[2], older_than=timedelta(0)) > 0
    assert upkeep.vacuum(keep=[2], older_than=timedelta(0)) == 0
    assert table.read(version=2).equals(pinned)
    assert len(table.read()) == len(newest)
    with pytest.raises(DataError, match="cannot be read"):
        table.read(version=DAYS)


def test_a_log_is_joined_by_size_and_counts_what_it_counted(stored):
    log = DeltaRowLog(stored, "restatements")
    schema = log_schema("restatements")
    for number in range(6):
        stamp = START + timedelta(days=number % 3)
        log.append(pl.DataFrame([{**dict.fromkeys(schema), "timestamp": stamp}], schema=schema),
                   slice_id=str(number))  # fmt: skip

    def count(rows):
        return rows.group_by(pl.col("timestamp").dt.day().alias("day")).len().sort("day")

    counts = log.daily("days-1", count).sort("day")
    done = DeltaTableUpkeep(stored).tidy(now=NOW)
    assert (done.compacted, done.files) == (6, 1)
    assert log.daily("days-1", count).sort("day").equals(counts)
    log.append(log.read().head(1), slice_id="more")
    assert log.daily("days-1", count)["len"].sum() == 7
    assert DeltaRowLog(stored, "restatements").daily("days-1", count)["len"].sum() == 7


def test_a_table_of_an_older_version_gets_the_properties_of_a_new_one(stored, table):
    opened = stored.open()
    opened.alter.set_table_properties({"delta.enableExpiredLogCleanup": "true"})
    before = table.read()
    DeltaTableUpkeep(stored, ORDER).tidy(now=NOW)
    there = DeltaTable(stored.place, storage_options=stored.options())
    assert there.metadata().configuration == CONFIGURATION
    assert table.read().equals(before)
