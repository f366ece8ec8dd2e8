"""Wall clocks: the hour that autumn repeats, the one that spring skips, and every other hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.local_time import to_utc

PARIS = "Europe/Paris"
AUTUMN = datetime(2024, 10, 26, 23, tzinfo=UTC)  # 01:00 in Paris; 02:00 comes twice after it


def walls(moments, zone=PARIS, circuit="C1"):
    """What a meter in that zone writes at these moments."""
    local = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in moments]
    return pl.DataFrame(
        {"plant_id": ["P1"] * len(local), "circuit_id": [circuit] * len(local), "wall": local},
        schema={"plant_id": pl.String, "circuit_id": pl.String, "wall": pl.Datetime("us")},
    )


def every(minutes, count, start=AUTUMN):
    return [start + timedelta(minutes=minutes * n) for n in range(count)]


@pytest.mark.parametrize("minutes", [15, 30, 60])
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_meters_rows_through_autumn_are_read_as_they_were_written(minutes, newest_first):
    moments = every(minutes, 4 * 60 // minutes)
    moments = moments[::-1] if newest_first else moments
    assert to_utc(walls(moments), PARIS).to_list() == moments


@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_a_file_with_one_pass_alone_belongs_to_the_side_that_it_goes_on_from(minutes):
    hour = 60 // minutes
    moments = every(minutes, 4 * hour)
    first, second = moments[: 2 * hour], moments[2 * hour :]
    assert to_utc(walls(first), PARIS).to_list() == first
    assert to_utc(walls(second), PARIS).to_list() == second


def test_what_could_be_either_pass_is_no_moment():
    moments = every(60, 4)
    alone = [moments[1]]
    one_skipped = [moments[0], moments[1], moments[3]]
    assert to_utc(walls(alone), PARIS).to_list() == [None]
    assert to_utc(walls(one_skipped), PARIS).to_list() == [moments[0], None, moments[3]]
    thrice = [moments[1], moments[2], moments[2]]
    assert to_utc(walls(thrice), PARIS).to_list() == [None] * 3
    assert to_utc(walls(moments), PARIS, ordered=False).to_list() == [
        moments[0],
        None,
        None,
        moments[3],
    ]


def test_the_hour_that_spring_skips_is_no_moment():
    rows = walls([]).vstack(
        pl.DataFrame(
            [("P1", "C1", datetime(2024, 3, 31, hour, 30)) for hour in (1, 2, 3)],  # noqa: DTZ001
            schema=walls([]).schema,
            orient="row",
        )
    )
    assert to_utc(rows, PARIS).to_list() == [
        datetime(2024, 3, 31, 0, 30, tzinfo=UTC),
        None,
        datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
    ]


def test_rows_without_a_stamp_or_a_name_hide_no_other():
    rows = walls(every(60, 4))
    odd = pl.DataFrame([(None, None, None)], schema=rows.schema, orient="row")
    assert to_utc(pl.concat([odd, rows]), PARIS).to_list() == [None, *every(60, 4)]


@given(
    st.sampled_from([PARIS, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    st.integers(2024, 2030),
    st.sampled_from([15, 30, 60]),
    st.booleans(),
    st.integers(1, 3),
)
def test_any_year_of_any_meter_in_any_zone_is_read_as_it_was_written(
    zone, year, minutes, newest_first, circuits
):
    if zone == "Australia/Lord_Howe":
        minutes = min(minutes, 30)  # its clock moves by half an hour: whole hours leave its grid
    start = datetime(year, 1, 1, tzinfo=UTC)
    places = [place for place in range(366 * 24) if _near_a_change(start, place, zone)]
    moments = [
        start + timedelta(hours=place, minutes=minutes * part)
        for place in places
        for part in range(60 // minutes)
    ]
    moments = moments[::-1] if newest_first else moments
    parts = [walls(moments, zone, f"C{n}") for n in range(circuits)]
    found = to_utc(pl.concat(parts), zone).to_list()
    assert found == moments * circuits


def _near_a_change(start, place, zone):
    """Whether the clock changes within a day: the rest of a year tells nothing more."""
    offsets = {
        (start + timedelta(hours=place + hours)).astimezone(ZoneInfo(zone)).utcoffset()
        for hours in (-12, 12)
    }
    return len(offsets) > 1
