"""Features help where they say something, are never used too early, and are named when missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.circuit import effective_spec
from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.readings import Series
from mlops_assets.forecasters import calendar, training
from mlops_assets.forecasters.catalogue import RidgeSettings
from mlops_assets.forecasters.ridge import Ridge
from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.serialization import dump, load
from mlops_assets.forecasters.window import Asked, Window
from mlops_assets_tests.forecasters.series import (
    HOUR,
    START,
    featured,
    job_of,
    load_values,
    series_of,
)

pytestmark = pytest.mark.filterwarnings("ignore")
DAYS = 70
HORIZON = 36
NAMES = ("heat", "hour_of_day", "weekend")


def weather(days, seed=11):
    """Days of unlike heat, with a little noise."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(0, 2, days), 24) + rng.normal(0, 0.2, days * 24)


def driven(days=DAYS):
    """Readings that follow what was measured two days before."""
    heat = weather(days)
    values = load_values(days)
    values[48:] += 6 * heat[:-48]
    return featured(series_of(values), heat=heat)


@pytest.fixture(scope="module")
def series():
    return driven()


def fitted(series, *, horizon=HORIZON, features=NAMES, zone="UTC", **settings):
    asked = Asked(horizon, zone, features)
    return Ridge.fit(RidgeSettings(**settings), Window.of(series, asked=asked))


@pytest.fixture(scope="module")
def model(series):
    return fitted(series)


def test_a_feature_that_says_something_makes_the_error_smaller(series):
    spec = {"forecaster": "ridge", "horizon": 36}
    named = training.fit(job_of(series, features=("heat",), **spec))
    without = training.fit(job_of(replace(series, features={}), **spec))
    assert named.metrics.mae < 0.8 * without.metrics.mae
    assert without.metrics.mae < without.floor.mae


def test_auto_with_features_weighs_ridge_among_the_others(series):
    spec = {"effort": "fast", "features": ("heat",), "horizon": 36}
    result = training.fit(job_of(series, **spec))
    assert result.forecaster.endswith(", ridge)")
    scored = {each.forecaster: each.mae for each in result.candidates}
    assert scored["ridge"] < scored["mstl_ets"]
    model = load(result.files)
    assert model.reproduces_golden()
    assert dump(model) == result.files
    assert np.isfinite(model.apply(series, 24).value).all()


def test_named_features_survive_serialization_with_a_golden_forecast(series):
    result = training.fit(job_of(series, forecaster="ridge", features=NAMES, horizon=HORIZON))
    read = load(result.files)
    assert dump(read) == result.files
    assert read.reproduces_golden()
    assert read.method.features == NAMES
    assert read.context_features.shape == (1, len(read.context))
    later = driven(DAYS + 3)
    np.testing.assert_array_equal(
        read.apply(later, HORIZON).value,
        load(result.files).apply(shortened(later, read.context_steps), HORIZON).value,
    )


def shortened(series, steps):
    return Series(
        series.end - steps * HOUR,
        HOUR,
        series.values[-steps:],
        {name: each[-steps:] for name, each in series.features.items()},
    )


@given(st.integers(1, 24 * 10), st.sampled_from([1e6, -1e6, np.nan]))
def test_what_was_measured_nearer_than_the_horizon_changes_no_forecast(series, model, back, value):
    before = model.forecast(Window.of(series), HORIZON + 12)
    heat = series.features["heat"].copy()
    heat[-back] = value
    after = model.forecast(Window.of(featured(series, heat=heat)), HORIZON + 12)
    # A target ``ahead`` steps after the newest reading lies ``ahead + back`` after the change.
    reached = np.arange(HORIZON + 12) + back >= HORIZON
    np.testing.assert_array_equal(after[~reached], before[~reached])
    ahead = 48 - back
    assert not 0 <= ahead < HORIZON or after[ahead] != before[ahead]


@given(st.integers(1, 48), st.floats(-1e6, 1e6))
def test_what_was_measured_nearer_than_the_horizon_teaches_nothing(series, model, back, value):
    heat = series.features["heat"].copy()
    heat[-back:] = value
    np.testing.assert_array_equal(
        fitted(featured(series, heat=heat)).coefficients[:3], (model.coefficients[:3])
    )


def test_the_lag_of_a_feature_is_whole_days_of_at_least_the_horizon_and_the_lead():
    for horizon in (1, 24, 25, 48, 100):
        found = fitted(driven(), horizon=horizon)
        for lead in found.leads:
            lag = found._lag(lead)
            assert lag % 24 == 0
            assert lag >= max(horizon, lead)
        assert found.leads[-1] >= horizon + 24


def test_a_penalty_without_end_gives_the_floor(series):
    model = fitted(series, penalty=100_000, features=())
    base = SeasonalNaive(24).forecast(Window.of(series), 24)
    light = fitted(series, penalty=1, features=())
    window = Window.of(series)
    far = np.abs(light.forecast(window, 24) - base).mean()
    assert np.abs(model.forecast(window, 24) - base).mean() < 0.2 * far


def test_only_the_readings_of_the_context_count(series, model):
    window = Window.of(shortened(series, model.context_steps))
    np.testing.assert_array_equal(model.forecast(window, 24), model.forecast(Window.of(series), 24))


def test_steps_beyond_the_longest_lead_repeat_the_day_before(series, model):
    said = model.forecast(Window.of(series), model.leads[-1] + 30)
    np.testing.assert_array_equal(said[-30:], said[-54:-24])


def test_a_gap_of_a_week_is_filled_and_a_longer_one_is_refused_by_name(series, model):
    heat = series.features["heat"].copy()
    # The newest value that a forecast of HORIZON steps needs lies 48 - 35 steps before its start.
    last = len(heat) - (48 - (HORIZON - 1))
    heat[last - 24 * 7 + 1 :] = np.nan
    said = model.forecast(Window.of(featured(series, heat=heat)), HORIZON)
    assert np.isfinite(said).all()
    heat[last - 24 * 7 - 2 :] = np.nan
    with pytest.raises(ModelError, match=r"ridge: feature heat has no value in the 7 days before"):
        model.forecast(Window.of(featured(series, heat=heat)), HORIZON)


def test_a_column_that_is_gone_is_refused_by_name_when_it_is_applied(series):
    result = training.fit(job_of(series, effort="fast", features=("heat",)))
    gone = replace(series, features={})
    with pytest.raises(ModelError, match="feature heat: the readings have no such column"):
        load(result.files).apply(gone, 24)


def test_a_feature_without_any_value_leaves_ridge_out_of_auto_and_refuses_ridge_alone(series):
    empty = featured(series, heat=np.full(len(series), np.nan))
    result = training.fit(job_of(empty, effort="fast", features=("heat",)))
    assert "candidate ridge: left out, ridge: feature heat has no value to learn from" in result.log
    assert np.isfinite(load(result.files).apply(replace(series, features={}), 24).value).all()
    with pytest.raises(ModelError, match="P001/C001: ridge: feature heat has no value"):
        training.fit(job_of(empty, forecaster="ridge", features=("heat",)))


def test_gaps_and_nonsense_in_a_feature_give_finite_models(series):
    heat = series.features["heat"].copy()
    heat[:400] = np.nan
    heat[700:1000] = np.inf
    heat[::17] = np.nan
    given = featured(series, heat=heat)
    result = training.fit(job_of(given, forecaster="ridge", features=("heat",)))
    assert np.isfinite(load(result.files).apply(given, 24).value).all()
    # The second gap is longer than a week: what was not forecast in it is not scored.
    assert 20 * 24 < result.metrics.points < 28 * 24
    lines = [line for line in result.log if "no value in the 7 days" in line]
    assert len(lines) == 28 - result.metrics.points // 24
    assert lines[0].startswith("no forecast at 2024-02-1")


def test_a_feature_that_never_changes_has_no_effect(series):
    constant = featured(series, heat=np.full(len(series), 17.0))
    one = fitted(constant, features=("heat",))
    other = fitted(replace(series, features={}), features=())
    np.testing.assert_allclose(
        one.forecast(Window.of(constant), 24), other.forecast(Window.of(series), 24), rtol=1e-9
    )


def test_too_few_readings_are_refused(series):
    with pytest.raises(ModelError, match="steps can be learned from, at least"):
        fitted(shortened(series, 24 * 16))
    model = fitted(series)
    with pytest.raises(ModelError, match="readings are fewer than the"):
        model.forecast(Window.of(shortened(series, 24 * 9)), 24)


def test_other_intervals_have_the_same_lags_in_hours():
    series = Series(START, timedelta(minutes=15), load_values(40, per_day=96), {})
    model = Ridge.fit(RidgeSettings(), Window.of(series, asked=Asked(96, "UTC", ("hour_of_day",))))
    assert model.leads[:3] == (4, 8, 12)
    assert np.isfinite(model.forecast(Window.of(series), 96)).all()


def positions(*moments):
    return np.array([(moment - datetime(1970, 1, 1, tzinfo=UTC)) // HOUR for moment in moments])


def test_calendar_features_are_those_of_the_circuits_clock():
    sunday = datetime(2024, 6, 30, 22, tzinfo=UTC)
    at = positions(sunday)
    for zone, monday in (("UTC", False), ("Europe/Paris", True)):
        days = calendar.terms(("day_of_week",), at, 24, zone)[0]
        assert days.tolist() == [float(monday), 0, 0, 0, 0, 0, float(not monday)]
        assert calendar.terms(("weekend",), at, 24, zone)[0, 0] == float(not monday)
        month = calendar.terms(("month",), at, 24, zone)[0]
        assert int(np.argmax(month)) == (6 if monday else 5)
        assert month.sum() == 1


def test_the_hour_of_the_day_follows_the_clock_change():
    before, after = datetime(2024, 3, 30, 7, tzinfo=UTC), datetime(2024, 3, 31, 6, tzinfo=UTC)
    one, other = calendar.terms(("hour_of_day",), positions(before, after), 24, "Europe/Paris")
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["hour_of_day", "day_of_week", "weekend", "month", "day_of_year"])
def test_a_calendar_feature_has_as_many_terms_as_it_says(name):
    made = calendar.terms((name,), np.arange(500_000, 500_100), 24, "UTC")
    assert made.shape == (100, calendar.count(name))
    assert np.isfinite(made).all()


def test_a_young_circuit_keeps_its_features_for_later():
    spec = job_of(driven(), features=("heat",)).spec
    spec = replace(spec, cutoff_date=date(2024, 1, 3))
    young = effective_spec(spec, START)
    assert (young.forecaster, young.features) == ("cold_start", ())
