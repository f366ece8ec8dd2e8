"""What any readings table, row log, journal and landing zone must do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.azure.landing import BlobLandingZone
from mlops_assets.adapters.azure.readings import open_readings, open_row_log
from mlops_assets.adapters.local.delta import DeltaFolder
from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
from mlops_assets.adapters.tree.journal import TreeIngestJournal
from mlops_assets.domain.addition import Addition, Catalogue, Then
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import KEY, RawFile
from mlops_assets_tests.fakes.readings import (
    FakeIngestJournal,
    FakeLandingZone,
    FakeReadingsTable,
    FakeRowLog,
    readings,
)

START = datetime(2024, 6, 1, tzinfo=UTC)
FILE = RawFile("a.csv", 3, "0" * 64)


AZURE = pytest.param("azure", marks=pytest.mark.azure)


@pytest.fixture(params=["local", "fake", AZURE, pytest.param("spark", marks=pytest.mark.spark)])
def table(request, tmp_path):
    match request.param:
        case "azure":
            account = request.getfixturevalue("storage_account")
            return open_readings(account.backend(), "etl", environ=account.environ)
        case "local":
            return LocalReadingsTable(tmp_path / "t")
        case "spark":
            return spark_table(tmp_path / "t", request.getfixturevalue("spark"))
        case _:
            return FakeReadingsTable()


def spark_table(path, sessions):
    from mlops_assets.engines.spark.readings import SparkReadingsTable

    return SparkReadingsTable(LocalReadingsTable(path), path.as_uri(), sessions)


@pytest.fixture(params=["local", "fake", AZURE])
def log(request, tmp_path):
    if request.param == "azure":
        account = request.getfixturevalue("storage_account")
        return open_row_log(account.backend(), "etl", "quarantine", environ=account.environ)
    local = request.param == "local"
    return LocalRowLog(tmp_path / "q", "quarantine") if local else FakeRowLog("quarantine")


@pytest.fixture(params=["local", "fake", AZURE])
def journal(request, tmp_path):
    if request.param == "azure":
        return TreeIngestJournal(request.getfixturevalue("azurite").tree("lake/ingested"))
    return LocalIngestJournal(tmp_path / "j") if request.param == "local" else FakeIngestJournal()


@pytest.fixture(params=["local", "fake", AZURE])
def landing(request, tmp_path):
    if request.param == "azure":
        server = request.getfixturevalue("azurite")
        return BlobLandingZone(server.blobs(), server.blobs())
    if request.param == "fake":
        return FakeLandingZone()
    (tmp_path / "raw").mkdir()
    return LocalLandingZone(tmp_path / "raw")


def test_a_table_that_nothing_was_merged_into_is_empty_and_not_there(table):
    assert not table.exists()
    assert table.newest() is None
    assert table.read().is_empty()
    assert table.summary().is_empty()
    assert table.merged("a") is None
    with pytest.raises(DataError, match="run ingest first"):
        table.version()


def test_new_rows_are_inserted_and_the_same_rows_again_change_nothing(table):
    first = table.merge(readings([1.0, 2.0, 3.0]), slice_id="a")
    again = table.merge(readings([1.0, 2.0, 3.0]), slice_id="b")
    assert (first.inserted, first.updated, first.unchanged) == (3, 0, 0)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 3)
    assert again.delta_version == first.delta_version == table.version()
    assert again.changed.is_empty()


def test_a_changed_value_is_told_with_old_and_new(table):
    table.merge(readings([1.0, 2.0]), slice_id="a")
    result = table.merge(readings([1.0, 5.0, 7.0]), slice_id="b")
    assert (result.inserted, result.updated, result.unchanged) == (1, 1, 1)
    assert result.changed.select("column", "old_value", "new_value").rows() == [("value", 2.0, 5.0)]
    assert result.changed["timestamp"].to_list() == [START + timedelta(hours=1)]
    assert table.read()["value"].to_list() == [1.0, 5.0, 7.0]


def test_a_merged_slice_is_not_repeated_but_told_as_it_was(table):
    table.merge(readings([1.0, 2.0]), slice_id="a")
    done = table.merge(readings([1.0, 5.0, 7.0]), slice_id="b")
    table.merge(readings([9.0]), slice_id="c")
    version = table.version()
    again = table.merge(readings([1.0, 5.0, 7.0]), slice_id="b")
    assert (again.inserted, again.updated, again.unchanged) == (1, 1, 1)
    assert again.changed.equals(done.changed)
    assert again.delta_version == done.delta_version == table.merged("b")
    assert table.version() == version
    assert table.read()["value"].to_list() == [9.0, 5.0, 7.0]


def test_rows_are_withdrawn_in_the_same_commit_and_told_with_what_they_were(table):
    table.merge(readings([1.0, 2.0, 3.0]), slice_id="a")
    gone = readings([2.0, 3.0], start=START + timedelta(hours=1)).select(KEY)
    late = readings([7.0], start=START + timedelta(days=2))
    done = table.merge(late, slice_id="b", withdrawn=gone)
    assert (done.inserted, done.updated, done.withdrawn) == (1, 0, 2)
    assert done.changed.select("column", "old_value", "new_value").rows() == [
        ("value", 2.0, None),
        ("value", 3.0, None),
    ]
    assert table.read(columns=["value"])["value"].to_list() == [1.0, 7.0]
    assert table.version() == done.delta_version == table.merged("b")
    again = table.merge(late, slice_id="b", withdrawn=gone)
    assert (again.inserted, again.withdrawn) == (1, 2)
    assert again.changed.equals(done.changed)
    assert table.version() == done.delta_version


def test_a_day_can_be_withdrawn_whole_and_what_is_not_there_changes_nothing(table):
    table.merge(readings([1.0, 2.0]), slice_id="a")
    gone = readings([1.0, 2.0]).select(KEY)
    done = table.merge(readings([]), slice_id="b", withdrawn=gone)
    assert (done.inserted, done.withdrawn) == (0, 2)
    assert table.read().is_empty()
    again = table.merge(readings([]), slice_id="c", withdrawn=gone)
    assert (again.withdrawn, again.delta_version) == (0, done.delta_version)
    assert table.merge(readings([5.0]), slice_id="d").inserted == 1


def test_a_new_feature_is_added_as_nulls_and_an_absent_one_keeps_its_values(table):
    table.merge(readings([1.0, 2.0]), slice_id="a")
    table.merge(readings([1.0], rain=[0.5]), slice_id="b")
    table.merge(readings([4.0, 5.0]), slice_id="c")
    assert tuple(table.columns())[-1] == "rain"
    assert table.read(columns=["value", "rain"]).rows() == [(4.0, 0.5), (5.0, None)]


def test_reads_are_bounded_by_time_circuit_version_and_columns(table):
    table.merge(readings([1.0] * 30), slice_id="a")
    table.merge(readings([2.0] * 30, key="P1/C2"), slice_id="b")
    some = table.read(
        start=START + timedelta(hours=23),
        end=START + timedelta(hours=25),
        circuits=[CircuitKey("P1", "C2")],
        columns=["timestamp", "value"],
    )
    assert some.rows() == [
        (START + timedelta(hours=23), 2.0),
        (START + timedelta(hours=24), 2.0),
    ]
    assert len(table.read()) == 60
    assert len(table.read(version=table.version() - 1)) == 30
    assert table.read(circuits=[]).is_empty()
    assert table.newest() == START + timedelta(hours=29)
    assert table.summary().rows() == [
        ("P1", name, 30, START, START + timedelta(hours=29)) for name in ("C1", "C2")
    ]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda rows: rows.drop("value"), "column value is missing"),
        (lambda rows: rows.with_columns(value=pl.lit("x")), "column value is String"),
        (lambda rows: rows.with_columns(note=pl.lit("x")), "column note is String"),
        (
            lambda rows: rows.with_columns(plant_id=pl.lit(None, dtype=pl.String)),
            "plant_id is empty",
        ),
        (lambda rows: pl.concat([rows, rows]), "comes twice"),
    ],
)
def test_rows_that_would_break_the_table_are_refused_before_a_merge(table, broken, said):
    with pytest.raises(DataError, match=said):
        table.merge(broken(readings([1.0])), slice_id="a")
    assert not table.exists()


def test_a_log_takes_a_slice_once_and_gives_it_back_by_circuit(log):
    rows = pl.DataFrame(
        [("P1", c, "t", "v", "missing", "a.csv", 2, "s", *[None] * 5) for c in ("C2", "C1")],
        schema=log_schema("quarantine"),
        orient="row",
    )
    assert log.read().is_empty()
    log.append(rows.clear(), slice_id="s0")
    log.append(rows, slice_id="s")
    log.append(rows, slice_id="s")
    assert log.read()["circuit_id"].to_list() == ["C1", "C2"]
    log.append(rows.head(1), slice_id="t")
    assert len(log.read()) == 3
    assert len(log.read([CircuitKey("P1", "C1")])) == 1


def test_a_log_is_read_by_time_where_its_rows_have_one(log):
    stamps = ["2024-06-01T00:00:00Z", "2024-06-01T12:00:00Z", "soon", None]
    rows = pl.DataFrame({"plant_id": ["P1"] * 4, "timestamp": stamps}).select(
        (pl.col(name) if name in ("plant_id", "timestamp") else pl.lit(None)).cast(kind).alias(name)
        for name, kind in log_schema("quarantine").items()
    )
    log.append(rows, slice_id="s")
    noon = START + timedelta(hours=12)
    assert log.read(start=START, end=noon)["timestamp"].to_list() == stamps[:1]
    assert log.read(start=noon, end=noon + timedelta(hours=1))["timestamp"].to_list() == stamps[1:2]
    assert len(log.read()) == 4


def test_a_log_of_an_older_version_gets_its_new_columns_with_the_next_rows(tmp_path):
    old = {name: kind for name, kind in log_schema("quarantine").items() if name != "state"}
    row = pl.DataFrame([["P1", "C1", *[None] * (len(old) - 2)]], schema=old, orient="row")
    DeltaFolder(tmp_path / "q").create(row, "s0")
    log = LocalRowLog(tmp_path / "q", "quarantine")
    assert log.read()["state"].to_list() == [None]
    log.append(row.with_columns(pl.lit("held").alias("state")), slice_id="s1")
    assert sorted(log.read()["state"].to_list(), key=str) == [None, "held"]


def test_a_journal_knows_what_is_pending_and_what_is_done(journal):
    other = RawFile("b.csv", 1, "1" * 64)
    journal.intend("s", [FILE])
    journal.intend("t", [other])
    assert {name: each.files for name, each in journal.pending().items()} == {
        "s": (FILE,),
        "t": (other,),
    }
    assert journal.confirmed() == frozenset()
    journal.confirm("s", 4)
    journal.confirm("s", 5)
    journal.withdraw("t")
    journal.withdraw("t")
    assert journal.pending() == {}
    assert journal.confirmed() == {FILE}
    with journal.lock():
        pass


def test_a_journal_tells_its_slices_in_order_and_what_they_left_out(journal):
    other = RawFile("b.csv", 1, "1" * 64)
    then = Then(file=other, slice_id="z", at=START, circuits=(CircuitKey("P1", "C1"),))
    addition = Addition((replace(then, features=("rain",)), replace(then, at=None)))
    journal.intend("z", [FILE, other], at=START)
    journal.confirm("z", 4, logs={"quarantine": 2}, left_out={"rain": ["b.csv"], "wind": []})
    journal.intend("a", (), addition=addition)
    assert journal.pending()["a"].addition == addition
    journal.confirm("a", None, left_out={"snow": ["b.csv", "b.csv"]})
    first, second = journal.history()
    assert (first.slice_id, first.order, first.at) == ("z", 1, START)
    assert first.versions == {"readings": 4, "quarantine": 2}
    assert first.left_out == {"rain": ("b.csv",), "wind": ()}
    assert (second.order, second.files, second.addition) == (2, (), addition)
    assert second.left_out == {"snow": ("b.csv", "b.csv")}
    assert journal.confirmed() == {FILE, other}
    journal.reopen("z")
    journal.confirm("z", 9)
    assert [each.slice_id for each in journal.history()] == ["z", "a"]


def test_a_journal_remembers_what_its_slices_were_read_with(journal):
    assert journal.catalogue() is None
    known = Catalogue(
        circuits=frozenset({CircuitKey("P1", "C1")}),
        features=frozenset({"rain"}),
        absent=frozenset({FILE}),
    )
    journal.know(known)
    journal.know(known)
    assert journal.catalogue() == known


def test_a_landing_zone_lists_files_by_path_and_gives_their_bytes(landing):
    landing.put("p/b.csv", b"bb")
    file = landing.put("a.csv", b"a")
    assert [(f.path, f.size) for f in landing.files()] == [("a.csv", 1), ("p/b.csv", 2)]
    assert landing.read(file) == b"a"
    with pytest.raises(DataError, match="changed while it was read"):
        landing.read(RawFile("a.csv", 1, "0" * 64))


slices = st.lists(
    st.dictionaries(st.integers(0, 60), st.sampled_from([1.0, 2.0]), min_size=1), max_size=4
)


@given(slices)
def test_slices_in_order_leave_what_their_last_arrivals_say(tmp_path_factory, arrived):
    local = LocalReadingsTable(tmp_path_factory.mktemp("t"))
    fake = FakeReadingsTable()
    expected: dict[int, float] = {}
    for number, cells in enumerate(arrived):
        rows = pl.concat(
            [readings([v], start=START + timedelta(hours=h)) for h, v in cells.items()]
        )
        results = [table.merge(rows, slice_id=str(number)) for table in (local, fake)]
        assert results[0].changed.equals(results[1].changed)
        new = cells.keys() - expected.keys()
        changed = [h for h in cells.keys() & expected.keys() if expected[h] != cells[h]]
        for result in results:
            assert (result.inserted, result.updated) == (len(new), len(changed))
            assert result.inserted + result.updated + result.unchanged == len(cells)
        expected |= cells
    wanted = [(START + timedelta(hours=h), v) for h, v in sorted(expected.items())]
    assert local.read(columns=["timestamp", "value"]).rows() == wanted
    assert fake.read(columns=["timestamp", "value"]).rows() == wanted
