"""What a circuit's own readings suggest as its contract."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.domain.contract import ReadingLimits, verdicts
from mlops_assets.domain.suggestion import suggest

HOUR = timedelta(hours=1)
HOURS = 90 * 24


def load(seed=3, level=500.0):
    """A load with a daily shape, in whole units."""
    random = np.random.default_rng(seed)
    hours = np.arange(HOURS)
    return np.round(level * (1 + 0.2 * np.sin(2 * np.pi * hours / 24)) + random.normal(0, 5, HOURS))


def test_a_load_is_positive_and_three_equal_hours_are_stuck():
    values = load()
    limits = suggest(values, HOUR)
    assert limits == ReadingLimits(sign="positive", stuck_hours=3, spike_jump=3.0, spike_factor=2.0)
    assert np.mean(verdicts(values, limits, HOUR, np.arange(HOURS)) > 0) < 0.005


def test_faults_in_the_readings_move_no_limit():
    values = load()
    clean = suggest(values, HOUR)
    for place in range(100, 2000, 240):
        values[place : place + 40] = values[place]
        values[place + 60 : place + 63] *= 1000
        values[place + 80 : place + 83] = [0, -7, 0]
    assert suggest(values, HOUR) == clean


@pytest.mark.parametrize(
    ("values", "sign"),
    [
        (np.maximum(np.sin(2 * np.pi * np.arange(HOURS) / 24), 0) * 300, "nonnegative"),
        (np.abs(load() - 500), "nonnegative"),
        (load() - 500, "any"),
        (load(), "positive"),
    ],
)
def test_the_sign_is_that_of_the_circuit(values, sign):
    assert suggest(values, HOUR).sign == sign


def test_a_circuit_that_rests_at_a_few_values_has_no_stuck_rule():
    values = load()
    values[values < 450] = 450
    assert suggest(values, HOUR).stuck_hours is None


def test_coarse_readings_are_stuck_only_after_longer():
    fine, coarse = load(), np.round(load() / 4) * 4
    assert suggest(fine, HOUR).stuck_hours == 3
    assert (suggest(coarse, HOUR).stuck_hours or 99) > 3


def test_a_circuit_without_a_level_is_not_held_to_one():
    bursts = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.4, HOURS)) % 6)
    limits = suggest(bursts, HOUR)
    assert limits.spike_factor is None
    assert limits.spike_jump is not None


def test_two_weeks_are_needed():
    assert suggest(load()[: 14 * 24 - 1], HOUR) == ReadingLimits()
    assert suggest(np.full(0, np.nan), HOUR) == ReadingLimits()
    assert suggest(load()[: 14 * 24], HOUR).sign == "positive"


def test_a_dead_or_constant_circuit_suggests_nothing_that_breaks_it():
    assert suggest(np.full(HOURS, np.nan), HOUR) == ReadingLimits()
    limits = suggest(np.full(HOURS, 7.0), HOUR)
    assert limits.stuck_hours is None
    assert not verdicts(np.full(HOURS, 7.0), limits, HOUR, np.arange(HOURS)).any()


def test_hours_are_hours_whatever_the_interval():
    quarter = timedelta(minutes=15)
    assert suggest(load(), quarter).stuck_hours == 1
