"""Metrics, intervals and the comparison of champions."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlops_assets.domain.evaluation import (
    Backtest,
    _chance,
    champion_test,
    metrics,
    paired_bound,
    pooled_skill,
    seasonal_scale,
    skill,
)

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


def scored(actual, forecast, *, width=1.0, scale=1.0):
    actual, forecast = np.array(actual, dtype=float), np.array(forecast, dtype=float)
    low, high = forecast - width, forecast + width
    return metrics(actual, forecast, low, high, low, high, scale)


def backtest(ours, theirs, *, actual=0.0, floor=1.0):
    ours = np.array(ours, dtype=float)
    origins = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(len(ours))]
    truth = np.full(ours.shape, actual)
    rival = None if theirs is None else np.array(theirs, dtype=float)
    return Backtest(origins, truth, ours, np.full(ours.shape, floor), rival)


def test_metrics_are_those_of_the_formulas():
    result = scored([1, 2, 3, 4], [1, 3, 3, 2], scale=0.5)
    assert result.mae == 0.75
    assert result.rmse == pytest.approx(math.sqrt(5 / 4))
    assert result.wape == 0.3
    assert result.mase == 1.5
    assert result.r2 == 0.0
    assert result.coverage_80 == 0.75
    assert result.points == 4


def test_hours_without_an_actual_or_a_forecast_are_not_scored():
    assert scored([1, np.nan, 3], [2, 2, np.nan]).points == 1


def test_nothing_scored_is_nan_and_zero_points():
    result = scored([np.nan], [1])
    assert result.points == 0
    assert math.isnan(result.mae)
    assert math.isnan(result.coverage_95)


def test_all_zero_actuals_have_no_wape_unless_they_were_met():
    assert math.isnan(scored([0, 0], [1, 0]).wape)
    assert scored([0, 0], [0, 0], scale=0.0).wape == 0
    assert scored([0, 0], [0, 0], scale=0.0).mase == 0
    assert scored([5, 5], [5, 5]).r2 == 1.0


@given(arrays(float, (4, 6), elements=NUMBERS), arrays(float, (4, 6), elements=NUMBERS))
def test_rmse_is_never_below_mae(actual, forecast):
    result = scored(actual, forecast)
    assert result.rmse >= result.mae * (1 - 1e-12) - 1e-100
    assert 0 <= result.coverage_80 <= 1


def test_the_seasonal_scale_skips_gaps():
    assert seasonal_scale(np.array([1.0, 2.0, np.nan, 4.0, 7.0, 9.0]), 2) == 3.5
    assert math.isnan(seasonal_scale(np.array([1.0]), 24))


@pytest.mark.parametrize("theirs", [None, [[np.nan, np.nan]] * 8])
def test_without_common_origins_nothing_is_worse(theirs):
    comparison = paired_bound(backtest([[1, 2]] * 8, theirs))
    assert comparison.origins == 0
    assert not comparison.significantly_worse(0.0)


def test_a_clearly_worse_candidate_is_significantly_worse():
    comparison = paired_bound(backtest([[2, 2]] * 28, [[1, 1]] * 28))
    assert comparison.difference == 1.0
    assert comparison.significantly_worse(0.02)
    assert not comparison.significantly_worse(1.5)


def test_noise_alone_is_not_significant():
    rng = np.random.default_rng(1)
    ours, theirs = np.abs(rng.normal(10, 3, (2, 28, 24)))
    assert not paired_bound(backtest(ours, theirs)).significantly_worse(0.02)


def test_origins_the_incumbent_learned_from_are_not_compared():
    theirs = np.ones((10, 2))
    theirs[:3] = np.nan
    assert paired_bound(backtest(np.ones((10, 2)), theirs)).origins == 7


@given(arrays(float, (9, 3), elements=st.floats(0, 100)), st.floats(0.01, 5))
def test_a_better_candidate_is_never_worse_and_the_bound_repeats(theirs, gain):
    pair = backtest(np.maximum(theirs - gain, 0), theirs)
    assert not paired_bound(pair).significantly_worse(0.0)
    assert paired_bound(pair) == paired_bound(pair)


def test_skill_is_zero_for_the_floor_itself_and_for_two_exact_forecasts():
    assert skill(0.2, 0.2) == 0.0
    assert skill(0.05, 0.2) == 0.75
    assert skill(0.0, 0.0) == 0.0
    assert skill(0.1, 0.0) == -1.0


def test_pooled_skill_sums_errors_before_it_divides():
    large = backtest([[10.0]], None, floor=20.0)
    small = backtest([[2.0]], None, floor=1.0)
    assert pooled_skill([large, small]) == pytest.approx(1 - 12 / 21)


def champion(ours, theirs, margin=0.02):
    actual = np.zeros(np.shape(ours))
    return champion_test(actual, np.array(ours, float), np.array(theirs, float), margin=margin)


@pytest.mark.parametrize("freedom", [1, 2, 3, 8, 9, 27])
@pytest.mark.parametrize("ratio", [-3.0, -0.4, 0.0, 0.5, 2.0, 6.0])
def test_the_chance_is_that_of_students_t(freedom, ratio):
    stats = pytest.importorskip("scipy.stats")
    assert _chance(ratio, 1.0, freedom) == pytest.approx(stats.t.sf(ratio, freedom), abs=1e-12)


def test_without_a_common_origin_there_is_no_test():
    assert champion([[1.0]] * 9, [[np.nan]] * 9) is None


def test_too_few_origins_give_a_figure_and_no_confidence():
    test = champion([[1.5]] * 6, [[1.0]] * 6)
    assert (test.origins, test.worse, test.p_value) == (6, 0.5, None)


def test_a_loss_that_never_varies_is_certain_and_so_is_a_gain():
    assert champion([[1.5]] * 28, [[1.0]] * 28).p_value == 0.0
    assert champion([[1.01]] * 28, [[1.0]] * 28).p_value == 1.0
    assert champion([[0.0]] * 28, [[0.0]] * 28).p_value == 1.0


def test_an_exact_incumbent_is_infinitely_better():
    assert champion([[1.0]] * 28, [[0.0]] * 28).worse == math.inf
    assert champion([[0.0]] * 28, [[0.0]] * 28).worse == 0.0


def test_the_test_is_paired_so_a_common_bad_day_says_nothing():
    rng = np.random.default_rng(3)
    days = np.exp(rng.normal(0, 1, (28, 1)))
    test = champion(days * 1.10 + rng.normal(0, 0.001, (28, 24)), days)
    assert test.worse == pytest.approx(0.10, abs=0.01)
    assert test.lower < test.worse
    assert test.p_value < 0.05


def test_where_nothing_differs_about_one_in_twenty_seems_to():
    rng = np.random.default_rng(11)
    errors = np.abs(rng.normal(10, 3, (400, 2, 28, 24)))
    found = [champion(ours, theirs, margin=0.0).p_value <= 0.05 for ours, theirs in errors]
    assert 0.01 < np.mean(found) < 0.09


def test_intervals_without_a_width_have_no_coverage():
    assert math.isnan(scored([1, 2], [1, 2], width=np.nan).coverage_95)
