"""What breaks a circuit's contract, and how far around it that is decided."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.contract import (
    RULES,
    ReadingLimits,
    jumps,
    levels,
    reach,
    run_lengths,
    verdicts,
)

HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)
ALL = ReadingLimits(stuck_hours=3, spike_jump=3.0, spike_factor=2.0)


def day_curve(days=10, level=100.0):
    """Readings with a daily shape and noise that never repeats a value."""
    hours = np.arange(days * 24)
    noise = np.random.default_rng(7).normal(0, 1, len(hours))
    return level + 20 * np.sin(2 * np.pi * hours / 24) + noise


def broken(values, limits=ALL, step=HOUR):
    found = verdicts(values, limits, step, np.arange(len(values)))
    return {int(place): RULES[found[place] - 1] for place in np.flatnonzero(found)}


def test_usual_readings_break_nothing():
    assert broken(day_curve()) == {}


def test_a_run_of_one_value_is_stuck_after_its_first_reading_and_a_gap_ends_it():
    values = day_curve()
    values[50:53] = values[50]
    assert broken(values) == {51: "stuck", 52: "stuck"}
    values[51] = np.nan
    assert broken(values) == {}


@pytest.mark.parametrize(("step", "wanted"), [(HOUR, 3), (QUARTER, 12)])
def test_a_run_is_as_long_in_hours_whatever_the_interval(step, wanted):
    values = np.arange(100.0)
    limits = ReadingLimits(stuck_hours=3)
    values[20 : 20 + wanted - 1] = 5.5
    assert broken(values, limits, step) == {}
    values[20 : 20 + wanted] = 5.5
    assert sorted(broken(values, limits, step)) == list(range(21, 20 + wanted))


def test_a_spike_jumps_there_and_back_by_much_more_than_is_usual():
    values = day_curve()
    values[200] += 60
    assert broken(values) == {200: "jump"}
    values[201:] += 60
    assert broken(values, ReadingLimits(spike_jump=3.0)) == {}


def test_without_the_reading_after_it_nothing_is_a_jump():
    values = day_curve()
    values[-1] += 60
    values[150:152] = [values[150] + 60, np.nan]
    assert broken(values, ReadingLimits(spike_jump=3.0)) == {}


@pytest.mark.parametrize(
    ("factor", "breaks"), [(2.2, True), (0.4, True), (0.0, True), (1.5, False)]
)
def test_a_reading_far_off_its_hours_usual_level_is_a_spike_at_once(factor, breaks):
    values = day_curve()
    values[-1] *= factor
    assert broken(values, ReadingLimits(spike_factor=2.0)) == (
        {len(values) - 1: "level"} if breaks else {}
    )


def test_a_level_that_lasts_for_a_day_is_believed_from_then_on():
    values = day_curve(days=20)
    values[240:] *= 3
    found = broken(values, ReadingLimits(spike_factor=2.0))
    assert sorted(found) == list(range(240, 240 + 24))
    values[240:260] = np.nan
    found = broken(values, ReadingLimits(spike_factor=2.0))
    assert sorted(found) == list(range(260, 272)), "too little of the day before is known"


def test_too_short_a_past_judges_nothing():
    values = day_curve(days=3)[:70]
    values[60] *= 50
    assert broken(values, ReadingLimits(spike_factor=2.0)) == {}
    assert broken(day_curve()[:9] * [1, 1, 1, 1, 90, 1, 1, 1, 1], ReadingLimits(spike_jump=3)) == {}


def test_the_negative_of_a_feed_breaks_the_same_rules():
    values = day_curve()
    values[200] *= 4
    values[100:104] = 33.0
    assert broken(values) == broken(-values)


def test_a_gap_breaks_nothing_and_an_empty_feed_neither():
    values = np.full(300, np.nan)
    assert broken(values) == {}
    assert verdicts(np.zeros(0), ALL, HOUR, np.zeros(0, dtype=int)).tolist() == []
    assert run_lengths(np.zeros(0)).tolist() == []


def test_the_reach_is_that_of_the_rules_which_are_stated():
    assert reach(ReadingLimits(), HOUR).before == timedelta(0)
    assert reach(ReadingLimits(stuck_hours=6), HOUR).after == timedelta(hours=6)
    assert reach(ReadingLimits(spike_factor=2.0), HOUR).after == timedelta(0)
    assert reach(ALL, HOUR).before == timedelta(days=8)


cells = st.sampled_from([1.0, 1.0, 2.0, 2.5, 3.0, 40.0, -1.0, float("nan")])


@given(
    st.lists(cells, min_size=420, max_size=420),
    st.integers(0, 419),
    st.sampled_from([HOUR, timedelta(minutes=30)]),
)
def test_what_lies_beyond_the_reach_changes_no_verdict(values, place, step):
    whole = np.array(values)
    far = reach(ALL, step)
    first = max(0, place - far.before // step)
    last = min(len(whole), place + far.after // step + 1)
    wanted = verdicts(whole, ALL, step, np.array([place]))
    near = verdicts(whole[first:last], ALL, step, np.array([place - first]))
    assert near.tolist() == wanted.tolist()


@given(st.lists(cells, min_size=30, max_size=300))
def test_each_rule_agrees_with_its_definition_read_aloud(values):
    whole = np.array(values)
    asked = np.arange(len(whole))
    change = np.abs(np.diff(whole))
    for place, found in enumerate(jumps(whole, HOUR, asked)):
        if not 0 < place < len(whole) - 1:
            assert np.isnan(found)
            continue
        there, back = whole[place] - whole[place - 1], whole[place + 1] - whole[place]
        if np.isnan(there) or np.isnan(back):
            assert np.isnan(found)
        elif there * back >= 0:
            assert found == 0
        else:
            past = change[max(0, place - 72) : place]
            past = past[np.isfinite(past) & (past > 0)]
            usual = np.median(past) if len(past) >= 12 else np.nan
            assert found == pytest.approx(min(abs(there), abs(back)) / usual, nan_ok=True)
    for place, found in enumerate(levels(whole, HOUR, asked)):
        past = [whole[place - 24 * day] for day in range(1, 8) if place >= 24 * day]
        past = [value for value in past if not np.isnan(value)]
        usual = np.median(past) if len(past) >= 3 else np.nan
        usual = np.nan if usual == 0 else usual
        assert found == pytest.approx(whole[place] / usual, nan_ok=True)
