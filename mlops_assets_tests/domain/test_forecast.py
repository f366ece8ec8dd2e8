"""Cutting series and days out of one read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.forecast import (
    LEAST_WINDOW,
    Window,
    empty_frame,
    gap_reason,
    gap_steps,
    is_hindcast,
    series_by_circuit,
    stored_part,
    window_of,
)
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import ForecastValues
from mlops_assets.domain.readings import to_series
from mlops_assets_tests.fakes.deployment import a_serving
from mlops_assets_tests.fakes.forecast import values_of
from mlops_assets_tests.fakes.readings import readings

BEGIN = datetime(2024, 6, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window(start=BEGIN - 10 * HOUR, begin=BEGIN, step=HOUR, rows=24)
C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(-30, 5))
def test_a_circuits_series_is_what_training_would_see(values, offset):
    """The same grid as `to_series`, from the first to the last reading inside the window."""
    rows = readings(values, start=BEGIN + offset * HOUR).drop_nulls("value")
    found = series_by_circuit(rows, {C1: WINDOW}, {})
    inside = rows.filter(
        (pl.col("timestamp") >= WINDOW.start) & (pl.col("timestamp") < WINDOW.begin)
    )
    if inside.is_empty():
        assert found == {}
        return
    wanted = to_series(inside, step=HOUR)
    assert found[C1].start == wanted.start
    np.testing.assert_array_equal(found[C1].values, wanted.values)


def test_circuits_of_one_read_do_not_mix_and_features_lie_on_the_same_grid():
    rows = pl.concat(
        [
            readings([1.0, 2.0], start=BEGIN - 2 * HOUR, heat=[7.0, 8.0]),
            readings([3.0], key="P1/C2", start=BEGIN - HOUR, heat=[9.0]),
        ]
    )
    found = series_by_circuit(rows, {C1: WINDOW, C2: WINDOW}, {C1: ("heat", "weekday")})
    assert found[C1].values.tolist() == [1.0, 2.0]
    assert found[C1].features["heat"].tolist() == [7.0, 8.0]
    assert set(found[C1].features) == {"heat"}
    assert found[C2].values.tolist() == [3.0]
    assert found[C2].features == {}


def test_a_gap_up_to_the_limit_is_none():
    series = to_series(readings([1.0], start=BEGIN - 7 * HOUR), step=HOUR)
    assert gap_steps(series, WINDOW) == 6
    assert gap_reason(series, WINDOW, a_serving()) == ""
    assert gap_reason(series, WINDOW, a_serving(maximum_gap_hours=5)) == (
        "no reading for 6 h before the day's start; the limit is 5 h"
    )


def test_the_window_holds_the_models_context_behind_the_longest_gap():
    usual = window_of(a_serving(), BEGIN, context_steps=48)
    assert usual.start == BEGIN - LEAST_WINDOW
    assert (usual.step, usual.rows) == (HOUR, 24)
    long = window_of(a_serving(interval="15min"), BEGIN, context_steps=96 * 90)
    assert long.start == BEGIN - timedelta(days=90, hours=6)
    assert long.rows == 96


def test_an_unknown_interval_is_refused():
    with pytest.raises(DataError, match="interval '2h' is not one of 15min, 30min, 1h"):
        window_of(a_serving(interval="2h"), BEGIN, context_steps=1)


def test_only_the_days_rows_are_stored():
    values = values_of(BEGIN - 3 * HOUR, HOUR, np.arange(27.0))
    part = stored_part(values, WINDOW, a_serving())
    assert part.start == BEGIN
    assert part.value.tolist() == list(np.arange(3.0, 27.0))


@given(st.floats(-100, 100), st.floats(-10, 0), st.floats(0, 10))
def test_limits_hold_and_keep_the_order_of_the_interval(level, low, high):
    values = values_of(BEGIN, HOUR, np.full(24, level))
    part = stored_part(values, WINDOW, a_serving(minimum=repr(low), maximum=repr(high)))
    ladder = np.array([part.lo_95, part.lo_80, part.value, part.hi_80, part.hi_95])
    assert (np.diff(ladder, axis=0) >= 0).all()
    assert ladder.min() >= low
    assert ladder.max() <= high


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (values_of(BEGIN, HOUR, np.ones(23)), "23 rows of 1:00:00"),
        (values_of(BEGIN + HOUR, HOUR, np.ones(24)), "24 rows of 1:00:00 from 2024-06-20 01:00"),
        (values_of(BEGIN - HOUR / 2, HOUR, np.ones(24)), "from 2024-06-19 23:30"),
        (values_of(BEGIN, HOUR / 2, np.ones(24)), "of 0:30:00"),
        (values_of(BEGIN, HOUR, np.full(24, np.nan)), "not finite"),
    ],
)
def test_anything_but_the_days_rows_is_an_error_of_the_model(values, said):
    with pytest.raises(ModelError, match=said):
        stored_part(values, WINDOW, a_serving())


def test_intervals_must_be_finite_too():
    one = np.ones(24)
    bad = ForecastValues(BEGIN, HOUR, one, one, one, one, one * np.inf, approximate=False)
    with pytest.raises(ModelError, match="not finite"):
        stored_part(bad, WINDOW, a_serving())


@pytest.mark.parametrize(("hours", "late"), [(-1, False), (24, False), (24.001, True)])
def test_more_than_24_hours_after_the_days_start_is_a_hindcast(hours, late):
    assert is_hindcast(BEGIN + timedelta(hours=hours), BEGIN) is late


def test_no_rows_give_no_series():
    assert series_by_circuit(readings([]), {C1: WINDOW}, {}) == {}
    assert empty_frame().is_empty()
