"""Delta tables under other writers, broken commits and long histories."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from mlops_assets.adapters.delta import table as delta
from mlops_assets.adapters.local.delta import TRIES, DeltaFolder
from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.readings import RawFile
from mlops_assets_tests.fakes.readings import readings

START = datetime(2024, 6, 1, tzinfo=UTC)


def test_writers_at_once_lose_and_double_nothing(tmp_path):
    failures = []

    def write(number):
        table = LocalReadingsTable(
            tmp_path / "t", folder=DeltaFolder(tmp_path / "t", jitter=random.Random(number))
        )
        try:
            for turn in range(4):
                rows = readings([float(number)] * 3, key=f"P1/C{number}", start=hour(turn))
                table.merge(rows, slice_id=f"{number}-{turn}")
        except Exception as error:  # noqa: BLE001 a thread's error would be lost
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = LocalReadingsTable(tmp_path / "t").read()
    assert len(found) == 4 * 6
    assert found.select("plant_id", "circuit_id", "timestamp").is_unique().all()


def hour(number):
    return START + timedelta(hours=number)


def test_two_writers_of_one_slice_merge_it_once(tmp_path):
    rows = readings([1.0, 2.0])
    tables = [LocalReadingsTable(tmp_path / "t") for _ in range(2)]
    versions = [table.merge(rows, slice_id="s").delta_version for table in tables]
    assert versions == [0, 0]
    assert len(tables[0].read()) == 2


def test_a_commit_that_always_loses_gives_up_after_its_tries(tmp_path):
    pauses = []
    folder = DeltaFolder(tmp_path, jitter=random.Random(1), pause=pauses.append)

    def lose():
        raise CommitFailedError("somebody was faster")

    with pytest.raises(StaleError, match=f"{TRIES} other writers were faster; run it again"):
        folder.commit(lose)
    assert len(pauses) == TRIES
    assert all(0 <= pause <= 1 for pause in pauses)


def test_a_commit_that_loses_once_is_made_again(tmp_path):
    answers = iter([CommitFailedError("somebody was faster"), None])
    folder = DeltaFolder(tmp_path, jitter=random.Random(1), pause=lambda _: None)

    def once():
        if (error := next(answers)) is not None:
            raise error
        return "done"

    assert folder.commit(once) == "done"


def test_a_data_file_that_is_gone_is_named(tmp_path):
    table = LocalReadingsTable(tmp_path / "t")
    table.merge(readings([1.0]), slice_id="a")
    table.merge(readings([2.0], key="P2/C1", start=hour(48)), slice_id="b")
    opened = DeltaTable(tmp_path / "t", version=0)
    for file in opened.file_uris():
        (tmp_path / "t" / file.rpartition("/")[2]).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        table.read()


def test_a_slice_rewrites_only_files_of_its_days_however_long_the_history(tmp_path, monkeypatch):
    monkeypatch.setattr(delta, "FILE_BYTES", 20_000)
    table = LocalReadingsTable(tmp_path / "t")
    values = [random.Random(n).random() for n in range(24 * 400)]
    table.merge(readings(values), slice_id="history")
    before = set(DeltaTable(tmp_path / "t").file_uris())
    assert len(before) > 3
    last = START + timedelta(hours=24 * 400 - 1)
    table.merge(readings([7.0, 8.0], start=last), slice_id="slice")
    after = set(DeltaTable(tmp_path / "t").file_uris())
    assert len(before - after) == 1
    assert table.newest() == last + timedelta(hours=1)
    assert table.read(start=last, columns=["value"])["value"].to_list() == [7.0, 8.0]


def test_a_slice_of_scattered_days_leaves_the_days_between_alone(tmp_path):
    table = LocalReadingsTable(tmp_path / "t")
    table.merge(readings([1.0] * 24 * 100), slice_id="history")
    for slice_id, step in (("few", 20), ("many", 2)):
        rows = [readings([2.0], start=START + timedelta(days=day)) for day in range(0, 100, step)]
        result = table.merge(pl.concat(rows), slice_id=slice_id)
        assert result.inserted == 0
    found = table.read()
    assert len(found) == 24 * 100
    assert found.filter(pl.col("value") == 2.0)["date"].n_unique() == 50


def test_a_commit_names_its_slice_for_people_and_machines(tmp_path):
    table = LocalReadingsTable(tmp_path / "t")
    table.merge(readings([1.0]), slice_id="abc")
    opened = DeltaTable(tmp_path / "t")
    assert opened.history()[0]["slice"] == "abc"
    assert opened.transaction_version("abc") == 1
    for number in range(20):
        table.merge(readings([float(number)]), slice_id=str(number))
    assert table.merged("abc") == 0
    assert table.merged("7") == 8


def test_a_log_under_two_writers_takes_a_slice_once(tmp_path):
    schema = log_schema("quarantine")
    row = dict.fromkeys(schema) | {"plant_id": "P1", "circuit_id": "C1", "reason": "missing"}
    rows = pl.DataFrame([row], schema=schema)
    versions = [
        LocalRowLog(tmp_path / "q", "quarantine").append(rows, slice_id="s") for _ in range(2)
    ]
    assert versions == [0, 0]
    assert len(LocalRowLog(tmp_path / "q", "quarantine").read()) == 1


def test_rows_with_other_columns_than_the_log_are_refused(tmp_path):
    schema = log_schema("quarantine")
    rows = pl.DataFrame(schema=schema)
    for odd in (rows.drop("reason"), rows.with_columns(remark=pl.lit("x"))):
        with pytest.raises(DataError, match=r"(reason|remark) of the rows do not fit the log"):
            LocalRowLog(tmp_path / "q", "quarantine").append(odd, slice_id="s")


def test_a_broken_journal_is_named(tmp_path):
    journal = LocalIngestJournal(tmp_path)
    journal.intend("s", [RawFile("a", 1, "0")])
    intent = tmp_path / "intents" / "s.json"
    intent.write_bytes(b"{")
    with pytest.raises(DataError, match=r"s\.json: is no journal of a slice"):
        journal.pending()
    intent.write_bytes(b'{"format": 7}')
    with pytest.raises(DataError, match="has format 7, this version reads 3"):
        journal.pending()


def test_hidden_files_are_no_data_and_names_that_lead_out_are_refused(tmp_path):
    zone = LocalLandingZone(tmp_path / "raw")
    zone.put("a.csv", b"a")
    (tmp_path / "raw" / ".a.csv.1-2.tmp").write_bytes(b"")
    (tmp_path / "raw" / "_staging").mkdir()
    (tmp_path / "raw" / "_staging" / "b.csv").write_bytes(b"")
    assert [file.path for file in zone.files()] == ["a.csv"]
    with pytest.raises(DataError, match="leads out of the landing zone"):
        zone.put("../b.csv", b"")
    (tmp_path / "raw" / "a.csv").unlink()
    with pytest.raises(DataError, match="no longer in the landing zone"):
        zone.read(RawFile("a.csv", 1, "0"))


def test_a_reader_opens_a_table_again_only_when_another_writer_moved_it(tmp_path, monkeypatch):
    table, other = (LocalReadingsTable(tmp_path / "t") for _ in range(2))
    table.merge(readings([1.0]), slice_id="a")
    opened = []
    genuine = DeltaFolder.open
    monkeypatch.setattr(
        DeltaFolder, "open", lambda self, *a: (opened.append(self), genuine(self, *a))[1]
    )
    assert [table.version(), len(table.read()), table.newest()] == [0, 1, START]
    assert len(opened) == 1
    other.merge(readings([1.0, 2.0]), slice_id="b")
    opened.clear()
    assert [table.version(), len(table.read()), table.newest()] == [1, 2, hour(1)]
    assert len(opened) == 1


def test_what_a_reader_opened_is_never_what_a_writer_commits_with(tmp_path):
    table, other = (LocalReadingsTable(tmp_path / "t") for _ in range(2))
    table.merge(readings([1.0, 1.0]), slice_id="a")
    table.read()
    other.merge(readings([5.0]), slice_id="b")
    result = table.merge(readings([1.0, 7.0], rain=[0.5, 0.5]), slice_id="c")
    assert result.updated == 2
    assert table.read()["value"].to_list() == [1.0, 7.0]
    restored = tmp_path / "restored"
    (tmp_path / "t").rename(restored)
    assert not table.exists()
    restored.rename(tmp_path / "t")
    assert table.version() == 3


def test_a_table_travels_without_what_it_opened(tmp_path):
    table = LocalReadingsTable(tmp_path / "t")
    table.merge(readings([1.0]), slice_id="a")
    table.read()
    state = table._stored.__getstate__()
    assert state["_looked"] == (None, None)
    assert table._stored._looked[0] is not None


def test_a_table_that_another_writer_made_first_is_merged_into_and_not_appended_to(
    tmp_path, monkeypatch
):
    first, second = (LocalReadingsTable(tmp_path / "t") for _ in range(2))
    first.merge(readings([1.0, 2.0]), slice_id="a")
    for slice_id in ("b", None):
        with pytest.raises(CommitFailedError):
            DeltaFolder(tmp_path / "t").create(readings([1.0]), slice_id)
    genuine = DeltaFolder.open
    answers = iter([None])
    monkeypatch.setattr(DeltaFolder, "open", lambda self, *a: next(answers, genuine(self, *a)))
    result = second.merge(readings([7.0], rain=[0.5]), slice_id="b")
    assert (result.inserted, result.updated) == (0, 1)
    assert first.read(columns=["value", "rain"]).rows() == [(7.0, 0.5), (2.0, None)]
