"""A simulated company repeats by its seed and has the defects of real ones, at their rates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from mlops_assets.domain.contract import ReadingLimits
from mlops_assets.domain.simulation import CALM_DAYS, simulate
from mlops_assets_tests.fakes.readings import a_circuit

LIMITS = ReadingLimits(minimum=0.0, maximum=100.0)


def circuits(count=12, **spec):
    return [a_circuit(f"P{n % 20}/C{n}", limits=LIMITS, **spec) for n in range(count)]


@pytest.fixture(scope="module")
def many():
    """A year of many meters, so that rates can be counted."""
    return simulate(circuits(40), seed=1, first=date(2025, 7, 1), last=date(2026, 6, 30))


def test_the_same_seed_gives_the_same_readings_and_another_does_not():
    one, same, other = (simulate(circuits(2), seed=seed) for seed in (0, 0, 1))
    for key in one:
        assert np.array_equal(one[key].recorded, same[key].recorded, equal_nan=True)
        assert not np.array_equal(one[key].recorded, other[key].recorded, equal_nan=True)


def test_another_circuit_changes_no_reading_of_the_first():
    few, more = simulate(circuits(2)), simulate(circuits(5))
    for key in few:
        assert np.array_equal(few[key].recorded, more[key].recorded, equal_nan=True)


@pytest.mark.parametrize(("interval", "steps"), [("15min", 96), ("30min", 48), ("1h", 24)])
def test_a_meter_covers_whole_days_from_first_to_last(interval, steps):
    (meter,) = simulate(
        circuits(1, interval=interval), first=date(2026, 3, 1), last=date(2026, 3, 20)
    ).values()
    assert len(meter.truth) == 20 * steps
    assert meter.moment(0) == datetime(2026, 3, 1, tzinfo=UTC)
    assert meter.moment(len(meter.truth)) == datetime(2026, 3, 21, tzinfo=UTC)


def test_the_truth_is_positive_and_inside_its_limits(many):
    for meter in many.values():
        assert meter.truth.min() > 0
        assert meter.truth.max() < 100


def test_days_and_weeks_repeat():
    (meter,) = simulate(circuits(1)).values()
    days = meter.truth[: 119 * 24].reshape(-1, 24)
    first = datetime(2026, 3, 3, tzinfo=UTC)
    sundays = np.array([(first + timedelta(days=n)).weekday() == 6 for n in range(len(days))])
    assert days[sundays].mean() < 0.97 * days[~sundays].mean()
    assert np.corrcoef(meter.truth[:-24], meter.truth[24:])[0, 1] > 0.6


def test_holidays_are_like_sundays():
    def mean(day):
        (meter,) = simulate(circuits(1, timezone="Europe/Berlin")).values()
        place = (datetime(day.year, day.month, day.day, tzinfo=UTC) - meter.start).days * 24
        return meter.truth[place : place + 24].mean()

    assert mean(date(2026, 5, 1)) < 0.97 * mean(date(2026, 4, 24))


def test_defects_come_at_about_their_rates(many):
    truth = np.concatenate([meter.truth for meter in many.values()])
    recorded = np.concatenate([meter.recorded for meter in many.values()])
    missing = np.isnan(recorded)
    ratio = recorded[~missing] / truth[~missing]
    assert 0.003 < missing.mean() < 0.009
    assert 0.0001 < (ratio > 5).mean() < 0.0008
    assert 0.0001 < np.isclose(ratio, 2, atol=0.01).mean() < 0.0006
    assert 0.00005 < (ratio <= 0).mean() < 0.0005
    stuck = np.concatenate([np.diff(meter.recorded) == 0 for meter in many.values()])
    assert 0.001 < stuck.mean() < 0.008
    for name, share in (("late", 0.003), ("duplicated", 0.01), ("revised", 0.005)):
        marked = np.concatenate([getattr(meter, name) for meter in many.values()])
        assert marked.mean() == pytest.approx(share, rel=0.2)


def test_a_plant_falls_silent_as_a_whole(many):
    plants = {}
    for key, meter in many.items():
        plants.setdefault(key.plant_id, []).append(np.isnan(meter.recorded))
    together = sum(int(np.all(masks, axis=0).sum()) for masks in plants.values())
    assert together > 0


def test_the_newest_days_hold_only_short_gaps(many):
    for meter in many.values():
        missing = np.isnan(meter.recorded[-CALM_DAYS * 24 :])
        longest = max(
            (len(run) for run in "".join("x" if m else " " for m in missing).split()), default=0
        )
        assert longest <= 6


def test_revised_readings_were_first_told_otherwise(many):
    for meter in many.values():
        same = (meter.first == meter.recorded) | np.isnan(meter.recorded)
        assert same[~meter.revised].all()


def test_a_circuit_without_limits_has_a_level_too():
    (meter,) = simulate([replace(a_circuit("P/C"))]).values()
    assert 10 < meter.truth.mean() < 100
