"""Frames in and out of Spark, and circuits that stay whole; nothing here starts Spark."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.engines.spark.frames import (
    CIRCUIT,
    EachGroup,
    Pack,
    Unpack,
    arrow,
    ddl,
    frame,
    whole_circuits,
)
from mlops_assets_tests.fakes.readings import readings

SCHEMA = {"plant_id": pl.String(), "circuit_id": pl.String(), "value": pl.Int64()}


def batches_of(names, sizes):
    """Batches of a sorted partition, cut where Spark happens to."""
    rows = pl.DataFrame(
        [("P1", name, number) for number, name in enumerate(names)], schema=SCHEMA, orient="row"
    )
    start = 0
    for size in [*sizes, len(rows)]:
        yield from arrow(rows.slice(start, size))
        start += size


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.lists(st.integers(1, 7), max_size=5),
    st.integers(1, 12),
)
def test_circuits_stay_whole_however_a_partition_is_cut(counts, sizes, enough):
    names = [f"C{circuit}" for circuit, count in enumerate(counts) for _ in range(count)]
    groups = list(whole_circuits(batches_of(names, sizes), SCHEMA, enough=enough))
    seen = [set(group["circuit_id"]) for group in groups]
    assert sum(map(len, seen)) == len(set().union(*seen)) if seen else not names
    assert [v for group in groups for v in group["value"]] == list(range(len(names)))
    longest = max(counts, default=0)
    assert all(len(group) < 2 * (enough + longest + 10) for group in groups)


def test_rows_without_a_circuit_are_one_more_group():
    rows = pl.DataFrame(
        [(None, None, 1), (None, "C1", 2), ("P1", "C1", 3)], schema=SCHEMA, orient="row"
    )
    groups = list(whole_circuits(arrow(rows), SCHEMA, enough=1))
    assert [v for group in groups for v in group["value"]] == [1, 2, 3]


def test_rows_cross_with_every_type_and_digit():
    rows = readings([0.1, 1e-300, 1 / 3], rain=[None, 2.0, -0.0])
    schema = dict(rows.schema)
    packed = list(Pack(schema)(arrow(rows)))
    there = [frame(batch, schema) for batch in Unpack(schema)(packed)]
    assert pl.concat(there).equals(rows)
    assert "`timestamp` timestamp" in ddl(schema)


def test_a_step_sees_each_circuit_once():
    seen = []

    def step(rows):
        seen.extend(rows.select(CIRCUIT).unique().rows())
        return rows

    found = list(EachGroup(step, SCHEMA)(batches_of(["C0", "C0", "C1"], [1, 1])))
    assert sorted(seen) == [("P1", "C0"), ("P1", "C1")]
    assert sum(batch.num_rows for batch in found) == 3
