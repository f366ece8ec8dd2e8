"""Nothing at or after an origin reaches what any forecaster of the catalogue says there.

For every entry: readings and features change from an origin on, and what is said up to that origin
stays as it was, to the last bit. That covers the fit, the choice of variants, who is sent home, and
the weights. What a warm start hands on from an older training is in `test_warm_start`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mlops_assets.forecasters import training
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.forecasters.series import HOUR, featured, job_of, load_values, series_of

pytestmark = pytest.mark.filterwarnings("ignore")
DAYS = 56
SHORT = {"window_days": 14}
FEATURES = ("heat", "hour_of_day")
# More than five, so that some are sent home on the way.
MANY = (
    "seasonal_naive, seasonal_naive:season_hours=48, seasonal_naive:season_hours=168, ridge, "
    "ridge:penalty=3, ridge:penalty=30000, mstl_ets, mstl_ets:daily"
)
CASES = {
    "auto": {"effort": "fast", "features": FEATURES},
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


def test_every_entry_of_the_catalogue_is_asked():
    assert {case.split(" ")[0] for case in CASES} == set(ALGORITHMS)


def series_changed_from(cut=None):
    """The series of every case; from index ``cut`` on everything is another."""
    values, heat = load_values(DAYS), load_values(DAYS, seed=9)
    if cut is not None:
        rng = np.random.default_rng(4)
        values[cut:] += rng.normal(0, 12, len(values) - cut)
        heat[cut:] = heat[cut:][::-1] * 7
        heat[cut + 30 : cut + 40] = np.nan
    return featured(series_of(values), heat=heat)


def fitted(case, cut=None):
    name, spec = case.split(" ")[0], CASES[case]
    return training.fit(job_of(series_changed_from(cut), forecaster=name, **spec))


@cache
def unchanged(case):
    return fitted(case)


@pytest.mark.parametrize("number", [0, 10])
@pytest.mark.parametrize("case", CASES)
def test_nothing_from_an_origin_on_reaches_what_is_said_up_to_it(case, number):
    before = unchanged(case).backtest
    origin = before.origins[number]
    after = fitted(case, (origin - series_changed_from().start) // HOUR).backtest
    assert list(after.origins) == list(before.origins)
    # Hours whose actual is absent are not forecast; those are the same in both.
    np.testing.assert_array_equal(after.forecast[: number + 1], before.forecast[: number + 1])
    np.testing.assert_array_equal(after.floor[: number + 1], before.floor[: number + 1])
    assert (after.forecast[number + 1 :] != before.forecast[number + 1 :]).any()


def test_somebody_is_sent_home_where_many_compete():
    """Otherwise the test above would say nothing about halving."""
    for case in ("weighted", "weighted far", "auto"):
        assert any("left after" in line for line in unchanged(case).log)
