"""Widths of intervals: their rank, their level, and what they may know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlops_assets.domain.conformal import conformal_widths, earlier_widths, newest_widths


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


def test_what_was_never_seen_has_no_width():
    unknown = np.full((4, 2), np.nan)
    assert np.isnan(conformal_widths(unknown).width_95).all()
    assert np.isnan(earlier_widths(unknown)[0]).all()
