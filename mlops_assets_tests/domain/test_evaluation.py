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
    conformal_widths,
    earlier_widths,
    metrics,
    newest_widths,
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


def test_widths_take_the_finite_sample_rank_of_each_step():
    errors = np.tile(np.arange(1.0, 29.0)[:, None], (1, 2))
    widths = conformal_widths(errors)
    assert widths.width_80.tolist() == [24.0, 24.0]  # ceil(29 * 0.80)
    assert widths.width_95.tolist() == [28.0, 28.0]  # ceil(29 * 0.95)
    assert not widths.approximate


def test_too_few_origins_borrow_from_neighbouring_steps_and_say_so():
    errors = np.tile(np.arange(1.0, 25.0), (7, 1))
    widths = conformal_widths(errors)
    assert widths.approximate
    assert widths.width_95[0] <= 4
    assert widths.width_95[23] >= 23


def test_a_single_error_is_the_width_and_approximate():
    widths = conformal_widths(np.array([[2.0, np.nan]]))
    assert widths.width_80.tolist() == [2.0, 2.0]
    assert widths.approximate


@given(arrays(float, (30, 3), elements=st.floats(0, 1e6)), st.permutations(range(30)))
def test_widths_do_not_depend_on_the_order_of_origins(errors, order):
    widths, shuffled = conformal_widths(errors), conformal_widths(errors[list(order)])
    np.testing.assert_array_equal(widths.width_95, shuffled.width_95)
    assert (widths.width_80 <= widths.width_95).all()


@given(arrays(float, (20, 2), elements=st.floats(0, 1e3)), st.integers(10, 19))
def test_coverage_is_judged_on_origins_that_the_width_never_saw(errors, origin):
    changed = errors.copy()
    changed[origin:] += 1e6
    before = earlier_widths(errors)[1][: origin + 1]
    np.testing.assert_array_equal(before, earlier_widths(changed)[1][: origin + 1])
    assert np.isnan(before[:10]).all()


@given(arrays(float, (20, 72), elements=st.floats(0, 1e3)), st.integers(10, 19))
def test_no_width_knows_hours_that_are_still_to_come_at_its_origin(errors, origin):
    """With a horizon of three days the two origins before are not over yet."""
    changed = errors.copy()
    for row in range(20):
        changed[row, max(0, origin - row) * 24 :] += 1e6
    before = earlier_widths(errors, 24)[1][: origin + 1]
    np.testing.assert_array_equal(before, earlier_widths(changed, 24)[1][: origin + 1])
    assert np.isfinite(before[10:]).all()


def test_errors_that_grow_show_as_lost_coverage_which_a_week_of_them_mends_in_part():
    rng = np.random.default_rng(0)
    errors = np.abs(rng.normal(0, 1, (56, 24)))
    errors[35:] *= 4
    width_80, _ = earlier_widths(errors)
    inside = errors <= width_80
    assert inside[28:35].mean() > 0.75
    assert inside[35:38].mean() < 0.5
    plain = [errors[at] <= conformal_widths(errors[:at]).width_80 for at in range(42, 56)]
    assert inside[42:].mean() > np.mean(plain) + 0.05


@given(arrays(float, (28, 3), elements=st.floats(0, 1e6)), st.floats(0.01, 100))
def test_widths_stand_at_the_level_of_the_newest_week_at_most_twice_or_half(errors, factor):
    widths, level = conformal_widths(errors), newest_widths(errors)
    assert (level.width_80 <= 2 * widths.width_80 * (1 + 1e-12)).all()
    assert (level.width_95 >= 0.5 * widths.width_95 * (1 - 1e-12)).all()
    scaled = newest_widths(errors * factor)
    np.testing.assert_allclose(scaled.width_80, factor * level.width_80, rtol=1e-9)


def test_a_calm_week_narrows_the_intervals_and_a_wild_one_widens_them():
    errors = np.ones((28, 4))
    assert newest_widths(errors).width_80.tolist() == [1.0] * 4
    errors[-7:] = 0.5
    assert newest_widths(errors).width_80[0] == pytest.approx(0.5 / 0.875)
    errors[-7:] = np.nan
    assert newest_widths(errors).width_80.tolist() == [1.0] * 4


def test_less_than_two_weeks_say_nothing_about_a_level():
    errors = np.vstack([np.ones((6, 24)), np.full((7, 24), 9.0)])
    np.testing.assert_array_equal(newest_widths(errors).width_80, conformal_widths(errors).width_80)


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


def test_what_was_never_seen_has_no_width_and_no_coverage():
    unknown = np.full((4, 2), np.nan)
    assert np.isnan(conformal_widths(unknown).width_95).all()
    assert np.isnan(earlier_widths(unknown)[0]).all()
    assert math.isnan(scored([1, 2], [1, 2], width=np.nan).coverage_95)
