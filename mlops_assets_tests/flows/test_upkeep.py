"""Upkeep on the way, and slices that a table lost: noticed, read again, and never given up."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta

import pytest

from mlops_assets.cli.doctor import examine
from mlops_assets.domain.errors import DataError, TornCommitError
from mlops_assets.flows import upkeep
from mlops_assets.flows.readings import ingest
from mlops_assets.resources import open_platform
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.readings import NOW, a_config, a_lake, csv_of
from mlops_assets_tests.faults.driver import lake_of


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake" / "raw").mkdir(parents=True)
    return lake_of(tmp_path)


def send(lake, number, values=("1", "2", "NA")):
    rows = [
        ("P1", "C1", f"2024-06-{number + 1:02} {hour:02}:00", v) for hour, v in enumerate(values)
    ]
    lake.landing.put(f"{number}.csv", csv_of(rows))
    return ingest(lake, a_config(), now=NOW)


def tear(tmp_path, table):
    """Empty a table's newest commit, as a power cut can."""
    commit = max((tmp_path / "lake" / table / "_delta_log").glob("0*.json"))
    commit.write_bytes(b"")
    return commit


def rows(lake):
    return lake.readings.read().drop("ingested_at"), lake.quarantine.read()


@pytest.mark.parametrize("table", ["readings", "quarantine"])
def test_a_slice_whose_commit_was_torn_is_read_again_from_its_raw_files(tmp_path, lake, table):
    for number in range(3):
        send(lake, number)
    whole = rows(lake)
    tear(tmp_path, table)
    with pytest.raises(TornCommitError) as caught:
        send(lake, 3)
    command = re.search(r"`(mv [^`]+)`", str(caught.value))[1]
    subprocess.run(command, shell=True, check=True)  # noqa: S602 as a person would
    ingest(lake, a_config(), now=NOW)
    assert len(lake.readings.read()) == 8
    assert lake.journal.pending() == {}
    lost = [
        frame.filter(~frame[file].str.starts_with("3"))
        for frame, file in zip(rows(lake), ("source", "file"), strict=True)
    ]
    assert all(one.equals(other) for one, other in zip(lost, whole, strict=True))


def test_upkeep_never_takes_the_number_of_a_commit_that_was_lost(tmp_path, lake):
    for number in range(3):
        send(lake, number)
    commit = max((tmp_path / "lake" / "readings" / "_delta_log").glob("0*.json"))
    commit.rename(commit.with_suffix(".torn"))
    upkeep.tidy(lake, now=NOW)
    assert len(lake.journal.reopened()) == 1
    ingest(lake, a_config(), now=NOW)
    assert len(lake.readings.read()) == 6
    assert lake.journal.reopened() == frozenset()


def test_a_lost_slice_whose_raw_file_is_gone_is_said_until_the_file_is_back(tmp_path, lake):
    for number in range(2):
        send(lake, number)
    commit = max((tmp_path / "lake" / "readings" / "_delta_log").glob("0*.json"))
    commit.rename(commit.with_suffix(".torn"))
    file = tmp_path / "lake" / "raw" / "1.csv"
    data = file.read_bytes()
    file.unlink()
    for number in (2, 3):
        with pytest.raises(DataError, match=r"1 raw files .* such as 1\.csv: put them back"):
            send(lake, number)
    assert len(lake.readings.read()) == 6
    file.write_bytes(data)
    ingest(lake, a_config(), now=NOW)
    assert len(lake.readings.read()) == 8


def test_a_home_without_a_scheduler_tidies_once_in_so_many_slices(lake, monkeypatch):
    monkeypatch.setattr(upkeep, "EVERY", 4)
    seen = []
    genuine = upkeep._tidy
    monkeypatch.setattr(upkeep, "_tidy", lambda *a: (seen.append(1), genuine(*a))[1])
    for number in range(10):
        send(lake, number)
    assert len(seen) == 2
    assert len(lake.readings.read()) == 20


def test_tidying_and_vacuum_change_no_row(lake):
    for number in range(12):
        send(lake, number)
    before = rows(lake)
    done = upkeep.tidy(lake, now=NOW)
    assert done["quarantine"].compacted == 12
    assert done["readings"].compacted == 5
    assert lake.upkeep["quarantine"].vacuum(keep=(), older_than=timedelta(0)) == 12
    assert all(one.equals(other) for one, other in zip(rows(lake), before, strict=True))
    assert upkeep.tidy(a_lake(), now=NOW) == {}


def test_the_doctor_names_every_table_whose_newest_commit_is_torn(tmp_path):
    settings = Settings.find(tmp_path / "home", tmp_path / "home" / "config", {}, tmp_path)
    initialise(settings)
    platform = open_platform(settings)
    said = {verdict.gate: verdict for verdict in examine(settings, platform, now=NOW)}
    assert said["tables"].reason == "newest commits are whole: no table yet"
    send(platform.lake, 0)
    tear(tmp_path / "home", "quarantine")
    (verdict,) = (v for v in examine(settings, platform, now=NOW) if v.gate == "tables")
    assert not verdict.passed
    assert "lake/quarantine: its commit 00000000000000000000.json is empty" in verdict.reason
    assert "run `mv " in verdict.reason
