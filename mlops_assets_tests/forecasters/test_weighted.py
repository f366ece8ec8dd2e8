"""A mean that trusts the better ones more, and never one that was worse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.weighted import Weighted, mean_of, weights_by
from mlops_assets.forecasters.window import Window


def weights_of(errors):
    """Weights at one step."""
    return weights_by(np.array(errors)[:, None])[:, 0]


ERRORS = st.lists(st.floats(0, 1e9) | st.just(float("nan")), min_size=1, max_size=12)


@given(ERRORS)
def test_weights_sum_to_one_and_never_prefer_the_worse(errors):
    weights = weights_of(errors)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    ranked = sorted(
        (error, -weight)
        for error, weight in zip(errors, weights, strict=True)
        if np.isfinite(error)
    )
    lost = [-weight for _, weight in ranked]
    assert all(better >= worse for better, worse in itertools.pairwise(lost))


def test_who_was_never_measured_counts_nothing_beside_who_was():
    assert weights_of([3.0, np.nan]).tolist() == [1.0, 0.0]
    assert weights_of([np.nan, np.nan]).tolist() == [0.5, 0.5]


def test_who_never_errs_shares_the_weight_with_nobody_who_does():
    assert weights_of([0.0, 1e-9, 0.0]).tolist() == [0.5, 0.0, 0.5]


def test_a_tenth_more_error_halves_the_weight():
    first, second = weights_of([10.0, 11.0]).tolist()
    assert second / first == pytest.approx(0.5, abs=0.05)


@given(ERRORS, st.integers(0, 2**32 - 1))
def test_a_mean_lies_between_the_lowest_and_the_highest(errors, seed):
    said = np.random.default_rng(seed).normal(0, 50, (len(errors), 5))
    mean = mean_of(said, np.repeat(weights_of(errors)[:, None], 5, axis=1))
    assert (mean <= said.max(axis=0) + 1e-9).all()
    assert (mean >= said.min(axis=0) - 1e-9).all()


def test_it_forecasts_the_mean_of_its_members():
    window = Window(np.arange(240.0), 0, 24)
    daily, weekly = SeasonalNaive(24), SeasonalNaive(168)
    model = Weighted((daily, weekly), np.array([0.75, 0.25]))
    expected = 0.75 * daily.forecast(window, 24) + 0.25 * weekly.forecast(window, 24)
    np.testing.assert_allclose(model.forecast(window, 24), expected)
    assert model.context_steps == weekly.context_steps


def test_each_step_has_its_own_weights_and_the_last_ones_hold_on():
    window = Window(np.arange(240.0) ** 1.1, 0, 24)
    daily, weekly = SeasonalNaive(24), SeasonalNaive(168)
    model = Weighted((daily, weekly), np.array([[1.0, 0.25], [0.0, 0.75]]))
    said = np.stack([daily.forecast(window, 4), weekly.forecast(window, 4)])
    found = model.forecast(window, 4)
    assert found[0] == said[0, 0]
    np.testing.assert_allclose(found[1:], 0.25 * said[0, 1:] + 0.75 * said[1, 1:])


def test_what_a_member_without_weight_says_counts_nothing_whatever_it_is():
    said = np.array([[1.0, np.inf], [np.nan, 2.0]])
    assert mean_of(said, np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "weights",
    [
        [1.0],
        [0.5, 0.4],
        [1.5, -0.5],
        [[0.5, 0.5]],
        [[0.5, 1.0], [0.5, 0.1]],
        [[], []],
        [[[1.0]]] * 2,
    ],
)
def test_weights_that_no_fit_gives_are_not_sound(weights):
    members = (SeasonalNaive(24), SeasonalNaive(168))
    assert Weighted(members, np.array([0.5, 0.5])).is_sound()
    assert Weighted(members, np.array([[0.5, 1.0], [0.5, 0.0]])).is_sound()
    assert not Weighted(members, np.array(weights)).is_sound()
