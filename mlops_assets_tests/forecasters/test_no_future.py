"""Nothing at or after an origin reaches what any forecaster of the catalogue says there.

For every entry and effort: readings and features change from an origin on, and what is said up to
that origin stays as it was, to the last bit. That covers the fit, the choice of variants, who is
sent home, who fails, the weights, and which rival speaks. What a warm start hands on from an older
training is in `test_warm_start`.
"""

from __future__ import annotations

from functools import cache
from typing import get_args

import numpy as np
import pytest

from mlops_assets.domain.circuit import Effort
from mlops_assets.forecasters import training
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.forecasters.choice import FEWEST_OVER
from mlops_assets_tests.forecasters.series import HOUR, featured, job_of, load_values, series_of

pytestmark = pytest.mark.filterwarnings("ignore")
DAYS = 56
# Twelve days less to learn from: orders of ARIMA take their time.
FEWER_DAYS = 44
SHORT = {"window_days": 14}
FEATURES = ("heat", "hour_of_day")
# More than five, so that some are sent home on the way.
MANY = (
    "seasonal_naive, seasonal_naive:season_hours=48, seasonal_naive:season_hours=168, ridge, "
    "ridge:penalty=3, ridge:penalty=30000, mstl_ets, mstl_ets:daily"
)
CASES = {
    "auto": {"effort": "fast", "features": FEATURES},
    "auto balanced": {"effort": "balanced"},
    "auto best": {"effort": "best"},
    "seasonal_naive": {},
    "cold_start": {},
    "auto_ets": {"hyperparameters": SHORT},
    "auto_theta": {"hyperparameters": SHORT},
    "auto_ces": {"hyperparameters": SHORT},
    "auto_arima": {"hyperparameters": SHORT},
    "mstl_arima": {},
    "mstl_arima log": {"hyperparameters": {"log": True, "daily": True}},
    "mstl_ets": {},
    "ridge": {"features": FEATURES},
    "ridge of the readings": {},
    "median": {"hyperparameters": {"members": "seasonal_naive, mstl_ets:log, ridge"}},
    "weighted": {"hyperparameters": {"members": MANY}, "features": FEATURES},
    "weighted far": {"hyperparameters": {"members": MANY}, "horizon": 72},
    "weighted local": {"hyperparameters": {"members": MANY}, "timezone": "America/New_York"},
}


# Where many are weighed: before anything is known of the rivals, and after the first choice.
NUMBERS = (0, 17)


def test_every_entry_of_the_catalogue_and_every_effort_is_asked():
    assert {case.split(" ")[0] for case in CASES} == set(ALGORITHMS)
    efforts = {spec["effort"] for case, spec in CASES.items() if case.split(" ")[0] == "auto"}
    assert efforts == set(get_args(Effort))
    assert NUMBERS[0] < FEWEST_OVER < NUMBERS[1]


def other(values, heat, cut):
    """All another, with a short gap in the feature."""
    rng = np.random.default_rng(4)
    values[cut:] += rng.normal(0, 5, len(values) - cut)
    heat[cut:] = heat[cut:][::-1] * 7
    heat[cut + 30 : cut + 40] = np.nan


def repeating(values, heat, cut):
    """The same huge day again and again: the seasonal naive errs once and wins by far."""
    values[cut:] = np.resize(values[cut - 24 : cut] * 50, len(values) - cut)
    heat[cut:] = 0.0


def silent(values, heat, cut):
    """The feature ends, so that who reads it fails; the rest is as it was but for the last days."""
    heat[cut:] = np.nan
    values[-72:] += 5


def series_of_case(case, change=None, cut=None):
    """The series of a case; from index ``cut`` on it is changed."""
    days = FEWER_DAYS if case in {"auto balanced", "auto best"} else DAYS
    values, heat = load_values(days), load_values(days, seed=9)
    if change is not None:
        change(values, heat, cut)
    return featured(series_of(values), heat=heat)


def fitted(case, change=None, cut=None):
    name, spec = case.split(" ")[0], CASES[case]
    return training.fit(job_of(series_of_case(case, change, cut), forecaster=name, **spec))


@cache
def unchanged(case):
    return fitted(case)


def changed(case, change, number):
    """The result with another end, which begins at an origin."""
    series = series_of_case(case)
    return fitted(case, change, (unchanged(case).backtest.origins[number] - series.start) // HOUR)


def assert_same_up_to(case, result, number):
    before, after = unchanged(case).backtest, result.backtest
    assert list(after.origins) == list(before.origins)
    # Hours whose actual is absent are not forecast; those are the same in both.
    np.testing.assert_array_equal(after.forecast[: number + 1], before.forecast[: number + 1])
    np.testing.assert_array_equal(after.floor[: number + 1], before.floor[: number + 1])
    assert (after.forecast[number + 1 :] != before.forecast[number + 1 :]).any()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_from_an_origin_on_reaches_what_is_said_up_to_it(case, number):
    assert_same_up_to(case, changed(case, other, number), number)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("case", ["auto", "cold_start"])
def test_another_winner_changes_nothing_that_was_said_before_it_won(case, number):
    result = changed(case, repeating, number)
    assert unchanged(case).forecaster != result.forecaster == "seasonal_naive"
    assert_same_up_to(case, result, number)


@pytest.mark.parametrize("case", ["auto", "weighted"])
def test_who_fails_later_has_spoken_before(case):
    result = changed(case, silent, 17)
    assert any("ridge: left out from" in line for line in result.log)
    assert_same_up_to(case, result, 17)


def test_who_speaks_is_chosen_by_what_is_known():
    """The seasonal naive wins in the end, and speaks only after it was known to win."""
    result = changed("cold_start", repeating, 17)
    floor = (result.backtest.forecast == result.backtest.floor).all(axis=1)
    assert floor.tolist() == [False] * 19 + [True] * 9
    said = "backtest: who would have been chosen, origins: seasonal_naive 9, cold_start 19"
    assert said in result.log
    assert result.metrics.mae > result.floor.mae


def test_somebody_is_sent_home_where_many_compete():
    """Otherwise the tests above would say nothing about halving."""
    for case in ("weighted", "weighted far", "auto", "auto best"):
        assert any("left after" in line for line in unchanged(case).log)
