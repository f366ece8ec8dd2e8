"""The floor: the value one season before, whatever else is missing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.cold_start import ColdStart
from mlops_assets.forecasters.seasonal_naive import forecast
from mlops_assets.forecasters.window import Window
from mlops_assets_tests.forecasters.series import load_values, series_of


def test_each_hour_takes_the_value_one_season_before():
    series = series_of(load_values(20))
    result = forecast(series, 30, 24)
    np.testing.assert_array_equal(result.value[:24], series.values[-24:])
    np.testing.assert_array_equal(result.value[24:], series.values[-24:-18])
    assert result.start == series.end
    assert result.approximate
    assert (result.lo_95 <= result.lo_80).all()
    assert (result.hi_80 <= result.hi_95).all()


def test_a_season_is_given_in_hours_whatever_the_interval():
    series = series_of(load_values(9, per_day=96), step=timedelta(minutes=15))
    np.testing.assert_array_equal(forecast(series, 672, 168).value, series.values[-672:])


def test_a_gap_takes_the_same_hour_a_day_before_else_the_last_value():
    values = load_values(5)
    values[-4] = np.nan
    assert forecast(series_of(values), 24, 24).value[-4] == values[-28]
    early = np.array([5.0, np.nan, 7.0])
    assert Window.of(series_of(early)).values.tolist() == [5.0, 5.0, 7.0]


def test_leading_gaps_are_left_out():
    window = Window.of(series_of([np.nan, np.nan, 3.0, 4.0]))
    assert window.values.tolist() == [3.0, 4.0]


@given(st.lists(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=80))
def test_gaps_are_filled_from_the_past_alone(values):
    array = np.array(values)
    known = np.flatnonzero(~np.isnan(array))
    if not known.size:
        with pytest.raises(ModelError, match="no reading in the"):
            Window.of(series_of(array))
        return
    whole = Window.of(series_of(array)).values
    for cut in range(int(known[0]) + 1, len(array) + 1):
        part = Window.of(series_of(array[:cut])).values
        np.testing.assert_array_equal(part, whole[: len(part)])


def test_less_than_a_season_repeats_the_last_value():
    assert forecast(series_of([1.0, 2.0, 3.0]), 4, 24).value.tolist() == [3.0] * 4


def test_a_single_reading_is_enough():
    result = forecast(series_of([5.0]), 2, 24)
    assert result.value.tolist() == result.hi_95.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("values", [[], [np.nan] * 50])
def test_nothing_known_is_refused_in_one_line(values):
    with pytest.raises(ModelError, match="check that the circuit still reports"):
        forecast(series_of(values), 24, 24)


def test_cold_start_shrinks_what_one_day_showed_by_half():
    values = 100 + 10 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    result = ColdStart(24).forecast(Window.of(series_of(values)), 24)
    np.testing.assert_allclose(result, 100 + (values - 100) / 2)


def test_a_window_shares_what_two_models_ask_for():
    asked = []

    class Asked:
        def forecast(self, window, steps):
            asked.append(steps)
            return np.zeros(steps)

    window, model = Window.of(series_of(load_values(3))), Asked()
    window.forecast_by(model, 24)
    window.forecast_by(model, 24)
    assert asked == [24]
    assert window.scaled(1.0) is window.scaled(1.0)
    assert window.last(48) is window.last(48)
    assert window.decomposed((24,), None) is window.decomposed((24,), None)
    with pytest.raises(ValueError, match="read-only"):
        window.values[0] = 1.0
