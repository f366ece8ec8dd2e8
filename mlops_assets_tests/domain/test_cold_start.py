"""A cold start ends when training would take the readings that are there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.circuit import Spec, effective_spec
from mlops_assets.domain.cold_start import end_of_cold_start

FIRST = datetime(2024, 6, 15, tzinfo=UTC)
CUTOFF = date(2024, 6, 21)


def ended(*, hours, now=None, rows=None, first=FIRST, **spec):
    """The proposed cutoff date after so many hours of readings."""
    last = first + timedelta(hours=hours - 1)
    wanted = Spec(cutoff_date=CUTOFF, **spec)
    return end_of_cold_start(wanted, first, last, rows or hours, now or last + timedelta(hours=1))


def test_it_ends_with_the_fourteenth_whole_day():
    assert ended(hours=14 * 24 - 1) is None
    assert ended(hours=14 * 24) == date(2024, 6, 28)
    assert ended(hours=14 * 24 + 5) == date(2024, 6, 28)


def test_a_day_begins_at_the_midnight_of_the_circuit():
    berlin = {"timezone": "Europe/Berlin"}
    assert ended(hours=14 * 24, **berlin) is None
    assert ended(hours=15 * 24 - 2, **berlin) == date(2024, 6, 29)


def test_days_on_which_nothing_came_end_nothing():
    months_later = FIRST + timedelta(days=90)
    assert ended(hours=10 * 24, now=months_later) is None
    assert ended(hours=20 * 24, now=months_later) == date(2024, 7, 4)


def test_readings_that_are_too_thin_for_training_end_nothing():
    assert ended(hours=20 * 24, rows=167) is None
    assert ended(hours=20 * 24, rows=168) == date(2024, 7, 4)


def test_who_asks_for_the_cold_start_by_name_keeps_it():
    assert ended(hours=100 * 24, forecaster="cold_start", effort="fast") is None


def test_a_spec_with_enough_readings_needs_no_other_date():
    assert ended(hours=100 * 24, first=FIRST - timedelta(days=60)) is None


def test_readings_that_begin_after_the_cutoff_date_are_a_cold_start_too():
    assert ended(hours=14 * 24, first=FIRST + timedelta(days=20)) == date(2024, 7, 18)


@given(
    first=st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 1)),  # noqa: DTZ001
    hours=st.integers(1, 40 * 24),
    waited=st.integers(0, 2000),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia"]),
)
def test_a_proposed_date_is_over_is_later_and_ends_the_cold_start(first, hours, waited, zone):
    begin = first.replace(tzinfo=UTC, minute=0, second=0, microsecond=0)
    last = begin + timedelta(hours=hours)
    now = last + timedelta(hours=waited)
    spec = Spec(cutoff_date=date(2024, 6, 21), timezone=zone)
    day = end_of_cold_start(spec, begin, last, hours + 1, now)
    if day is None:
        return
    later = Spec(cutoff_date=day, timezone=zone)
    assert day > spec.cutoff_date
    assert effective_spec(spec, begin) != spec
    assert effective_spec(later, begin) == later
    assert day <= last.astimezone(UTC).date() + timedelta(days=1)
