"""Rows of a slice, judged one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.arrivals import (
    QUARANTINE_COLUMNS,
    REASONS,
    judge,
    last_arrivals,
    together,
)
from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.merging import merge, restatements
from mlops_assets.domain.raw_file import parse
from mlops_assets_tests.fakes.readings import NOW, a_circuit, csv_of, readings

CIRCUITS = {
    circuit.key: circuit
    for circuit in (
        a_circuit("P1/C1"),
        a_circuit("P1/C2", interval="15min", limits=ReadingLimits(minimum=0.0, maximum=10.0)),
        a_circuit("P2/C1", timezone="Asia/Kolkata"),
        a_circuit("P2/C2", limits=ReadingLimits(sign="nonnegative")),
        a_circuit("P2/C3", limits=ReadingLimits(sign="positive")),
    )
}


def judged(*rows, now=NOW):
    return judge(together({"a.csv": parse("a.csv", csv_of(rows), ())}, ()), CIRCUITS, now)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("P1,C1", "bad_row"),
        ("P1,C9,2024-06-01,1", "unknown_circuit"),
        ("p1,C1,2024-06-01,1", "unknown_circuit"),
        (",,2024-06-01,1", "unknown_circuit"),
        ("P1,C1,soon,1", "bad_timestamp"),
        ("P1,C1,1024-06-01,1", "bad_timestamp"),
        ("P1,C1,soon,", "bad_timestamp"),
        ("P1,C1,2024-06-01,NA", "missing"),
        ("P1,C1,2024-06-01,abc", "bad_value"),
        ("P1,C1,2024-06-01,-inf", "infinite"),
        ("P1,C1,2024-07-01 01:01,1", "future"),
        ("P1,C1,2024-06-01 01:30,1", "off_grid"),
        ("P1,C2,2024-06-01 01:20,1", "off_grid"),
        ("P2,C1,2024-06-01 01:00,1", "off_grid"),
        ("P1,C2,2024-06-01 01:15,-1", "out_of_range"),
        ("P1,C2,2024-06-01 01:15,11", "out_of_range"),
        ("P2,C2,2024-06-01,-0.1", "wrong_sign"),
        ("P2,C2,2024-06-01,0", None),
        ("P2,C3,2024-06-01,0", "wrong_sign"),
        ("P2,C3,2024-06-01,-1", "wrong_sign"),
        ("P2,C3,2024-06-01,0.1", None),
        ("P1,C1,2024-07-01 01:00,1", None),
        ("P1,C2,2024-06-01 01:15,10", None),
        ("P2,C1,2024-06-01 01:30,1", None),
    ],
)
def test_each_row_that_is_no_reading_is_quarantined_with_its_reason(row, reason):
    found = judged(row)
    assert found.quarantined["reason"].to_list() == ([] if reason is None else [reason])
    assert len(found.accepted) == (reason is None)


def test_a_quarantined_row_says_what_was_written_and_where():
    found = judged("P1,C1,2024-06-01 00:00,1", "P1,C1,2024-06-01 01:00,abc", "P1,C1,soon,7")
    assert found.quarantined.columns == list(QUARANTINE_COLUMNS[:7])
    assert found.quarantined.rows() == [
        ("P1", "C1", "2024-06-01T01:00:00Z", "abc", "bad_value", "a.csv", 3),
        ("P1", "C1", "soon", "7", "bad_timestamp", "a.csv", 4),
    ]


def test_of_several_rows_for_a_key_the_last_arrival_wins():
    start = datetime(2024, 6, 1, tzinfo=UTC)
    rows = pl.concat(
        [readings([value], start=start, rain=[rain]) for value, rain in RAINS]
        + [readings([8.0], key="P1/C2", rain=[None])]
    )
    found = last_arrivals(rows)
    assert found.rows.sort("circuit_id").select("value", "rain").rows() == [(2.0, 0.5), (8.0, None)]
    assert (found.superseded, found.repeated) == (2, 1)


RAINS = [(1.0, None), (1.0, 0.5), (1.0, None), (2.0, None)]

cells = st.tuples(st.integers(0, 5), st.sampled_from([1.0, 2.0, 3.0]))


@given(st.lists(cells, max_size=12), st.lists(cells, max_size=20))
def test_every_row_is_counted_once_and_the_result_is_that_of_one_row_at_a_time(before, arrived):
    start = datetime(2024, 6, 1, tzinfo=UTC)

    def frame(rows):
        one = [readings([v], start=start + timedelta(hours=h)) for h, v in rows]
        return pl.concat([readings([]), *one])

    table = last_arrivals(frame(before)).rows
    last = last_arrivals(frame(arrived))
    merged = merge(table, last.rows)
    counts = merged.inserted + merged.updated + merged.unchanged + last.superseded + last.repeated
    assert counts == len(arrived)
    assert merged.inserted == len(merged.rows) - len(table)
    expected = dict(before) | dict(arrived)
    found = merged.rows.sort("timestamp").select("timestamp", "value").rows()
    assert found == [(start + timedelta(hours=h), v) for h, v in sorted(expected.items())]
    again = merge(merged.rows, last.rows)
    assert (again.inserted, again.updated) == (0, 0)


def test_a_withdrawn_row_is_gone_and_its_value_changed_to_none():
    before = readings([1.0, 2.0, 3.0], rain=[0.1, None, None])
    merged = merge(before, before.head(1), before.tail(2).select("plant_id", "circuit_id", STAMP))
    assert merged.rows["value"].to_list() == [1.0]
    assert (merged.unchanged, merged.withdrawn) == (1, 2)
    changed = merged.changed.select("column", "old_value", "new_value").rows()
    assert changed == [("value", 2.0, None), ("value", 3.0, None)]
    again = merge(
        merged.rows, before.clear(), before.tail(2).select("plant_id", "circuit_id", STAMP)
    )
    assert (again.withdrawn, again.changed.is_empty()) == (0, True)


STAMP = "timestamp"


def test_only_rows_that_some_training_data_hold_are_restated():
    before = readings([1.0, 2.0, 3.0])
    changed = merge(before, readings([9.0, 2.0, 9.0])).changed
    end = before["timestamp"][2]
    key = CircuitKey("P1", "C1")
    assert restatements(changed, {key: end})["old_value"].to_list() == [1.0]
    assert restatements(changed, {CircuitKey("P1", "C2"): end}).is_empty()
    assert restatements(changed, {}).is_empty()


def test_reasons_are_asked_in_one_order():
    assert REASONS[:4] == ("bad_row", "unknown_circuit", "bad_timestamp", "missing")
