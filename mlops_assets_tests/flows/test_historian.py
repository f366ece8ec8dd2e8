"""Historians: what is drawn, what arrives, and what a source that breaks leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.source import TableColumns
from mlops_assets.flows.historian import examine
from mlops_assets.flows.readings import ingest, waiting_files
from mlops_assets_tests.fakes.historian import FAULTS, FakeHistorian, a_table, sources
from mlops_assets_tests.fakes.readings import NOW, a_circuit, a_config, a_lake, csv_of

START = datetime(2024, 6, 1)  # noqa: DTZ001 as a table without zones holds it
MODIFIED = a_table(modified_at="modified_at")


def hour(number, value, circuit="C1", modified=None):
    row = ("P1", circuit, START + timedelta(hours=number), value)
    return row if modified is None else (*row, START + timedelta(hours=modified))


def a_plant(table=None, rows=(), script=(), *circuits):
    historian = FakeHistorian(rows, script)
    config = replace(a_config(*circuits), sources=sources(north=table or a_table()))
    return a_lake(historian=lambda: historian), config, historian


def values(lake):
    return lake.readings.read(columns=["value"])["value"].to_list()


def test_rows_of_a_table_become_readings_and_are_counted_like_rows_of_files():
    lake, config, _ = a_plant(rows=[hour(0, 1.0), hour(1, None), hour(2, 3.0)])
    lake.landing.put("a.csv", csv_of([("P1", "C2", "2024-06-01 00:00", 9)]))
    report = ingest(lake, config, now=NOW)
    assert (report.rows_read, report.rows_inserted, report.rows_quarantined) == (4, 3, 1)
    assert report.reasons == {"missing": 1}
    assert (report.tables, report.unreachable) == ({"north": 3}, {})
    sources_told = lake.readings.read()["source"].unique().sort().to_list()
    assert sources_told[0] == "a.csv"
    assert sources_told[1].startswith("historian/north-")
    assert report.unknown_columns == {}


def test_a_table_that_did_not_change_makes_no_file_and_no_commit():
    lake, config, historian = a_plant(rows=[hour(0, 1.0), hour(1, 2.0)])
    first = ingest(lake, config, now=NOW)
    again = ingest(lake, config, now=NOW)
    assert (again.rows_read, again.tables, again.files) == (0, {"north": 0}, ())
    assert again.delta_version == first.delta_version
    assert historian.asked == [None, START + timedelta(hours=1) - timedelta(days=3)]
    assert waiting_files(lake) == ()


def test_without_modified_at_three_days_are_read_again_and_only_what_changed_arrives():
    lake, config, historian = a_plant(rows=[hour(n, 1.0) for n in range(100)])
    ingest(lake, config, now=NOW)
    historian.rows[50] = hour(50, 7.0)
    historian.rows[2] = hour(2, 9.0)
    historian.rows += [hour(100, 1.0), hour(40, 5.0, "C2")]
    report = ingest(lake, config, now=NOW)
    assert (report.rows_read, report.rows_inserted, report.rows_updated) == (3, 2, 1)
    assert values(lake)[2] == 1.0
    assert values(lake)[50] == 7.0


def test_with_modified_at_a_late_change_of_an_old_row_arrives():
    rows = [hour(n, 1.0, modified=n) for n in range(100)]
    lake, config, historian = a_plant(MODIFIED, rows)
    ingest(lake, config, now=NOW)
    historian.rows[2] = hour(2, 9.0, modified=101)
    historian.rows.append(hour(3, 8.0, "C2", modified=98))
    report = ingest(lake, config, now=NOW)
    assert historian.asked[-1] == START + timedelta(hours=99) - timedelta(minutes=120)
    assert (report.rows_read, report.rows_inserted, report.rows_updated) == (2, 1, 1)
    assert values(lake)[2] == 9.0


def test_of_rows_for_one_hour_the_one_that_was_modified_last_wins_in_any_order():
    rows = [hour(0, 2.0, modified=5), hour(0, 1.0, modified=3), hour(0, 3.0, modified=4)]
    for order in (rows, rows[::-1], [rows[1], rows[0], rows[2]]):
        lake, config, _ = a_plant(MODIFIED, order)
        ingest(lake, config, now=NOW)
        assert values(lake) == [2.0]


def test_a_row_that_is_read_again_does_not_undo_what_a_file_said_since():
    lake, config, historian = a_plant(rows=[hour(0, 1.0)])
    ingest(lake, config, now=NOW)
    lake.landing.put("correction.csv", csv_of([("P1", "C1", "2024-06-01 00:00", 5)]))
    ingest(lake, config, now=NOW)
    historian.rows.append(hour(1, 2.0))
    ingest(lake, config, now=NOW)
    assert values(lake) == [5.0, 2.0]


def test_a_clock_that_runs_ahead_hides_no_row_behind_it():
    for table, rows in (
        (a_table(), [hour(0, 1.0), hour(24 * 365 * 50, 1.0)]),
        (MODIFIED, [hour(0, 1.0, modified=0), hour(1, 1.0, modified=24 * 365 * 50)]),
    ):
        lake, config, historian = a_plant(table, rows)
        ingest(lake, config, now=NOW)
        historian.rows.append(hour(2, 4.0, modified=2 if table.modified_at else None))
        assert ingest(lake, config, now=NOW).rows_inserted == 1
        assert 4.0 in values(lake)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_breaks_leaves_nothing_and_stops_no_other(fault):
    lake, config, historian = a_plant(rows=[hour(0, 1.0)], script=[fault])
    lake.landing.put("a.csv", csv_of([("P1", "C2", "2024-06-01 00:00", 9)]))
    report = ingest(lake, config, now=NOW)
    assert list(report.unreachable) == ["north"]
    assert "\n" not in report.unreachable["north"]
    assert (report.rows_inserted, report.tables) == (1, {})
    assert [file.path for file in lake.landing.files()] == ["a.csv"]
    healed = ingest(lake, config, now=NOW)
    assert (healed.rows_inserted, healed.unreachable) == (1, {})
    assert historian.asked == [None, None]


def test_one_table_that_breaks_stops_no_other_table():
    lake, config, _ = a_plant(rows=[hour(0, 1.0)], script=["late"])
    tables = {"east": a_table(), "west": a_table(table="other")}
    report = ingest(lake, replace(config, sources=sources(**tables)), now=NOW)
    assert list(report.unreachable) == ["east"]
    assert report.tables == {"west": 1}


class KilledError(Exception):
    """The process dies here."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("part", "method"),
    [("landing", "put"), ("journal", "intend"), ("readings", "merge"), ("journal", "confirm")],
)
def test_a_process_killed_at_any_step_loses_and_doubles_nothing(monkeypatch, part, method, after):
    lake, config, historian = a_plant(rows=[hour(0, 1.0)])
    ingest(lake, config, now=NOW)
    historian.rows += [hour(1, 2.0), hour(2, "NA")]
    port = getattr(lake, part)
    genuine = getattr(port, method)

    def dying(*args, **kwargs):
        if after:
            genuine(*args, **kwargs)
        raise KilledError

    monkeypatch.setattr(port, method, dying)
    with pytest.raises(KilledError):
        ingest(lake, config, now=NOW)
    monkeypatch.undo()
    historian.rows.append(hour(3, 4.0))
    ingest(lake, config, now=NOW)
    assert values(lake) == [1.0, 2.0, 4.0]
    assert lake.quarantine.read()["value"].to_list() == ["NA"]
    assert ingest(lake, config, now=NOW).rows_read == 0


def test_another_folder_is_ingested_together_with_the_tables(tmp_path):
    lake, config, _ = a_plant(rows=[hour(0, 1.0)])
    lake.landing.put("waits.csv", csv_of([("P1", "C1", "2024-06-01 05:00", 1)]))
    drop = LocalLandingZone(tmp_path)
    drop.put("x.csv", csv_of([("P1", "C2", "2024-06-01 00:00", 2)]))
    report = ingest(lake, config, now=NOW, landing=drop)
    assert report.rows_inserted == 2
    assert [file.path for file in waiting_files(lake)] == ["waits.csv"]


def test_another_column_or_table_is_read_from_its_beginning():
    lake, config, historian = a_plant(rows=[hour(0, 1.0)])
    ingest(lake, config, now=NOW)
    other = a_table(columns=TableColumns(value="kw"))
    report = ingest(lake, replace(config, sources=sources(north=other)), now=NOW)
    assert historian.asked == [None, None]
    assert (report.rows_read, report.rows_unchanged) == (1, 1)


def test_a_drawing_that_was_damaged_is_named_and_nothing_is_read(monkeypatch):
    lake, config, historian = a_plant(rows=[hour(0, 1.0)])
    ingest(lake, config, now=NOW)
    [path] = lake.landing.data
    lake.landing.data[path] = b"no parquet"
    report = ingest(lake, config, now=NOW)
    assert "is no drawing of a table" in report.unreachable["north"]
    assert len(historian.asked) == 1


def test_stamps_in_local_time_and_values_in_another_unit_are_converted():
    circuit = a_circuit("P1/C1", unit="MW", timezone="Europe/Paris")
    table = replace(MODIFIED, timezone="Europe/Paris", unit="kW")
    autumn = datetime(2024, 10, 27)  # noqa: DTZ001 a wall clock
    rows = [
        ("P1", "C1", autumn + timedelta(hours=wall), 1000.0 * n, autumn + timedelta(hours=n))
        for n, wall in enumerate((1, 2, 2, 3))
    ]
    lake, config, _ = a_plant(table, rows[::-1], (), circuit)
    ingest(lake, config, now=datetime(2024, 11, 1, tzinfo=UTC))
    found = lake.readings.read(columns=["timestamp", "value"]).rows()
    before = datetime(2024, 10, 26, 23, tzinfo=UTC)
    assert found == [(before + timedelta(hours=n), float(n)) for n in range(4)]


def test_a_table_that_may_be_written_and_one_that_is_gone_fail_the_doctor():
    _, config, historian = a_plant()
    assert [v.passed for v in examine(historian, config)] == [True]
    historian.granted = ("UPDATE",)
    [verdict] = examine(historian, config)
    assert (verdict.gate, verdict.passed) == ("table north", False)
    assert verdict.reason == "its login may UPDATE: use one that can only SELECT"

    class Gone(FakeHistorian):
        def rights(self, table):
            raise DataError("connection refused")

    [gone] = examine(Gone(), config)
    assert (gone.passed, gone.reason) == (False, "connection refused")


changes = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([1.0, 2.0, 3.0])), min_size=1, max_size=6
)


@given(
    st.lists(st.tuples(changes, st.sampled_from([None, "shuffled", *FAULTS])), max_size=8),
    st.booleans(),
)
def test_whatever_breaks_or_is_shuffled_the_last_slice_holds_what_the_table_holds(steps, modified):
    lake, config, historian = a_plant(MODIFIED if modified else a_table(look_back_days=3))
    held: dict[int, tuple] = {}
    for number, (cells, fault) in enumerate(steps):
        for place, value in cells:
            if held.get(place, (None,) * 4)[3] != value:
                held[place] = hour(place, value, modified=100 + number if modified else None)
        historian.rows = list(held.values())
        historian.script = [fault]
        ingest(lake, config, now=NOW)
    historian.script = []
    ingest(lake, config, now=NOW)
    wanted = [row[3] for _, row in sorted(held.items())]
    assert values(lake) == wanted if wanted else not lake.readings.exists()
    assert ingest(lake, config, now=NOW).rows_read == 0
    assert CircuitKey("P1", "C1") in config.circuits
