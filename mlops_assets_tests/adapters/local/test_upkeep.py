"""Upkeep changes files and never rows: few files, each of few days; pinned versions stay."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from deltalake import DeltaTable

from mlops_assets.adapters.delta.readings import ORDER
from mlops_assets.adapters.delta.upkeep import DeltaTableUpkeep
from mlops_assets.adapters.local.delta import CONFIGURATION, DeltaFolder
from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.errors import DataError
from mlops_assets.engines.spark.readings import PROPERTIES
from mlops_assets_tests.fakes.readings import readings

START = datetime(2024, 6, 1, tzinfo=UTC)
NOW = datetime.now(UTC)
DAYS = 40


@pytest.fixture
def table(tmp_path):
    """A table of which every day came alone."""
    table = LocalReadingsTable(tmp_path / "t")
    for day in range(DAYS):
        rows = readings([float(day)] * 24, start=START + timedelta(days=day))
        table.merge(rows, slice_id=str(day))
    return table


def upkeep(tmp_path):
    return DeltaTableUpkeep(DeltaFolder(tmp_path / "t"), ORDER)


def spans(tmp_path):
    actions = pl.DataFrame(DeltaTable(tmp_path / "t").get_add_actions(flatten=True))
    return sorted(actions.select("min.date", "max.date").rows())


def test_small_files_of_past_days_become_few_and_hold_the_same_rows(tmp_path, table):
    before = table.read()
    assert len(spans(tmp_path)) == DAYS
    done = upkeep(tmp_path).tidy(now=NOW)
    assert done.compacted == DAYS - 7
    assert done.files == len(spans(tmp_path)) == 8
    assert table.read().equals(before)
    again = upkeep(tmp_path).tidy(now=NOW)
    assert (again.compacted, again.files) == (0, 8)
    assert again.checkpoint == done.checkpoint == table.version()


def test_files_cover_runs_of_days_that_do_not_overlap(tmp_path, table, monkeypatch):
    monkeypatch.setattr("mlops_assets.adapters.delta.upkeep.FILE_BYTES", 20_000)
    upkeep(tmp_path).tidy(now=NOW)
    found = spans(tmp_path)
    assert 8 < len(found) < DAYS / 2
    assert all(one[1] < other[0] for one, other in pairwise(found))


def test_a_merge_after_compaction_says_the_same_changes_as_before(tmp_path, table):
    upkeep(tmp_path).tidy(now=NOW)
    same = table.merge(readings([3.0] * 24, start=START + timedelta(days=3)), slice_id="same")
    assert (same.unchanged, same.changed.is_empty()) == (24, True)
    other = table.merge(readings([9.0], start=START + timedelta(days=3)), slice_id="other")
    assert other.changed.select("old_value", "new_value").rows() == [(3.0, 9.0)]
    assert table.merged("3") == 3


def test_a_log_is_joined_by_size(tmp_path):
    log = LocalRowLog(tmp_path / "t", "restatements")
    row = pl.DataFrame(
        [dict.fromkeys(log_schema("restatements"))], schema=log_schema("restatements")
    )
    for number in range(10):
        log.append(row, slice_id=str(number))
    done = DeltaTableUpkeep(DeltaFolder(tmp_path / "t")).tidy(now=NOW)
    assert (done.compacted, done.files) == (10, 1)
    assert len(log.read()) == 10
    log.append(row, slice_id="3")
    assert len(log.read()) == 10


def test_there_is_nothing_to_tidy_where_there_is_no_table(tmp_path):
    assert upkeep(tmp_path).tidy(now=NOW) is None
    assert upkeep(tmp_path).vacuum(keep=(), older_than=timedelta(0)) == 0


def test_a_vacuum_keeps_what_pinned_versions_need_and_takes_the_rest(tmp_path, table):
    pinned = table.read(version=20)
    upkeep(tmp_path).tidy(now=NOW)
    orphan = tmp_path / "t" / "part-of-a-killed-writer.parquet"
    orphan.write_bytes(b"x")
    assert upkeep(tmp_path).vacuum(keep=[20], older_than=timedelta(days=9)) == 0
    gone = upkeep(tmp_path).vacuum(keep=[20], older_than=timedelta(0))
    assert gone > 0
    assert not orphan.exists()
    assert table.read(version=20).equals(pinned)
    assert len(table.read()) == DAYS * 24
    with pytest.raises(DataError, match="cannot be read"):
        table.read(version=30)


def test_a_table_of_an_older_version_gets_the_properties_of_a_new_one_once(tmp_path, table):
    opened = DeltaTable(tmp_path / "t")
    assert opened.metadata().configuration == CONFIGURATION == PROPERTIES, "Spark makes the same"
    assert CONFIGURATION["delta.enableExpiredLogCleanup"] == "false"
    opened.alter.set_table_properties({"delta.enableExpiredLogCleanup": "true"})
    before, version = table.read(), table.version()
    upkeep(tmp_path).tidy(now=NOW)
    assert DeltaTable(tmp_path / "t").metadata().configuration == CONFIGURATION
    assert table.read().equals(before)
    assert table.read(version=version).equals(before)


def test_no_commit_that_a_pinned_version_needs_goes_however_old_it_is(tmp_path, table):
    for log in (tmp_path / "t" / "_delta_log").iterdir():
        os.utime(log, (0, 0))
    commits = {log.name for log in (tmp_path / "t" / "_delta_log").glob("*.json")}
    for number in range(60):
        rows = readings([float(number)] * 2, start=START + timedelta(days=DAYS + number))
        table.merge(rows, slice_id=f"more-{number}")
    upkeep(tmp_path).tidy(now=NOW)
    upkeep(tmp_path).vacuum(keep=[3], older_than=timedelta(0))
    assert commits <= {log.name for log in (tmp_path / "t" / "_delta_log").glob("*.json")}
    assert len(table.read(version=3)) == 4 * 24


def test_leftovers_of_killed_writers_go_after_a_day(tmp_path, table):
    old = (NOW - timedelta(days=2)).timestamp()
    for name in ("part-1.parquet#1", "_delta_log/00000000000000000099.json#1"):
        (tmp_path / "t" / name).write_bytes(b"x")
        os.utime(tmp_path / "t" / name, (old, old))
    young = tmp_path / "t" / "part-2.parquet#1"
    young.write_bytes(b"x")
    assert upkeep(tmp_path).tidy(now=NOW).leftovers == 2
    assert [path.name for path in (tmp_path / "t").rglob("*#*")] == [young.name]


def test_the_log_opens_from_a_checkpoint_however_many_commits_there_are(tmp_path, table):
    done = upkeep(tmp_path).tidy(now=NOW)
    log = tmp_path / "t" / "_delta_log"
    for commit in range(done.checkpoint):
        (log / f"{commit:020}.json").unlink()
    assert len(table.read()) == DAYS * 24
    assert table.merged("7") is not None
