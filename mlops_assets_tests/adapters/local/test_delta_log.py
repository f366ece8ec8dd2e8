"""What a power cut can leave of a table's newest commit, and how its owner goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from mlops_assets.adapters.delta.day_table import DayTable
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.delta_log import DeltaLog
from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets.domain.errors import DataError, TornCommitError
from mlops_assets_tests.fakes.readings import readings

START = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def table(tmp_path):
    table = LocalReadingsTable(tmp_path / "t")
    table.merge(readings([1.0, 2.0]), slice_id="a")
    table.merge(readings([5.0, 6.0]), slice_id="b")
    return table


def newest_commit(tmp_path):
    return max((tmp_path / "t" / "_delta_log").glob("*.json"))


def added_file(tmp_path):
    lines = [json.loads(line) for line in newest_commit(tmp_path).read_text().splitlines()]
    (added,) = (line["add"]["path"] for line in lines if "add" in line)
    return tmp_path / "t" / added


def refused(table):
    """Every use refuses the table in one line."""
    for use in (
        table.read,
        table.version,
        table.newest,
        lambda: table.merged("a"),
        lambda: table.merge(readings([9.0]), slice_id="c"),
    ):
        with pytest.raises(TornCommitError, match="or the disk is damaged; run `mv ") as caught:
            use()
        assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_prefix_of_the_newest_commit_is_refused_by_name(tmp_path, table):
    commit = newest_commit(tmp_path)
    whole = commit.read_bytes()
    ends = {0, 1, len(whole) // 2, len(whole) - 1}
    ends |= {m.start() + shift for m in re.finditer(rb"\n", whole) for shift in (0, 1)}
    for end in sorted(ends):
        commit.write_bytes(whole[:end])
        refused(table)
    commit.write_bytes(bytes(len(whole)))
    refused(table)
    commit.write_bytes(whole)
    assert table.read()["value"].to_list() == [5.0, 6.0]


@pytest.mark.parametrize("damage", ["empty", "short", "zeros", "gone"])
def test_a_data_file_of_the_newest_commit_that_is_not_whole_is_refused(tmp_path, table, damage):
    file = added_file(tmp_path)
    size = file.stat().st_size
    match damage:
        case "empty":
            os.truncate(file, 0)
        case "short":
            os.truncate(file, size - 7)
        case "zeros":
            file.write_bytes(bytes(size))
        case _:
            file.unlink()
    assert file.name in refused(table)


def test_the_line_says_a_command_after_which_the_table_is_as_it_was_before(tmp_path, table):
    newest_commit(tmp_path).write_bytes(b"")
    command = re.search(r"`(mv [^`]+)`", refused(table))[1]
    subprocess.run(command, shell=True, check=True)  # noqa: S602 as a person would
    assert table.read()["value"].to_list() == [1.0, 2.0]
    assert table.merged("b") is None
    table.merge(readings([5.0, 6.0]), slice_id="b")
    assert table.read()["value"].to_list() == [5.0, 6.0]


def test_an_empty_commit_under_a_newer_one_is_refused_too(tmp_path, table):
    table.merge(readings([7.0]), slice_id="c")
    (tmp_path / "t" / "_delta_log" / f"{1:020}.json").write_bytes(b"")
    with pytest.raises(TornCommitError, match=f"{1:020}.json is empty"):
        table.read()


def test_a_checkpoint_that_is_not_whole_is_named_with_the_command_that_does_without(tmp_path):
    table = LocalReadingsTable(tmp_path / "t")
    for number in range(51):
        table.merge(readings([float(number)]), slice_id=str(number))
    (checkpoint,) = (tmp_path / "t" / "_delta_log").glob("*.checkpoint.parquet")
    os.truncate(checkpoint, 0)
    with pytest.raises(DataError, match="its checkpoint is not whole, its commits are") as caught:
        table.read()
    command = re.search(r"run `([^`]+)` and repeat", str(caught.value))[1]
    subprocess.run(command, shell=True, check=True)  # noqa: S602 as a person would
    assert table.read()["value"].to_list() == [50.0]


def test_a_commit_and_everything_it_needs_is_flushed_before_a_merge_returns(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd)),
    )
    table = LocalReadingsTable(tmp_path / "t")
    for number in range(50):
        flushed.clear()
        table.merge(readings([float(number)]), slice_id=str(number))
        commit = newest_commit(tmp_path)
        needed = {added_file(tmp_path), commit, commit.parent, tmp_path / "t"}
        assert {str(path) for path in needed} <= set(flushed)
    log = tmp_path / "t" / "_delta_log"
    assert str(log / f"{49:020}.checkpoint.parquet") in flushed
    assert str(log / "_last_checkpoint") in flushed


def test_a_commit_whose_writer_was_killed_before_flushing_is_flushed_by_the_next(
    tmp_path, table, monkeypatch
):
    flushed = []
    log = DeltaLog(tmp_path / "t")
    monkeypatch.setattr("mlops_assets.adapters.local.delta_log.flush_files", flushed.extend)
    log.flush(1)
    assert {log.commit(0), log.commit(1), added_file(tmp_path)} <= set(flushed)
    old = datetime.now(UTC).timestamp() - 7200
    os.utime(log.commit(0), (old, old))
    flushed.clear()
    DeltaLog(tmp_path / "t").flush(1)
    assert log.commit(1) in flushed
    assert log.commit(0) not in flushed


def test_a_slice_found_merged_is_on_the_disk_before_anybody_is_told(table, monkeypatch):
    flushed = []
    monkeypatch.setattr(DeltaLog, "flush", lambda self, version: flushed.append(version))
    assert table.merged("a") == 0
    assert flushed == [1]


def test_rows_that_lack_or_add_a_column_are_refused_before_anything_is_written(tmp_path, table):
    folder = table._stored
    opened = folder.open()
    rows = table.read()
    for odd, said in (
        (rows.drop("source"), "source is absent, in the table string"),
        (rows.with_columns(note=pl.lit("x")), "note is string, in the table absent"),
        (rows.with_columns(pl.col("value").cast(pl.Int64)), "value is long, in the table double"),
    ):
        for write in (
            lambda odd=odd: folder.replace(opened, odd, "date >= '2024-06-01'", "x"),
            lambda odd=odd: folder.append(opened, odd, "x"),
        ):
            with pytest.raises(DataError, match=said):
                write()
    assert DeltaTable(tmp_path / "t").version() == 1


def test_a_table_of_days_refuses_an_empty_key(tmp_path):
    empty = pl.DataFrame(
        schema={
            "plant_id": pl.String,
            "circuit_id": pl.String,
            "issued_for": pl.Date,
            "value": pl.Float64,
        }
    )
    table = DayTable(DeltaFolder(tmp_path / "d"), empty, ("plant_id", "circuit_id", "issued_for"))
    row = {"plant_id": "P", "circuit_id": None, "issued_for": START.date(), "value": 1.0}
    rows = pl.DataFrame([row], schema=empty.schema)
    with pytest.raises(DataError, match="circuit_id is empty in 1 rows"):
        table.replace(rows, unit=["plant_id", "circuit_id"])
    later = rows.with_columns(circuit_id=pl.lit("C"), issued_for=START.date() + timedelta(days=1))
    table.replace(later, unit=["plant_id", "circuit_id"])
    with pytest.raises(DataError, match="circuit_id is empty in 1 rows"):
        table.replace(rows, unit=["plant_id", "circuit_id"])
