"""Days, grids and sums of reports."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import (
    IngestReport,
    missing_steps,
    to_series,
    window_end,
)
from mlops_assets_tests.fakes.readings import readings

HOUR = timedelta(hours=1)
START = datetime(2024, 6, 1, tzinfo=UTC)
ZONES = [*sorted(zone for zone in available_timezones() if "/" in zone), "UTC"]


@pytest.mark.parametrize(
    ("day", "zone", "first"),
    [
        (date(2024, 6, 22), "UTC", "2024-06-22T00:00"),
        (date(2024, 3, 31), "Europe/Paris", "2024-03-30T23:00"),
        (date(2024, 4, 1), "Europe/Paris", "2024-03-31T22:00"),
        (date(2024, 10, 28), "Europe/Paris", "2024-10-27T23:00"),
        (date(2024, 6, 22), "Asia/Kolkata", "2024-06-21T18:30"),
        (date(2018, 11, 4), "America/Sao_Paulo", "2018-11-04T03:00"),  # midnight is jumped over
        (date(2024, 3, 10), "America/Havana", "2024-03-10T05:00"),  # likewise
        (date(2024, 11, 3), "America/Havana", "2024-11-03T04:00"),  # midnight comes twice
        (date(2011, 12, 30), "Pacific/Apia", "2011-12-30T10:00"),  # the day does not exist
        (date(2011, 12, 31), "Pacific/Apia", "2011-12-30T10:00"),
        (date(1919, 3, 31), "America/Toronto", "1919-03-31T04:30"),  # 23:30 jumped to 00:30
    ],
)
def test_a_local_day_begins_at_its_first_moment(day, zone, first):
    assert window_end(day, zone) == datetime.fromisoformat(first).replace(tzinfo=UTC)


@given(
    st.sampled_from(ZONES),
    st.dates(date(1990, 1, 1), date(2035, 12, 31)),
)
@example("Africa/Cairo", date(2024, 4, 26))
@example("America/St_Johns", date(2010, 11, 7))
@example("Australia/Lord_Howe", date(2024, 10, 6))
@example("Asia/Beirut", date(2023, 3, 30))
def test_no_moment_before_the_end_of_a_window_is_of_that_day(zone, day):
    end = window_end(day, zone)
    local = end.astimezone(ZoneInfo(zone))
    assert local.date() >= day
    for seconds in (1, 60, 1800, 3600, 7200):
        before = (end - timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))
        assert before.date() < day, (zone, day, seconds)


@given(st.sampled_from(ZONES), st.dates(date(1990, 1, 1), date(2035, 12, 31)))
def test_days_follow_each_other(zone, day):
    width = window_end(day + timedelta(days=1), zone) - window_end(day, zone)
    assert timedelta(0) <= width <= timedelta(hours=26)


def test_a_series_has_a_place_for_each_step_and_nan_for_gaps():
    rows = readings([1.0, 2.0, 3.0, 4.0], rain=[0.0, 0.0, 0.0, 9.0]).filter(pl.col("value") != 2.0)
    series = to_series(rows, step=HOUR, features=["rain", "hour_of_day"])
    np.testing.assert_array_equal(series.values, [1.0, np.nan, 3.0, 4.0])
    np.testing.assert_array_equal(series.features["rain"], [0.0, np.nan, 0.0, 9.0])
    assert list(series.features) == ["rain"]
    assert (series.start, series.end, len(series)) == (START, START + 4 * HOUR, 4)


def test_a_series_is_cut_and_filled_to_its_bounds():
    series = to_series(
        readings([1.0, 2.0, 3.0]), step=HOUR, start=START + HOUR, end=START + 5 * HOUR
    )
    np.testing.assert_array_equal(series.values, [2.0, 3.0, np.nan, np.nan])
    empty = to_series(readings([]), step=HOUR, start=START, end=START + 2 * HOUR)
    assert np.isnan(empty.values).all()
    assert len(to_series(readings([1.0]), step=HOUR, start=START + HOUR, end=START)) == 0


def test_a_grid_is_whole_at_its_end():
    half = timedelta(minutes=30)
    series = to_series(readings([1.0, 2.0]), step=HOUR, end=START + 2 * HOUR + half)
    assert series.start == START - half
    np.testing.assert_array_equal(series.values, [1.0, 2.0, np.nan])


def test_no_rows_and_no_bounds_make_no_series():
    with pytest.raises(DataError, match="no readings"):
        to_series(readings([]), step=HOUR, end=START)


@given(st.sets(st.integers(0, 200), min_size=1), st.integers(-5, 210), st.integers(0, 50))
def test_every_reading_inside_the_bounds_is_at_its_own_time(hours, first, length):
    rows = pl.concat([readings([float(hour)], start=START + hour * HOUR) for hour in hours])
    series = to_series(
        rows, step=HOUR, start=START + first * HOUR, end=START + (first + length) * HOUR
    )
    inside = {hour for hour in hours if first <= hour < first + length}
    assert len(series) == length
    found = np.flatnonzero(np.isfinite(series.values))
    assert {place + first for place in found.tolist()} == inside
    assert all(series.values[hour - first] == hour for hour in inside)


def test_missing_steps_are_those_between_the_first_and_the_last():
    assert missing_steps(START, START + 9 * HOUR, 7, HOUR) == 3
    assert missing_steps(None, None, 0, HOUR) == 0


def test_reports_of_two_slices_add_up():
    one = IngestReport(rows_read=3, rows_inserted=3, reasons={"missing": 1}, files=("a",))
    two = IngestReport(rows_read=2, rows_updated=2, reasons={"missing": 2}, delta_version=4)
    both = one + two
    assert (both.rows_read, both.rows_inserted, both.rows_updated) == (5, 3, 2)
    assert both.reasons == {"missing": 3}
    assert (both.delta_version, both.files) == (4, ("a",))
