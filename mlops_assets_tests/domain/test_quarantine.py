"""What settles: rows held and freed as their neighbours arrive, the same for every slicing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.domain.arrivals import last_arrivals, log_schema
from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.merging import merge
from mlops_assets.domain.quarantine import decided, settle, windows
from mlops_assets.domain.quarantine_log import released, standing
from mlops_assets.domain.readings import KEY
from mlops_assets_tests.fakes.readings import a_circuit, readings

START = datetime(2024, 6, 1, tzinfo=UTC)
LIMITS = ReadingLimits(stuck_hours=3, spike_jump=3.0, spike_factor=2.0)
CIRCUITS = {
    each.key: each
    for each in (a_circuit("P1/C1", limits=LIMITS), a_circuit("P1/C2", limits=LIMITS))
}


class Table:
    """The readings and the log of a home, a slice at a time, as the ETL keeps them."""

    def __init__(self, circuits=None):
        self.circuits = circuits or CIRCUITS
        self.rows = readings([])
        self.log = pl.DataFrame(schema=log_schema("quarantine"))
        self.slices = 0

    def take(self, arrived, asked=None):
        keys = arrived.select(KEY) if asked is None else asked
        near, log = self.rows.clear(), self.log.clear()
        for start, end in windows(keys, self.circuits):
            inside = pl.col("timestamp").is_between(start, end, closed="left")
            near = pl.concat([near, self.rows.filter(inside)], how="diagonal")
            text = pl.col("timestamp").is_between(
                pl.lit(f"{start:{STAMP}}"), pl.lit(f"{end:{STAMP}}"), closed="left"
            )
            log = pl.concat([log, self.log.filter(text)])
        found = settle(last_arrivals(arrived).rows, near, log, self.circuits, asked)
        self.slices += 1
        self.tell(found.entries)
        rows = (
            found.rows.drop("row")
            .rename({"file": "source"})
            .with_columns(pl.col("timestamp").dt.date().alias("date"), ingested_at=START)
        )
        names = [*self.rows.columns, *(n for n in rows.columns if n not in self.rows.columns)]
        before, rows = (
            pl.concat([frame, self.rows.clear(), rows.clear()], how="diagonal").select(names)
            for frame in (self.rows, rows)
        )
        self.rows = merge(before, rows, found.withdrawn).rows.sort(KEY)
        return found

    def tell(self, entries):
        named = entries.with_columns(pl.lit(str(self.slices)).alias("slice"))
        self.log = pl.concat([self.log, named.select(self.log.columns)])

    def state(self):
        names = [name for name in self.rows.columns if name not in ("source", "ingested_at")]
        held = standing(self.log).select("plant_id", "circuit_id", "timestamp", "value", "reason")
        return self.rows.select(sorted(names)).rows(), sorted(held.rows())


STAMP = "%Y-%m-%dT%H:%M:%SZ"


def rows(values, first=0, key="P1/C1", **features):
    frame = readings(values, key=key, start=START + timedelta(hours=first), **features)
    numbered = frame.rename({"source": "file"}).drop("date", "ingested_at").with_row_index("row")
    return numbered.with_columns(pl.col("row").cast(pl.Int64)).filter(pl.col("value").is_not_null())


def wave(count):
    return [100 + 10 * ((hour % 24) - 12) ** 2 / 144 + hour % 7 * 0.37 for hour in range(count)]


def test_a_spike_is_a_reading_until_the_next_one_shows_that_it_was_none():
    table = Table()
    table.take(rows(wave(240)))
    table.take(rows([150.0], first=240))
    assert (len(table.rows), len(standing(table.log))) == (241, 0)
    found = table.take(rows([wave(242)[241]], first=241))
    assert found.withdrawn["timestamp"].to_list() == [START + timedelta(hours=240)]
    assert (len(found.rows), found.held, found.returned) == (1, {}, 0)
    assert standing(table.log).select("value", "reason", "file").rows() == [
        ("150.0", "jump", "test.parquet")
    ]


def test_a_stuck_run_goes_but_for_its_first_reading_and_comes_back_with_a_later_correction():
    table = Table()
    table.take(rows(wave(240)))
    table.take(rows([7.5, 7.5], first=240))
    assert standing(table.log)["reason"].to_list() == ["level", "level"]
    table = Table({k: a_circuit(str(k), limits=ReadingLimits(stuck_hours=3)) for k in CIRCUITS})
    table.take(rows([1.0, 7.5, 7.5]))
    found = table.take(rows([7.5], first=3))
    assert (len(found.withdrawn), found.held) == (1, {"stuck": 1})
    found = table.take(rows([8.5], first=2))
    assert (found.returned, len(found.rows)) == (1, 2)
    assert table.rows["value"].to_list() == [1.0, 7.5, 8.5, 7.5]
    assert standing(table.log).is_empty()
    assert table.log["state"].to_list().count("cleared") == 2


def test_features_of_an_hour_that_was_held_come_back_with_it():
    table = Table({k: a_circuit(str(k), limits=ReadingLimits(stuck_hours=3)) for k in CIRCUITS})
    table.take(rows([7.5, 7.5, 7.5], rain=[0.1, None, 0.3]))
    assert table.rows["value"].to_list() == [7.5]
    table.take(rows([8.5], first=1))
    assert table.rows.select("value", "rain").rows() == [(7.5, 0.1), (8.5, None), (7.5, 0.3)]


def test_what_arrives_again_tells_the_log_nothing():
    table = Table()
    table.take(rows([*wave(240), 900.0, 901.0]))
    before = table.state(), len(table.log)
    found = table.take(rows([900.0, 901.0], first=240))
    assert found.held == {"level": 2}
    assert (table.state(), len(table.log)) == before


def test_a_person_releases_a_value_and_only_that_one():
    table = Table()
    table.take(rows([*wave(240), 900.0]))
    held = standing(table.log).with_columns(
        pl.col("timestamp").str.to_datetime(STAMP, time_zone="UTC"),
        pl.col("value").cast(pl.Float64),
    )
    table.tell(decided(held, table.log, state="released", by="ada@x", note="seen it"))
    assert released(table.log)["value"].to_list() == [900.0]
    found = table.take(rows([]), asked=held.select(KEY))
    assert (found.returned, table.rows["value"][-1]) == (1, 900.0)
    assert standing(table.log).is_empty()
    table.take(rows([900.0, 905.0], first=240))
    assert table.rows["value"][-1] == 900.0
    assert standing(table.log)["value"].to_list() == ["905.0"]
    table.take(rows([950.0], first=240))
    assert standing(table.log)["value"].to_list() == ["950.0", "905.0"]
    table.take(rows([900.0], first=240))
    assert standing(table.log)["value"].to_list() == ["905.0"]
    table.tell(decided(held, table.log, state="withheld", by="bob@x", note="no"))
    found = table.take(rows([]), asked=held.select(KEY))
    assert len(found.withdrawn) == 1
    assert standing(table.log)["reason"].to_list() == ["withheld", "level"]


def test_the_windows_hold_twice_the_reach_and_many_become_one():
    far = windows(rows([1.0]).select(KEY), CIRCUITS)
    room = timedelta(days=8, hours=3)
    assert far == [(START - room, START + timedelta(days=1) + room)]
    scattered = pl.concat([rows([1.0], first=hours) for hours in range(0, 24 * 1000, 24 * 40)])
    assert len(windows(scattered.select(KEY), CIRCUITS)) == 1


# Hours of the second week, values that sometimes repeat or leap, and where the slices are cut.
arriving = st.lists(
    st.tuples(
        st.integers(236, 244),
        st.sampled_from([100.0, 100.0, 100.5, 300.0]),
        st.sampled_from(["P1/C1", "P1/C2"]),
        st.sampled_from([None, 0.5]),
    ),
    max_size=40,
)


@settings(max_examples=30)
@given(arriving, st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_any_slicing_of_the_same_arrivals_settles_the_same(arrivals, widths):
    past = pl.concat([rows(wave(240), key=str(key), rain=[None] * 240) for key in CIRCUITS])
    every = [rows([v], first=hour, key=key, rain=[rain]) for hour, v, key, rain in arrivals]
    states = []
    for cuts in ([len(every) + 1], widths):
        table, place, number = Table(), 0, 0
        if cuts is widths:
            table.take(past)
        first = [] if cuts is widths else [past]
        while place < len(every) or first:
            width = cuts[number % len(cuts)]
            table.take(pl.concat([*first, *every[place : place + width]]))
            first, place, number = [], place + width, number + 1
        states.append(table.state())
        if every:
            table.take(pl.concat(every))
            again = Table()
            again.take(pl.concat([past, *every, *every]))
            assert table.state() == again.state()
    assert states[0] == states[1]


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e22, 1 / 3, 123456789.123, -2.5e-8])
def test_a_value_comes_back_from_the_log_as_it_was(value):
    table = Table({k: a_circuit(str(k), limits=ReadingLimits(stuck_hours=2)) for k in CIRCUITS})
    table.take(rows([value, value], rain=[None, value]))
    assert len(table.rows) == 1
    table.take(rows([5.0]))
    assert table.rows.select("value", "rain").rows() == [(5.0, None), (value, value)]
