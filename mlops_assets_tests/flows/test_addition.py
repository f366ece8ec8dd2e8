"""Circuits and features that the catalogue names late: the table is as if they always had been."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quarantine_log import parsed, standing
from mlops_assets.domain.readings import KEY
from mlops_assets.flows.circuit_readings import circuit_readings
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.fakes.readings import NOW, FakeLandingZone, a_circuit, a_config, a_lake
from mlops_assets_tests.flows.test_readings import (
    KilledError,
    Listener,
    balanced,
    by_gate,
    csv_of,
    local_lake,
    verdicts,
)

LIMITS = ReadingLimits(maximum=50.0, stuck_hours=3, spike_jump=3.0)
CIRCUITS = (
    a_circuit("P1/C1", limits=LIMITS),
    a_circuit("P1/C2", limits=LIMITS),
    a_circuit("P2/C1"),
)
FEATURES = ("rain", "wind")
HEADER = "plant_id,circuit_id,timestamp,value"
START = datetime(2024, 6, 1, tzinfo=UTC)


def stamp(hour):
    return (START + timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M")


def the_file(rows, columns=()):
    return csv_of(rows, header=",".join([HEADER, *columns]))


def hourly(circuit, values, first=0, **more):
    cells = zip(*more.values(), strict=True) if more else [()] * len(values)
    return [
        (*circuit.split("/"), stamp(hour), value, *rest)
        for hour, (value, rest) in enumerate(zip(values, cells, strict=True), first)
    ]


def catalogue(circuits=CIRCUITS, features=FEATURES):
    return replace(
        a_config(features=features), circuits={circuit.key: circuit for circuit in circuits}
    )


def state(lake):
    """The table and the quarantine, but for when, and which of equal rows said it first."""
    rows = lake.readings.read().drop("ingested_at")
    rows = rows.select(*KEY, "value", *(f for f in FEATURES if f in rows.columns))
    for name in FEATURES:
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name))
    held = standing(lake.quarantine.read())
    cells = [
        pl.col("cells").str.json_path_match(f"$.{name}").cast(pl.Float64).alias(name)
        for name in FEATURES
    ]
    told = held.select(*KEY, "value", "reason", *cells).unique()
    return rows.select(sorted(rows.columns)).sort(KEY).rows(), told.sort(pl.all()).rows()


def test_a_circuit_added_later_has_its_history_and_its_rows_leave_the_quarantine(tmp_path):
    lake = local_lake(tmp_path)
    few = catalogue(CIRCUITS[:1], ())
    lake.landing.put("a.csv", the_file([*hourly("P1/C1", [1, 2]), *hourly("P1/C2", [3, "NA", 60])]))
    assert ingest(lake, few, now=NOW).reasons == {"unknown_circuit": 3}
    lake.landing.put("b.csv", the_file([*hourly("P1/C1", [9]), *hourly("P1/C2", [4])]))
    ingest(lake, few, now=NOW)
    listener = Listener()
    every = catalogue(CIRCUITS[:2], ())
    report = ingest(lake, every, now=NOW, progress=listener)
    assert listener.lines == ["read again for P1/C2: 2 raw files"]
    assert report.added == ("P1/C2",)
    assert (report.rows_read, report.rows_inserted, report.rows_quarantined) == (4, 1, 2)
    assert balanced(report)
    found = lake.readings.read(circuits=[CircuitKey("P1", "C2")])
    assert found.select("value", "source").rows() == [(4.0, "b.csv")]
    assert lake.readings.read()["value"].to_list() == [9.0, 2.0, 4.0]
    held = standing(lake.quarantine.read()).select("reason", "file", "row").rows()
    assert held == [("missing", "a.csv", 5), ("out_of_range", "a.csv", 6)]
    share = circuit_readings(lake, every.circuits)[CircuitKey("P1", "C2")]
    assert share.reasons == {"missing": 1, "out_of_range": 1}
    version = lake.readings.version()
    again = ingest(lake, every, now=NOW)
    assert (again.rows_read, again.added, lake.readings.version()) == (0, (), version)


def test_what_is_known_already_is_not_looked_for_again(tmp_path, monkeypatch):
    lake = local_lake(tmp_path)
    lake.landing.put("a.csv", the_file(hourly("P1/C1", [1])))
    ingest(lake, catalogue(CIRCUITS[:1]), now=NOW)
    lake.landing.put("b.csv", the_file(hourly("P1/C1", [2], first=1)))
    monkeypatch.setattr(lake.journal, "history", lambda: pytest.fail("the history was read"))
    assert ingest(lake, catalogue(CIRCUITS[:1]), now=NOW).rows_inserted == 1


def test_only_files_that_hold_the_circuit_are_read_again(tmp_path, monkeypatch):
    lake = local_lake(tmp_path)
    few = catalogue(CIRCUITS[:1], ())
    for number in range(6):
        key = "P1/C2" if number == 3 else "P1/C1"
        lake.landing.put(f"{number}.csv", the_file(hourly(key, [number], first=number)))
        ingest(lake, few, now=NOW)
    read = []
    genuine = lake.landing.read
    monkeypatch.setattr(
        lake.landing, "read", lambda file: (read.append(file.path), genuine(file))[1]
    )
    ingest(lake, catalogue(CIRCUITS[:2], ()), now=NOW)
    assert read == ["3.csv"]


def test_a_feature_added_later_is_filled_in_and_changes_no_value(tmp_path):
    lake = local_lake(tmp_path)
    rain = the_file(hourly("P1/C1", [1, 2, 60], rain=[0.1, 0.2, 0.3]), ("rain",))
    lake.landing.put("a.csv", rain)
    ingest(lake, catalogue(features=()), now=NOW)
    lake.landing.put("b.csv", the_file(hourly("P1/C1", [7])))
    ingest(lake, catalogue(features=()), now=NOW)
    report = ingest(lake, catalogue(features=("rain",)), now=NOW)
    assert report.added == ("rain",)
    assert (report.rows_read, report.rows_updated, report.rows_unchanged) == (3, 2, 1)
    rows = lake.readings.read(columns=["value", "rain", "source"]).rows()
    assert rows == [(7.0, 0.1, "b.csv"), (2.0, 0.2, "a.csv")]
    assert lake.restatements.read().is_empty()
    assert ingest(lake, catalogue(features=("rain",)), now=NOW).added == ()


def test_files_that_are_gone_are_said_once_and_read_in_order_when_they_are_back(tmp_path):
    lake, whole = local_lake(tmp_path / "some"), local_lake(tmp_path / "whole")
    few, every = catalogue(CIRCUITS[:1], ()), catalogue(CIRCUITS[:2], ())
    files = {
        "1.csv": the_file(hourly("P1/C2", [1, 2, 3])),
        "2.csv": the_file(hourly("P1/C2", [9], first=1)),
        "3.csv": the_file(hourly("P1/C2", [5], first=2)),
    }
    for name, data in files.items():
        lake.landing.put(name, data)
        ingest(lake, few, now=NOW)
        whole.landing.put(name, data)
        ingest(whole, every, now=NOW)
    (tmp_path / "some" / "raw" / "1.csv").unlink()
    listener = Listener()
    assert ingest(lake, every, now=NOW, progress=listener).rows_inserted == 2
    assert listener.lines[-1] == (
        "1 raw files that hold P1/C2, added since they were read, are gone, such as 1.csv: put "
        "them back, or name their folder with --raw, and run ingest again"
    )
    assert len(standing(lake.quarantine.read())) == 3, "what was not read stays in quarantine"
    listener.lines.clear()
    ingest(lake, every, now=NOW, progress=listener)
    assert listener.lines == []
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "1.csv").write_bytes(files["1.csv"])
    ingest(lake, every, now=NOW, landing=LocalLandingZone(tmp_path / "back"))
    assert state(lake) == state(whole)
    assert lake.readings.read()["value"].to_list() == [1.0, 9.0, 5.0]


@pytest.mark.parametrize("step", ["quarantine", "readings", "confirm", "know"])
@pytest.mark.parametrize("after", [False, True])
def test_an_addition_killed_at_any_step_is_done_by_the_next_ingest(
    tmp_path, monkeypatch, step, after
):
    lakes = [local_lake(tmp_path / name) for name in ("killed", "whole")]
    data = [
        the_file([*hourly("P1/C1", [1, 2]), *hourly("P1/C2", [3, "NA", 60, n])]) for n in (4, 5)
    ]
    for lake in lakes:
        for number, each in enumerate(data):
            lake.landing.put(f"{number}.csv", each)
            ingest(lake, catalogue(CIRCUITS[:1], ()), now=NOW)
    killed, whole = lakes
    parts = {
        "quarantine": (killed.quarantine, "append"),
        "readings": (killed.readings, "merge"),
        "confirm": (killed.journal, "confirm"),
        "know": (killed.journal, "know"),
    }
    part, method = parts[step]
    genuine = getattr(part, method)

    def dying(*args, **kwargs):
        if after:
            genuine(*args, **kwargs)
        raise KilledError

    monkeypatch.setattr(part, method, dying)
    every = catalogue(CIRCUITS[:2], ())
    with pytest.raises(KilledError):
        ingest(killed, every, now=NOW)
    monkeypatch.undo()
    for lake in lakes:
        lake.landing.put("9.csv", the_file(hourly("P1/C2", [8])))
        ingest(lake, every, now=NOW)
    assert state(killed) == state(whole)
    assert killed.journal.pending() == {}
    assert len(killed.journal.history()) == len(whole.journal.history()) == 4


def test_an_addition_that_a_table_lost_is_read_again(tmp_path):
    lake, whole = (local_lake(tmp_path / name) for name in ("torn", "whole"))
    data = the_file([*hourly("P1/C1", [1]), *hourly("P1/C2", [3, 4])])
    for each in (lake, whole):
        each.landing.put("a.csv", data)
        ingest(each, catalogue(CIRCUITS[:1], ()), now=NOW)
        ingest(each, catalogue(CIRCUITS[:2], ()), now=NOW)
    for table in ("readings", "quarantine"):
        commit = max((tmp_path / "torn" / table / "_delta_log").glob("0*.json"))
        commit.rename(commit.with_suffix(".torn"))
    fresh = a_lake(
        landing=lake.landing,
        journal=lake.journal,
        readings=lake.readings,
        quarantine=lake.quarantine,
        restatements=lake.restatements,
    )
    ingest(fresh, catalogue(CIRCUITS[:2], ()), now=NOW)
    assert state(fresh) == state(whole)


def test_a_home_that_never_said_what_it_knew_finds_what_it_missed(tmp_path):
    lake = local_lake(tmp_path)
    lake.landing.put("a.csv", the_file([*hourly("P1/C1", [1]), *hourly("P1/C2", [3])]))
    ingest(lake, catalogue(CIRCUITS[:1], ()), now=NOW)
    (tmp_path / "ingested" / "catalogue.json").unlink()
    report = ingest(lake, catalogue(CIRCUITS[:2], ()), now=NOW)
    assert report.rows_inserted == 1
    assert len(lake.readings.read()) == 2


def test_what_was_in_the_future_when_it_came_is_refused_when_it_is_read_again():
    lake = a_lake()
    early = NOW - timedelta(days=20)
    lake.landing.put("a.csv", the_file(hourly("P1/C2", [1, 2], first=24 * 11)))
    ingest(lake, catalogue(CIRCUITS[:1], ()), now=early)
    report = ingest(lake, catalogue(CIRCUITS[:2], ()), now=NOW)
    assert report.reasons == {"future": 2}


def test_dates_are_read_as_the_files_of_that_time_settle_them():
    lakes = a_lake(), a_lake()
    for lake, config in zip(lakes, (catalogue(CIRCUITS[:1], ()), catalogue()), strict=True):
        lake.landing.put("p/1.csv", the_file([("P1", "C2", "3/4/2024 01:00", 1)]))
        ingest(lake, config, now=NOW)
        lake.landing.put("p/2.csv", the_file([("P1", "C2", "25/5/2024 01:00", 1)]))
        ingest(lake, config, now=NOW)
    ingest(lakes[0], catalogue(), now=NOW)
    assert state(lakes[0]) == state(lakes[1])


def test_a_changed_feature_of_a_released_hour_comes_back_with_it():
    """What is held back keeps the features that were added later."""
    lake = a_lake()
    values = [10.0, 11.0, 10.0, 40.0, 10.0, 11.0, 10.0]
    rows = hourly("P1/C1", [*values * 12], rain=[str(n) for n in range(84)])
    lake.landing.put("a.csv", the_file(rows, ("rain",)))
    limits = replace(LIMITS, spike_jump=3.0, stuck_hours=None)
    config = catalogue((a_circuit("P1/C1", limits=limits),), ())
    ingest(lake, config, now=NOW)
    held = standing(lake.quarantine.read()).filter(pl.col("reason") == "jump")
    assert len(held)
    ingest(lake, replace(config, feature_columns=("rain",)), now=NOW)
    cells = standing(lake.quarantine.read()).filter(pl.col("reason") == "jump")
    places = [(moment - START) / timedelta(hours=1) for moment in parsed(cells)["timestamp"]]
    assert [float(each) for each in cells["cells"].str.json_path_match("$.rain")] == places


# What may happen to a home: a file comes, or the catalogue changes.
rows = st.tuples(
    st.sampled_from(["P1/C1", "P1/C2", "P2/C1"]),
    st.integers(0, 9),
    st.sampled_from(["1.5", "2.5", "2.5", "30", "60", "NA", "x"]),
    st.sampled_from(["", "0.5", "0.7"]),
    st.sampled_from(["", "3", "4"]),
)
files = st.tuples(
    st.lists(rows, min_size=1, max_size=12), st.sampled_from([(), (0,), (1,), (0, 1)])
)
named = st.tuples(st.sets(st.integers(0, 2)), st.sets(st.sampled_from(FEATURES)))


def grown(chosen):
    """Catalogues that only grow."""
    circuits, features = set(), set()
    for more, names in chosen:
        circuits |= more
        features |= names
        yield sorted(circuits), sorted(features)


def changing(chosen):
    """Circuits that come and go, and features that were named from the start."""
    return ((sorted(circuits), FEATURES) for circuits, _ in chosen)


@pytest.mark.parametrize("changes", [grown, changing])
@settings(max_examples=15)
@given(events=st.lists(st.tuples(files, named), min_size=1, max_size=5))
def test_any_order_of_files_and_additions_gives_the_table_that_had_all_from_the_start(
    changes, events
):
    late, whole = a_lake(), a_lake()
    full = catalogue()
    catalogues = changes([each for _, each in events])
    for number, (((lines, taken), _), (circuits, features)) in enumerate(
        zip(events, catalogues, strict=True)
    ):
        columns = [FEATURES[place] for place in taken]
        cells = [
            (*key.split("/"), stamp(hour), value, *(more[place] for place in taken))
            for key, hour, value, *more in lines
        ]
        now = START + timedelta(hours=4 + 2 * number)
        some = catalogue([CIRCUITS[place] for place in circuits], features)
        for lake, config in ((late, some), (whole, full)):
            lake.landing.put(f"{number}.csv", the_file(cells, columns))
            assert balanced(ingest(lake, config, now=now))
    assert balanced(ingest(late, full, now=NOW))
    ingest(whole, full, now=NOW)
    assert state(late) == state(whole)
    assert ingest(late, full, now=NOW).rows_read == 0


def test_a_late_circuit_takes_part_in_the_checks_of_the_table():
    lake = a_lake(landing=FakeLandingZone())
    lake.landing.put("a.csv", the_file([*hourly("P1/C1", [1]), *hourly("P1/C2", [3])]))
    ingest(lake, catalogue(CIRCUITS[:1], ()), now=NOW)
    every = catalogue(CIRCUITS[:2], ())
    ingest(lake, every, now=NOW)
    found = by_gate(verdicts(lake, every, data_now=START + timedelta(hours=1)))
    assert all(verdict.passed for verdict in found.values())
