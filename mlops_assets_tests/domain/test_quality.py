"""Figures of a day, and the opinion about a week."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quality import Scored, day_quality, judge
from mlops_assets_tests.contracts.test_quality_table import a_day
from mlops_assets_tests.fakes.readings import a_config

CIRCUIT = CircuitKey("P1", "C1")
DAY = date(2024, 6, 20)
POLICY = a_config().policy


def scored(actual, value, *, width=1.0):
    actual, value = np.array(actual, dtype=float), np.array(value, dtype=float)
    return Scored(
        actual=actual,
        value=value,
        lo_80=value - width,
        hi_80=value + width,
        lo_95=value - 2 * width,
        hi_95=value + 2 * width,
    )


def figures(one, scale=2.0):
    return day_quality(
        one,
        circuit=CIRCUIT,
        issued_for=DAY,
        release="r-" + "1" * 12,
        model_version=1,
        fallback="none",
        hindcast=False,
        scale=scale,
    )


def test_a_days_figures_by_hand():
    day = figures(scored([10.0, 20.0, math.nan], [11.5, 17.5, 5.0]))
    assert (day.rows, day.mae, day.bias, day.mase) == (2, 2.0, -0.5, 1.0)
    assert day.wape == pytest.approx(4.0 / 30.0)
    assert (day.coverage_80, day.coverage_95) == (0.0, 0.5)
    assert (day.absolute_error, day.absolute_actual) == (4.0, 30.0)


def test_a_day_without_actuals_is_not_scored():
    assert figures(scored([math.nan], [1.0])) is None


def test_figures_without_meaning_are_nan():
    day = figures(scored([0.0], [1.0]), scale=0.0)
    assert math.isnan(day.wape)
    assert math.isnan(day.mase)
    assert day.mae == 1.0


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 1e6)), min_size=1, max_size=20))
def test_a_days_sums_give_its_wape(pairs):
    day = figures(scored(*zip(*pairs, strict=True)))
    assert day.absolute_error / day.absolute_actual == pytest.approx(day.wape)


def opinion(days, *, backtest=0.1, hindcasts_count=False, version=1, policy=POLICY):
    return judge(
        CIRCUIT,
        days,
        up_to=DAY,
        model_version=version,
        backtest_wape=backtest,
        policy=policy,
        hindcasts_count=hindcasts_count,
    )


def a_week(wape, **changed):
    return [
        a_day(
            issued_for=DAY - timedelta(days=number),
            wape=wape,
            absolute_error=wape * 240.0,
            **changed,
        )
        for number in range(7)
    ]


@pytest.mark.parametrize(
    ("wape", "degraded", "drifted"),
    [(0.10, False, False), (0.15, False, False), (0.16, False, True), (0.26, True, True)],
)
def test_degradation_is_judged_by_the_policys_ratios(wape, degraded, drifted):
    report = opinion(a_week(wape))
    assert (report.degraded, report.drifted, report.days) == (degraded, drifted, 7)
    assert f"WAPE {wape:.1%} over 7 days" in report.reason


def test_one_bad_day_degrades_nobody():
    days = a_week(0.1)
    days[3] = a_day(issued_for=days[3].issued_for, wape=0.9, absolute_error=216.0)
    assert not opinion(days).degraded


def test_under_the_least_number_of_days_nobody_is_judged():
    report = opinion(a_week(9.0)[:2])
    assert not report.degraded
    assert report.reason == "2 scored days of 3 needed to judge"


def test_intervals_that_miss_warn():
    report = opinion(a_week(0.1, coverage_95=0.5))
    assert (report.degraded, report.drifted) == (False, True)
    assert report.reason == (
        "the 95 % interval held 50.0% of the actuals over 7 days; the limit is 80%"
    )


@pytest.mark.parametrize(
    "changed",
    [{"hindcast": True}, {"fallback": "seasonal_naive"}, {"model_version": 2}],
)
def test_what_the_live_model_did_not_forecast_in_time_is_not_held_against_it(changed):
    assert opinion(a_week(9.0, **changed)).days == 0


def test_hindcasts_count_where_data_time_stands_still():
    assert opinion(a_week(9.0, hindcast=True), hindcasts_count=True).degraded


def test_days_outside_the_week_do_not_count():
    old = a_day(issued_for=DAY - timedelta(days=7))
    new = a_day(issued_for=DAY + timedelta(days=1))
    assert opinion([old, new]).days == 0


@pytest.mark.parametrize("backtest", [None, 0.0, -1.0])
def test_without_a_backtest_there_is_no_opinion(backtest):
    report = opinion(a_week(9.0), backtest=backtest)
    assert not report.degraded
    assert report.reason.startswith("no WAPE to compare")
