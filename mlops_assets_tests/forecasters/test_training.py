"""One job in, one model and its proof out, the same every time."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mlops_assets.domain.conformal import newest_widths
from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters import seasonal_naive, training
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.forecasters.serialization import load
from mlops_assets.forecasters.structured import Structured
from mlops_assets_tests.forecasters.series import HOUR, job_of, load_values, series_of

pytestmark = pytest.mark.filterwarnings("ignore")
NAMED = sorted(set(ALGORITHMS) - {"auto"})


@pytest.fixture(scope="module")
def series():
    return series_of(load_values(77))


@pytest.fixture(scope="module")
def result(series):
    return training.fit(job_of(series))


def test_the_same_job_gives_the_same_files_bit_for_bit(series, result):
    again = training.fit(job_of(series))
    assert again.files == result.files
    assert again.log == result.log
    assert again.metrics == result.metrics
    np.testing.assert_array_equal(again.backtest.forecast, result.backtest.forecast)


def test_auto_weighs_by_error_and_beats_the_floor_on_the_same_origins(result):
    scored = {candidate.forecaster: candidate for candidate in result.candidates}
    assert result.forecaster.startswith("weighted(seasonal_naive, ")
    assert result.metrics.mae == scored[result.forecaster].mae < scored["seasonal_naive"].mae
    assert result.metrics.mae < result.floor.mae
    assert result.backtest.forecast.shape == result.backtest.floor.shape == (28, 24)
    assert result.metrics.points == result.floor.points == 28 * 24
    assert result.algorithm_version == ALGORITHMS["weighted"].version


@pytest.mark.parametrize("forecaster", ["mstl_arima", "auto_ets", "auto_theta", "auto_ces"])
def test_what_is_stored_has_the_form_that_was_backtested(series, forecaster, monkeypatch):
    asked = []
    choose = training.fit_method

    def noted(label, window, fitted, weights, variants):
        asked.append(dict(variants))
        return choose(label, window, fitted, weights, variants)

    monkeypatch.setattr(training, "fit_method", noted)
    stored = load(training.fit(job_of(series, forecaster=forecaster)).files)

    assert asked == [{forecaster: stored.method.core.variant}]


def test_every_member_of_the_stored_mean_has_the_form_that_competed(result):
    stored = load(result.files).method
    forms = sorted(
        member.core.variant for member in stored.members if isinstance(member, Structured)
    )

    weighed = [c.forecaster for c in result.candidates if c.forecaster in result.learned.variants]
    assert forms
    assert set(forms) <= {result.learned.variants[label] for label in weighed}


def test_the_floor_of_the_backtest_is_the_seasonal_naive_that_serves(series, result):
    for row, origin in enumerate(result.backtest.origins):
        known = series_of(series.values[: (origin - series.start) // HOUR])
        expected = seasonal_naive.forecast(known, 24, 24).value
        np.testing.assert_array_equal(result.backtest.floor[row], expected)


def test_widths_are_those_of_the_backtest(series, result):
    widths = newest_widths(np.abs(result.backtest.actual - result.backtest.forecast))
    forecast = load(result.files).apply(series, 24)
    np.testing.assert_allclose(forecast.hi_95 - forecast.value, widths.width_95, rtol=1e-6)
    np.testing.assert_allclose(forecast.value - forecast.lo_80, widths.width_80, rtol=1e-6)
    assert not forecast.approximate


@pytest.mark.parametrize("name", NAMED)
def test_every_forecaster_fits_saves_loads_and_applies_without_fitting(name, series):
    spec = {"forecaster": name}
    result = training.fit(job_of(series, **spec))
    model = load(result.files)
    assert model.forecaster == result.forecaster
    assert model.reproduces_golden()
    later = series_of(np.append(series.values, load_values(80)[-72:]))
    forecast = model.apply(later, 30)
    assert forecast.start == later.end
    assert len(forecast.value) == 30
    assert np.isfinite([forecast.value, forecast.lo_95, forecast.hi_95]).all()
    assert (forecast.lo_95 <= forecast.lo_80).all()
    assert (forecast.lo_80 <= forecast.value).all()
    assert (forecast.value <= forecast.hi_80).all()
    assert (forecast.hi_80 <= forecast.hi_95).all()
    np.testing.assert_array_equal(forecast.hi_95[24:] - forecast.value[24:] > 0, True)
    # Only the context counts: a longer past changes nothing.
    tail = series_of(later.values[-model.context_steps :])
    shifted = replace(tail, start=later.end - len(tail) * HOUR)
    np.testing.assert_array_equal(model.apply(shifted, 30).value, forecast.value)


def test_forecasts_beyond_the_horizon_are_marked_approximate(series, result):
    assert load(result.files).apply(series, 27).approximate


def test_where_nothing_beats_the_floor_the_floor_is_chosen():
    hours = np.arange(24 * 60)
    repeating = series_of(100 + np.random.default_rng(2).normal(0, 9, 24)[hours % 24])
    result = training.fit(job_of(repeating))
    assert result.forecaster == "seasonal_naive"
    assert result.floor.mae == 0
    # Its proof is that of a choice which had to find out first.
    errors = np.abs(result.backtest.actual - result.backtest.forecast).max(axis=1)
    assert errors[0] > 0
    assert errors[14:].tolist() == [0.0] * 14


def test_a_young_circuit_is_never_served_below_the_floor():
    for days in (2, 5, 13):
        result = training.fit(job_of(series_of(load_values(days)), forecaster="cold_start"))
        scored = {candidate.forecaster: candidate.mae for candidate in result.candidates}
        assert scored[result.forecaster] <= scored["seasonal_naive"] == result.floor.mae


@pytest.mark.parametrize("hours", [1, 3, 23, 26, 60, 24 * 13])
def test_cold_start_works_from_the_first_reading(hours):
    series = series_of(load_values(hours / 24))
    result = training.fit(job_of(series, forecaster="cold_start"))
    forecast = load(result.files).apply(series, 24)
    assert np.isfinite(forecast.value).all()
    assert (forecast.hi_95 >= forecast.value).all()
    assert forecast.approximate


def test_without_a_backtest_nothing_is_claimed():
    result = training.fit(job_of(series_of(load_values(0.5)), forecaster="cold_start"))
    assert result.forecaster == "cold_start"
    assert result.metrics.points == result.floor.points == 0
    assert "backtest: none" in result.log[1]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.full(24 * 50, 7.5), 7.5, 7.5),
        (np.zeros(24 * 50), 0.0, 0.0),
        (-load_values(50), -250.0, 0.0),
        (load_values(50) - 100, -100.0, 150.0),
        (np.where(np.arange(24 * 50) % 24 < 12, 0.0, load_values(50)), 0.0, 300.0),
    ],
    ids=["constant", "zeros", "negative", "around zero", "zero at night"],
)
@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_odd_series_train_and_stay_within_reach(values, low, high, effort):
    series = series_of(values)
    result = training.fit(job_of(series, effort=effort))
    forecast = load(result.files).apply(series, 24)
    assert (forecast.value >= low).all()
    assert (forecast.value <= high).all()
    if values.min() >= 0:
        assert (forecast.lo_95 >= 0).all()


def test_gaps_are_filled_from_the_past_and_never_scored():
    values = load_values(60)
    values[100:130] = np.nan
    values[-24 * 10 : -24 * 9] = np.nan
    values[-3:] = np.nan
    result = training.fit(job_of(series_of(values)))
    assert result.metrics.points == 28 * 24 - 24 - 3
    assert "57 gaps" in result.log[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(100, np.nan), "P001/C001: no readings up to 2024-01-05"),
        (np.zeros(0), "P001/C001: no readings up to 2023-12-31"),
        (
            np.append(load_values(60), np.full(24 * 40, np.nan)),
            (
                "P001/C001: the newest reading, 2024-02-29 23:00 UTC, is 40 days before the end "
                "of 2024-04-09: choose an earlier cutoff_date or leave the circuit out"
            ),
        ),
    ],
)
def test_readings_that_give_no_model_are_refused_in_one_line(values, message):
    with pytest.raises(ModelError) as refused:
        training.fit(job_of(series_of(values)))
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"features": ("temperature_c",)},
            "features temperature_c: the readings have no such column",
        ),
        ({"forecaster": "auto_ets", "features": ("month",)}, "features month: auto_ets reads none"),
        ({"interval": "15min"}, "readings are every 1:00:00, the spec says 15min"),
        ({"forecaster": "mstl_arima", "hyperparameters": {"log": True}}, "logarithms need posi"),
    ],
)
def test_a_spec_that_does_not_suit_the_readings_is_refused(spec, message):
    with pytest.raises(ModelError, match=message) as refused:
        training.fit(job_of(series_of(load_values(60) - 100), **spec))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("P001/C001: ")


def test_a_short_series_for_a_named_model_is_refused():
    with pytest.raises(ModelError, match="fewer than two seasons of 24 steps"):
        training.fit(job_of(series_of(load_values(1.5)), forecaster="mstl_arima"))


def test_the_incumbent_is_scored_on_the_same_origins_it_did_not_learn_from(series):
    old = training.fit(job_of(series_of(series.values[: -24 * 10]), effort="fast"))
    result = training.fit(job_of(series, incumbent=old.files, effort="fast"))
    assert result.incumbent is not None
    assert result.incumbent.points == 10 * 24
    assert np.isnan(result.backtest.incumbent[:18]).all()
    assert any("compared on 10 origins" in line for line in result.log)


def test_an_incumbent_that_learned_from_nearly_every_origin_is_not_compared(series, result):
    again = training.fit(job_of(series, incumbent=result.files, effort="fast"))
    assert again.incumbent is None
    assert any("not compared, it learned from 28 of 28 origins" in line for line in again.log)


def test_an_unreadable_incumbent_is_named_and_stops_nothing(series, result):
    broken = dict(result.files) | {"model.json": b"{}"}
    again = training.fit(job_of(series, incumbent=broken))
    assert again.incumbent is None
    assert any(line.startswith("incumbent: cannot be compared") for line in again.log)
    assert again.files == result.files


@pytest.mark.parametrize(("interval", "per_day"), [("30min", 48), ("15min", 96)])
def test_other_intervals_train_with_the_same_seasons_in_hours(interval, per_day):
    step = timedelta(days=1) / per_day
    series = series_of(load_values(40, per_day=per_day), step=step)
    result = training.fit(job_of(series, interval=interval, effort="fast"))
    assert result.backtest.actual.shape == (26, per_day)
    assert result.metrics.mae < result.floor.mae


def test_the_horizon_and_zone_of_the_spec_shape_the_backtest(series):
    result = training.fit(job_of(series, effort="fast", horizon=48, timezone="America/New_York"))
    assert result.backtest.actual.shape[1] == 48
    assert {origin.hour for origin in result.backtest.origins} <= {4, 5}


def test_the_log_names_no_clock_and_marks_the_choice(result):
    assert sum("<- chosen" in line for line in result.log) == 1
    assert result.seconds > 0
    assert not any("second" in line for line in result.log)


def test_warm_up_loads_the_library():
    training.warm_up()
    assert "statsforecast" in sys.modules


@pytest.mark.slow
def test_real_readings_stay_within_the_promised_error(real_readings):
    """Every tenth circuit, cutoff 7 days before the end, the loss pooled over circuits."""
    import polars as pl

    cut = datetime(2024, 6, 22, tzinfo=UTC)
    frame = pl.read_parquet(real_readings).sort("plant_id", "circuit_id", "timestamp")
    frame = frame.filter(pl.col("value").is_not_null().any().over("plant_id", "circuit_id"))
    sums = {"air": [0.0, 0.0], "demand": [0.0, 0.0]}
    parts = frame.partition_by(["plant_id", "circuit_id"], as_dict=True, maintain_order=True)
    for (plant, _), rows in list(parts.items())[::10]:
        values = rows["value"].to_numpy().astype(float)
        okay = (rows["quality"] == "OKAY").to_numpy() & ~np.isnan(values)
        start = rows["timestamp"][0]
        first = (cut - start) // HOUR
        model = load(training.fit(job_of(series_of(values[:first], start=start))).files)
        total = sums["air" if plant.startswith("B_") else "demand"]
        for day in range(7):
            at = first + 24 * day
            value = model.apply(series_of(values[:at], start=start), 24).value
            known = okay[at : at + 24]
            total[0] += np.abs(value - values[at : at + 24])[known].sum()
            total[1] += np.abs(values[at : at + 24])[known].sum()
    assert sums["demand"][0] / sums["demand"][1] < 0.05
    assert sums["air"][0] / sums["air"][1] < 0.30


def test_a_member_that_the_last_readings_rule_out_leaves_its_weight_to_the_others():
    """The first negative reading came after the first origin, which learned logarithms."""
    values = load_values(77)
    values[-30] = -400.0
    members = {"members": "seasonal_naive, mstl_ets:log, mstl_ets"}
    job = job_of(series_of(values), forecaster="weighted", hyperparameters=members)
    result = training.fit(job)
    assert "candidate mstl_ets:log: not for all readings, its weight goes to the others" in (
        result.log
    )
    model = load(result.files)
    assert all(getattr(member, "floor", None) is None for member in model.method.members)
    assert model.method.weights.shape == (len(model.method.members), 24)
    assert model.method.weights.sum(axis=0) == pytest.approx(1)
    assert model.apply(series_of(values), 24).value.shape == (24,)


def test_a_named_forecaster_that_the_last_readings_rule_out_is_refused_by_name():
    values = load_values(77)
    values[-30] = -400.0
    median = {"members": "seasonal_naive, mstl_ets:log"}
    with pytest.raises(ModelError, match=r"P001/C001: .*logarithms need positive readings"):
        training.fit(job_of(series_of(values), forecaster="median", hyperparameters=median))
