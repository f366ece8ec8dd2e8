"""Ingest: what a slice does, what it refuses, and what happens when it is interrupted."""

from __future__ import annotations

import io
import resource
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.adapters.local.readings import (
    LocalIngestJournal,
    LocalReadingsTable,
    LocalRowLog,
)
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import KEY
from mlops_assets.flows.circuit_readings import circuit_readings
from mlops_assets.flows.readings import (
    data_now,
    ingest,
    slice_id_of,
    verdicts,
    waiting_files,
)
from mlops_assets.flows.training_data import register, trained_until
from mlops_assets_tests.fakes.readings import (
    NOW,
    FakeReadingsTable,
    a_circuit,
    a_config,
    a_lake,
    csv_of,
    readings,
)
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

C1 = CircuitKey("P1", "C1")


class KilledError(Exception):
    """The process dies here."""


class Listener:
    def __init__(self):
        self.lines = []
        self.count = 0

    def begin(self, what, total):
        self.total = total

    def advance(self, label=""):
        self.count += 1

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(params=["local", "fake"])
def lake(request, tmp_path):
    return local_lake(tmp_path) if request.param == "local" else a_lake()


def local_lake(root):
    (root / "raw").mkdir(parents=True)
    return a_lake(
        landing=LocalLandingZone(root / "raw"),
        journal=LocalIngestJournal(root / "ingested"),
        readings=LocalReadingsTable(root / "readings"),
        quarantine=LocalRowLog(root / "quarantine", "quarantine"),
        restatements=LocalRowLog(root / "restatements", "restatements"),
    )


def hours(values, circuit="C1", first=0):
    return [
        ("P1", circuit, f"2024-06-{1 + hour // 24:02} {hour % 24:02}:00", value)
        for hour, value in enumerate(values, first)
    ]


def balanced(report):
    parts = (
        report.rows_inserted,
        report.rows_updated,
        report.rows_unchanged,
        report.rows_quarantined,
    )
    return report.rows_read == sum(parts)


def state(lake):
    """What a rerun must not change."""
    return (
        lake.readings.read().drop("ingested_at").rows(),
        lake.quarantine.read().rows(),
        lake.restatements.read().rows(),
    )


def test_files_become_readings_and_a_second_run_changes_nothing(lake):
    lake.landing.put("p1/a.csv", csv_of(hours([1, 2, 3])))
    lake.landing.put("p1/b.csv", csv_of(hours([5, 6], "C2")))
    assert len(waiting_files(lake)) == 2
    report = ingest(lake, a_config(), now=NOW)
    assert (report.rows_read, report.rows_inserted) == (5, 5)
    assert report.max_timestamp == datetime(2024, 6, 1, 2, tzinfo=UTC)
    assert lake.readings.read(columns=["value"])["value"].to_list() == [1, 2, 3, 5, 6]
    assert lake.readings.read()["source"].unique().sort().to_list() == ["p1/a.csv", "p1/b.csv"]
    again = ingest(lake, a_config(), now=NOW + timedelta(hours=3))
    assert (again.rows_read, again.files) == (0, ())
    assert again.delta_version == report.delta_version
    assert lake.readings.version() == report.delta_version
    assert waiting_files(lake) == ()


def test_a_file_that_only_repeats_rows_makes_no_commit(lake):
    lake.landing.put("a.csv", csv_of(hours([1, 2])))
    before = ingest(lake, a_config(), now=NOW).delta_version
    lake.landing.put("b.csv", csv_of([*hours([1, 2]), *hours([1, 2])]))
    report = ingest(lake, a_config(), now=NOW)
    assert (report.rows_read, report.rows_unchanged) == (4, 4)
    assert report.delta_version == before


def test_of_rows_for_one_hour_the_last_arrival_wins(lake):
    lake.landing.put("a.csv", csv_of([*hours([1]), *hours([2])]))
    lake.landing.put("b.csv", csv_of(hours([3])))
    report = ingest(lake, a_config(), now=NOW)
    assert lake.readings.read()["value"].to_list() == [3.0]
    assert (report.rows_inserted, report.rows_updated) == (1, 2)
    assert balanced(report)


def test_rows_that_cannot_be_used_are_quarantined_with_reason_file_and_row(lake):
    lake.landing.put("p/a.csv", csv_of([*hours(["NA", 1, "x"]), ("P9", "C1", "2024-06-01", 1)]))
    report = ingest(lake, a_config(), now=NOW)
    assert report.reasons == {"bad_value": 1, "missing": 1, "unknown_circuit": 1}
    assert (report.rows_quarantined, report.rows_inserted) == (3, 1)
    found = lake.quarantine.read().select("circuit_id", "reason", "file", "row", "value").rows()
    assert found == [
        ("C1", "missing", "p/a.csv", 2, "NA"),
        ("C1", "bad_value", "p/a.csv", 4, "x"),
        ("C1", "unknown_circuit", "p/a.csv", 5, "1.0"),
    ]


def test_a_file_that_cannot_be_used_is_quarantined_whole_and_the_others_go_on(lake):
    lake.landing.put("a.parquet", b"PAR1 nothing")
    lake.landing.put("b.csv", b"plant_id,circuit_id,stamp,value\nP1,C1,2024-06-01,1\n")
    lake.landing.put("c.csv", csv_of(hours([1])))
    listener = Listener()
    report = ingest(lake, a_config(), now=NOW, progress=listener)
    assert (report.rows_read, report.rows_inserted, report.rows_quarantined) == (3, 1, 2)
    assert report.reasons == {"missing_column": 1, "unreadable_file": 1}
    assert report.refused["b.csv"].startswith("missing_column: timestamp (the file has plant_id")
    assert lake.quarantine.read()["file"].sort().to_list() == ["a.parquet", "b.csv"]
    assert (listener.total, listener.count) == (3, 3)
    assert listener.lines[0].startswith("a.parquet: quarantined whole: unreadable_file")
    assert ingest(lake, a_config(), now=NOW).rows_read == 0


def test_a_slice_of_nothing_usable_leaves_no_table_and_is_not_read_again(lake):
    lake.landing.put("a.csv", csv_of(hours(["NA"])))
    report = ingest(lake, a_config(), now=NOW)
    assert (report.rows_quarantined, report.delta_version, report.max_timestamp) == (1, None, None)
    assert not lake.readings.exists()
    assert ingest(lake, a_config(), now=NOW).rows_read == 0


def test_columns_are_taken_where_config_names_them_and_told_where_not(lake):
    header = "plant_id,circuit_id,timestamp,value,rain,note"
    lake.landing.put("a.csv", csv_of(["P1,C1,2024-06-01 00:00,1,0.5,x"], header=header))
    listener = Listener()
    report = ingest(lake, a_config(features=["rain"]), now=NOW, progress=listener)
    assert report.unknown_columns == {"a.csv": ("note",)}
    assert listener.lines == ["a.csv: left out columns no one named: note"]
    assert lake.readings.read(columns=["value", "rain"]).rows() == [(1.0, 0.5)]


def test_cells_of_features_that_are_no_numbers_are_counted_and_told(lake):
    header = "plant_id,circuit_id,timestamp,value,rain"
    lines = [f"P1,C1,2024-06-01 0{hour}:00,1,{cell}" for hour, cell in enumerate(["wet", "", "x"])]
    lake.landing.put("a.csv", csv_of(lines, header=header))
    listener = Listener()
    report = ingest(lake, a_config(features=["rain"]), now=NOW, progress=listener)
    assert report.unread_cells == {"a.csv": {"rain": 2}}
    assert listener.lines == ["a.csv: left 2 cells of rain empty: no number in them"]
    assert lake.readings.read(columns=["value", "rain"]).rows() == [(1.0, None)] * 3


def test_dates_that_a_file_does_not_settle_follow_the_files_beside_it(lake):
    lake.landing.put("p1/1.csv", csv_of([("P1", "C1", "25/5/2024 01:00", 1)]))
    lake.landing.put("p1/2.csv", b"no csv")
    lake.landing.put("p1/3.csv", csv_of([("P1", "C1", "3/4/2024 01:00", 1)]))
    lake.landing.put("p2/3.csv", csv_of([("P1", "C2", "3/4/2024 01:00", 1)]))
    ingest(lake, a_config(), now=NOW)
    stamps = [moment.strftime("%m-%d") for moment in lake.readings.read()["timestamp"]]
    assert stamps == ["04-03", "05-25", "03-04"]


def test_rows_that_change_after_training_are_restated_and_new_ones_are_not(lake):
    circuit = a_circuit(cutoff_date=datetime(2024, 6, 1, tzinfo=UTC).date())
    config = a_config(circuit)
    lake.landing.put("a.csv", csv_of(hours([1, 2, *[0] * 30])))
    ingest(lake, config, now=NOW)
    store = FakeTrainingDataStore()
    register(lake, store, circuit, data_now=NOW)
    ends = trained_until(store, config.circuits)
    assert all(v.passed for v in verdicts(lake, config, data_now=NOW, training_data=store)[:1])
    lake.landing.put("b.csv", csv_of([*hours([1, 9]), *hours([9, 9], first=30)]))
    report = ingest(lake, config, now=NOW, trained_until=lambda: ends)
    assert (report.rows_updated, report.rows_inserted, report.rows_restated) == (3, 0, 1)
    cell = lake.restatements.read().row(0, named=True)
    assert (cell["column"], cell["old_value"], cell["new_value"]) == ("value", 2.0, 9.0)
    assert (cell["source"], cell["delta_version"]) == ("b.csv", report.delta_version)
    found = by_gate(verdicts(lake, config, data_now=NOW, training_data=store))["restatements"]
    assert not found.passed
    assert "rows of 1 circuits changed after their training: P1/C1 (1)" in found.reason
    register(lake, store, circuit, data_now=NOW)
    assert by_gate(verdicts(lake, config, data_now=NOW, training_data=store))["restatements"].passed
    assert circuit_readings(lake, config.circuits)[C1].restated == 1


def by_gate(found):
    return {verdict.gate: verdict for verdict in found}


def test_checks_of_an_empty_and_of_a_filled_table(lake):
    config = a_config()
    [only] = verdicts(lake, config, data_now=NOW)
    assert (only.gate, only.passed) == ("schema", False)
    lake.landing.put("a.csv", csv_of(hours([1, 2])))
    ingest(lake, config, now=NOW)
    found = by_gate(verdicts(lake, config, data_now=datetime(2024, 6, 1, 3, tzinfo=UTC)))
    assert list(found) == ["schema", "unique_keys", "freshness", "restatements", "completeness"]
    assert all(verdict.passed for verdict in found.values())
    late = by_gate(verdicts(lake, config, data_now=NOW))
    assert not late["freshness"].passed
    assert not late["freshness"].blocking
    assert "719.0 h old" in late["freshness"].reason


def test_data_time_stands_still_in_a_demo_and_nowhere_else(lake):
    assert data_now("demo", lake, NOW) == NOW
    lake.landing.put("a.csv", csv_of(hours([1])))
    ingest(lake, a_config(), now=NOW)
    assert data_now("demo", lake, NOW) == datetime(2024, 6, 2, tzinfo=UTC)
    assert data_now("init", lake, NOW) == NOW


STEPS = [
    ("landing", "read"),
    ("readings", "merge"),
    ("restatements", "append"),
    ("quarantine", "append"),
    ("journal", "confirm"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("part", "method"), STEPS, ids=[method for _, method in STEPS])
def test_a_slice_killed_at_any_step_ends_like_one_that_was_not(
    tmp_path, monkeypatch, part, method, after
):
    ends = {C1: NOW}
    lakes = [local_lake(tmp_path / name) for name in ("killed", "whole")]
    for lake in lakes:
        lake.landing.put("a.csv", csv_of(hours([1, 2, "NA"])))
        ingest(lake, a_config(), now=NOW)
        lake.landing.put("b.csv", csv_of(hours([1, 7, "NA", 8])))
    killed, whole = lakes
    port = getattr(killed, part)
    genuine = getattr(port, method)

    def dying(*args, **kwargs):
        if after:
            genuine(*args, **kwargs)
        raise KilledError

    monkeypatch.setattr(port, method, dying)
    with pytest.raises(KilledError):
        ingest(killed, a_config(), now=NOW, trained_until=lambda: ends)
    monkeypatch.undo()
    resumed = ingest(killed, a_config(), now=NOW, trained_until=lambda: ends)
    expected = ingest(whole, a_config(), now=NOW, trained_until=lambda: ends)
    assert state(killed) == state(whole)
    assert killed.readings.version() == whole.readings.version()
    assert killed.journal.confirmed() == whole.journal.confirmed()
    assert killed.journal.pending() == {}
    if (part, after) != ("journal", True):
        assert replace(resumed, max_timestamp=None) == replace(expected, max_timestamp=None)
    assert ingest(killed, a_config(), now=NOW).rows_read == 0


def test_a_new_file_after_a_kill_waits_for_the_interrupted_slice(lake, monkeypatch):
    lake.landing.put("a.csv", csv_of(hours([1])))
    monkeypatch.setattr(
        lake.quarantine, "append", lambda *_, **__: (_ for _ in ()).throw(KilledError)
    )
    with pytest.raises(KilledError):
        ingest(lake, a_config(), now=NOW)
    monkeypatch.undo()
    lake.landing.put("b.csv", csv_of(hours([2])))
    report = ingest(lake, a_config(), now=NOW)
    assert report.files == ("a.csv", "b.csv")
    assert (report.rows_inserted, report.rows_updated) == (1, 1)


def test_an_intent_whose_files_are_gone_is_closed_as_far_as_it_came(lake):
    file = lake.landing.put("a.csv", csv_of(hours([1])))
    done = replace(file, path="gone.csv")
    lake.journal.intend("merged", [done])
    lake.readings.merge(readings([4.0], start=datetime(2024, 5, 1, tzinfo=UTC)), slice_id="merged")
    lake.journal.intend("lost", [replace(file, path="lost.csv")])
    ingest(lake, a_config(), now=NOW)
    assert lake.journal.pending() == {}
    assert lake.journal.confirmed() == {file, done}


def test_another_folder_can_be_ingested_and_a_missing_one_is_named(lake, tmp_path):
    with pytest.raises(DataError, match=r"no-such: no such file or folder"):
        ingest(lake, a_config(), now=NOW, landing=LocalLandingZone(tmp_path / "no-such"))
    drop = LocalLandingZone(tmp_path / "drop")
    drop.put("x.csv", csv_of(hours([1])))
    assert ingest(lake, a_config(), now=NOW, landing=drop).rows_inserted == 1
    single = LocalLandingZone(tmp_path / "drop" / "x.csv")
    assert ingest(lake, a_config(), now=NOW, landing=single).rows_read == 0


def test_a_full_disk_is_one_line_and_the_next_run_ends_the_slice(tmp_path):
    lake = local_lake(tmp_path)
    lake.landing.put("a.csv", csv_of(hours([1])))
    ingest(lake, a_config(), now=NOW)
    before = state(lake)
    values = [hash(str(n)) % 10**9 / 7 for n in range(600)]
    lake.landing.put("b.csv", csv_of(hours(values)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, limits[1]))
    try:
        with pytest.raises(DataError, match="nothing was changed, check the disk") as caught:
            ingest(lake, a_config(), now=NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert state(lake) == before
    report = ingest(lake, a_config(), now=NOW)
    assert (report.rows_read, report.rows_inserted) == (600, 599)


def test_a_table_that_lost_its_newest_rows_is_noticed():
    class Forgetful(FakeReadingsTable):
        def newest(self):
            return datetime(2024, 5, 31, tzinfo=UTC)

    lake = a_lake(readings=Forgetful())
    lake.landing.put("a.csv", csv_of(hours([1])))
    with pytest.raises(DataError, match="but the table ends with 2024-05-31"):
        ingest(lake, a_config(), now=NOW)


arrivals = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 2, "NA"])), max_size=30)


@given(arrivals, st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_any_slicing_of_the_same_rows_gives_the_same_table(rows, widths):
    tables = []
    for cuts in ([len(rows) + 1], widths):
        lake = a_lake()
        place = number = 0
        while place < len(rows):
            width = cuts[number % len(cuts)]
            part = [hours([value], first=hour)[0] for hour, value in rows[place : place + width]]
            lake.landing.put(f"{number:03}.csv", csv_of(part))
            assert balanced(ingest(lake, a_config(), now=NOW))
            place, number = place + width, number + 1
        tables.append(lake.readings.read().drop("source", "ingested_at").rows())
    assert tables[0] == tables[1]


def test_a_slice_is_named_by_its_files_in_any_order(lake):
    files = [lake.landing.put(name, name.encode()) for name in ("a", "b", "c")]
    assert slice_id_of(files) == slice_id_of(files[::-1])
    assert slice_id_of(files) != slice_id_of(files[:2])


@pytest.mark.slow
def test_the_real_readings_are_one_slice(tmp_path, real_readings):
    data = real_readings.read_bytes()
    frame = pl.read_parquet(io.BytesIO(data))
    keys = frame.select("plant_id", "circuit_id").unique().sort("plant_id", "circuit_id").rows()
    config = a_config(*(a_circuit(f"{plant}/{circuit}") for plant, circuit in keys))
    lake = local_lake(tmp_path)
    lake.landing.put("readings.parquet", data)
    report = ingest(lake, config, now=NOW)
    assert (report.rows_read, report.rows_quarantined) == (643_680, 7_463)
    assert balanced(report)
    wanted = frame.drop_nulls("value").select(*KEY, pl.col("value").cast(pl.Float64)).sort(KEY)
    assert lake.readings.read(columns=[*KEY, "value"]).equals(wanted)
    assert report.max_timestamp == datetime(2024, 6, 28, 23, tzinfo=UTC)
