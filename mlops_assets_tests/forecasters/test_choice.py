"""Who speaks at an origin is who had erred least by then, and nobody knows more."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.forecasters.backtest import Origins
from mlops_assets.forecasters.choice import FEWEST_OVER, speakers
from mlops_assets_tests.forecasters.series import HOUR, START, series_of

STEPS, COUNT = 24, 28


def origins_of(actual, *, days=1):
    """Origins a day apart, each with a horizon of so many days."""
    moments = tuple(START + timedelta(days=number) for number in range(len(actual)))
    series = series_of(np.zeros(24 * (len(actual) + days)))
    return Origins(series, moments, actual)


def test_until_two_weeks_are_over_speaks_the_last_and_then_the_best():
    actual = np.zeros((COUNT, STEPS))
    floor, asked = np.full_like(actual, 1.0), np.full_like(actual, 2.0)
    assert speakers([floor, asked], origins_of(actual)).tolist() == [1] * 14 + [0] * 14
    assert speakers([asked, floor], origins_of(actual)).tolist() == [1] * 28


def test_the_first_wins_ties():
    actual = np.zeros((COUNT, STEPS))
    assert speakers([actual + 1, actual - 1], origins_of(actual))[-1] == 0


def test_who_was_never_scored_is_never_preferred():
    actual = np.zeros((COUNT, STEPS))
    silent = np.full_like(actual, np.nan)
    assert speakers([silent, actual + 9], origins_of(actual)).tolist() == [1] * 28
    assert speakers([actual + 9, silent], origins_of(actual))[-1] == 0


def test_a_single_rival_speaks_everywhere():
    actual = np.zeros((3, STEPS))
    assert speakers([actual], origins_of(actual)).tolist() == [0, 0, 0]


def test_a_day_counts_when_its_whole_horizon_is_over():
    actual = np.zeros((COUNT, 72))
    floor, asked = np.full_like(actual, 1.0), np.full_like(actual, 2.0)
    spoke = speakers([floor, asked], origins_of(actual, days=3)).tolist()
    assert spoke == [1] * (FEWEST_OVER + 2) + [0] * (COUNT - FEWEST_OVER - 2)


@given(
    seed=st.integers(0, 2**32 - 1),
    rivals=st.integers(1, 4),
    days=st.integers(1, 3),
    first=st.integers(0, COUNT - 1),
)
@pytest.mark.filterwarnings("error")
def test_nothing_from_an_origin_on_decides_who_speaks_up_to_it(seed, rivals, days, first):
    rng = np.random.default_rng(seed)
    hours = rng.normal(0, 1, 24 * (COUNT + days))
    said = rng.normal(0, 1, (rivals, COUNT, 24 * days))
    before = speakers(list(said), origins_of(actual_of(hours, days), days=days))
    hours[24 * first :] = rng.normal(0, 9, len(hours) - 24 * first)
    hours[24 * first :: 7] = np.nan
    said[:, first + 1 :] *= 3
    after = speakers(list(said), origins_of(actual_of(hours, days), days=days))
    assert before[: first + 1].tolist() == after[: first + 1].tolist()


def actual_of(hours, days):
    """What came after each origin."""
    return np.stack([hours[24 * row : 24 * (row + days)] for row in range(COUNT)])


def test_an_origin_is_over_with_its_last_step():
    origins = origins_of(np.zeros((3, 48)), days=2)
    second = origins.moments[1]
    assert origins.over_at(second + timedelta(days=1)).tolist() == [True, False, False]
    assert origins.over_at(second + timedelta(days=2) - HOUR).tolist() == [True, False, False]
    assert origins.over_at(second + timedelta(days=2)).tolist() == [True, True, False]
