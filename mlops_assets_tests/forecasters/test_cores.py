"""Applying a fitted core model gives what the library gives, without the library."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.forecasters.arima import Arima
from mlops_assets.forecasters.ces import Ces
from mlops_assets.forecasters.decomposition import decompose
from mlops_assets.forecasters.ets import Ets
from mlops_assets.forecasters.theta import Theta

pytestmark = pytest.mark.filterwarnings("ignore")
PERIOD, FIT, START = 24, 24 * 28, 1_000_003


def load(steps: int = FIT + 120, *, seed: int = 3) -> np.ndarray:
    hours = np.arange(steps)
    noise = np.random.default_rng(seed).normal(0, 1, steps)
    level = 100 + np.cumsum(noise) * 0.3 + 0.01 * hours
    return level + 12 * np.sin(2 * np.pi * hours / 24) + np.roll(noise, 5)


@pytest.mark.parametrize("trend", ["none", "additive", "damped"])
@pytest.mark.parametrize("period", [1, PERIOD])
def test_ets_continues_as_the_librarys_forward(trend, period):
    from statsforecast.ets import ets_f, forecast_ets, forward_ets

    values = load()
    letter, damped = {"none": ("N", False), "additive": ("A", False), "damped": ("A", True)}[trend]
    fitted = ets_f(
        values[:FIT], period, model=f"A{letter}{'A' if period > 1 else 'N'}", damped=damped
    )
    model = Ets.fit(values[:FIT], START, period, trend)
    for known in (FIT, FIT + 1, FIT + 100):
        expected = forecast_ets(forward_ets(fitted, values[:known]), 48)["mean"]
        # Of a damped trend the library adds phi to the second step where the model says phi**2.
        steps = 1 if trend == "damped" else 48
        ours = model.forecast(values[:known], START, 48)
        np.testing.assert_allclose(ours[:steps], expected[:steps], rtol=1e-9)
        np.testing.assert_allclose(ours, expected, rtol=1e-2)


@pytest.mark.parametrize("variant", ["N", "S", "P", "F"])
def test_ces_continues_as_the_librarys_own_recursion(variant):
    from statsforecast import ces

    values = load()
    fitted = ces.auto_ces(values[:FIT], PERIOD, model=variant)
    model = Ces.fit(values[:FIT], START, PERIOD, variant)
    assert model.variant == variant
    expected = ces.forecast_ces(fitted, 48)["mean"]
    np.testing.assert_allclose(model.forecast(values[:FIT], START, 48), expected, rtol=1e-9)
    # A reading that equals its forecast changes nothing that follows.
    onward = model.forecast(np.append(values[:FIT], expected[:30]), START, 18)
    np.testing.assert_allclose(onward, expected[30:], rtol=1e-9)


@pytest.mark.parametrize("variant", ["STM", "OTM", "DSTM", "DOTM"])
@pytest.mark.parametrize("shift", [0, -150])
def test_theta_forecasts_what_the_library_forecasts(variant, shift):
    from statsforecast import theta

    values = load() + shift
    fitted = theta.auto_theta(values[:FIT], PERIOD, model=variant)
    model = Theta.fit(values[:FIT], START, PERIOD, variant)
    assert model.variant == variant
    expected = theta.forecast_theta(fitted, 48)["mean"]
    np.testing.assert_allclose(model.forecast(values[:FIT], START, 48), expected, rtol=1e-8)
    onward = model.forecast(np.append(values[:FIT], expected[:30]), START, 18)
    np.testing.assert_allclose(onward, expected[30:], rtol=1e-8)


@pytest.mark.parametrize(
    ("order", "seasonal"),
    [((2, 0, 2), 0), ((3, 1, 1), 0), ((2, 0, 1), 1), ((1, 1, 1), 1)],
)
def test_arima_agrees_with_the_librarys_state_space(order, seasonal):
    from statsforecast.arima import arima, forward_arima, predict_arima

    values = load(24 * 60)
    period = PERIOD if seasonal else 1
    parts = {"order": (0, seasonal, seasonal), "period": period}
    fitted = arima(values[:FIT], order=order, seasonal=parts, method="CSS")
    fitted |= {"x": values[:FIT], "xreg": None, "lambda": None}
    model = Arima._of(fitted, period, 24 * 45)
    expected = predict_arima(forward_arima(fitted, values), 24, np.ones((24, 0)), se_fit=False)
    ours = model.forecast(values, START, 24)
    assert np.abs(ours - expected).max() < 0.05 * values.std()


def test_stl_in_milliseconds_agrees_with_statsmodels():
    from statsforecast.mstl import mstl

    hours = np.arange(24 * 7 * 13)
    noise = np.random.default_rng(1).normal(0, 1, len(hours))
    week = np.where(hours // 24 % 7 > 4, -8.0, 0.0)
    values = 100 + np.cumsum(noise) * 0.2 + 12 * np.sin(2 * np.pi * hours / 24) + week + noise
    slow = mstl(values, [24, 168])
    fast = decompose(values, (24, 168))
    spread = values.std()
    assert np.abs(fast.adjusted - (slow["trend"] + slow["remainder"])).max() < 0.05 * spread
    assert np.abs(fast.last[0] - slow["seasonal24"][-24:]).max() < 0.03 * spread
    assert np.abs(fast.last[1] - slow["seasonal168"][-168:]).max() < 0.03 * spread


def test_seasons_and_the_rest_add_up_to_the_series():
    values = load(24 * 14)
    parts = decompose(values, (24,))
    np.testing.assert_allclose(parts.adjusted[-24:] + parts.last[0], values[-24:])
    np.testing.assert_array_equal(parts.extend(30)[24:], parts.last[0][:6])


def test_lengths_that_are_not_whole_seasons_are_refused():
    with pytest.raises(ValueError, match="50 values are not two or more whole seasons of 24"):
        decompose(np.ones(50), (24,))


def test_a_state_far_from_its_anchor_keeps_its_phase():
    values = load(24 * 60)
    for model in (Ets.fit(values[:FIT], START, 24, "none"), Ces.fit(values[:FIT], START, 24)):
        late = model.forecast(values[FIT + 24 * 5 :], START + FIT + 24 * 5, 24)
        exact = model.forecast(values, START, 24)
        assert np.abs(late - exact).max() < 0.5 * values.std()
