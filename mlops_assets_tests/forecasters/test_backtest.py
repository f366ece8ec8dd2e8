"""A history holds nothing from its origin on, whoever asks and however."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.readings import window_end
from mlops_assets.forecasters.backtest import ORIGINS, History, Origins
from mlops_assets_tests.forecasters.series import HOUR, START, featured, load_values, series_of

SECRET = -987654.0


def spec_of(series, **fields):
    return Spec(cutoff_date=(series.end - timedelta(seconds=1)).date(), **fields)


def reachable(thing):
    """Every object that can be reached from a thing, short of modules and classes."""
    seen, waiting = {}, [thing]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, (type, type(np))):
            continue
        seen[id(found)] = found
        waiting += gc.get_referents(found)
        if isinstance(found, np.ndarray) and found.base is not None:
            waiting.append(found.base)
    return list(seen.values())


@given(st.integers(1, 24 * 20), st.integers(-90, 90))
def test_no_reading_at_or_after_the_origin_can_be_reached(known, minutes):
    values = np.append(np.arange(float(known)), np.full(400, SECRET))
    origin = START + known * HOUR - timedelta(minutes=max(0, min(59, minutes)))
    history = History(featured(series_of(values), heat=values.copy()), origin)
    assert len(history.series) == len(history.series.features["heat"]) == known
    assert history.series.end - HOUR < origin
    for thing in reachable(history):
        if isinstance(thing, np.ndarray):
            assert SECRET not in thing
            assert thing.base is None


def test_a_history_cannot_be_written_to_and_does_not_follow_its_source():
    values = np.append(np.arange(100.0), np.full(100, SECRET))
    history = History(series_of(values), START + 100 * HOUR)
    with pytest.raises(ValueError, match="read-only"):
        history.series.values[0] = 1.0
    with pytest.raises(AttributeError):
        history.series = series_of(values)
    values[:] = SECRET
    assert SECRET not in history.series.values


def test_features_of_a_history_cannot_be_written_to_and_do_not_follow_their_source():
    heat = np.append(np.arange(100.0), np.full(100, SECRET))
    history = History(featured(series_of(np.zeros(200)), heat=heat), START + 100 * HOUR)
    seen = history.series.features["heat"]
    with pytest.raises(ValueError, match="read-only"):
        seen[0] = 1.0
    heat[:] = SECRET
    assert seen.tolist() == list(range(100))


def test_memory_behind_a_history_is_not_that_of_the_readings():
    values = np.append(np.arange(100.0), np.full(100, SECRET))
    history = History(series_of(values), START + 100 * HOUR)
    seen = history.series.values
    assert not np.shares_memory(seen, values)
    # It owns exactly its own bytes: no view of anything that is longer.
    assert seen.flags.owndata
    assert seen.base is None
    assert seen.nbytes == 100 * 8


def test_origins_are_the_last_28_midnights_with_a_whole_horizon():
    series = series_of(load_values(120))
    origins = Origins.of(series, spec_of(series))
    assert len(origins.moments) == ORIGINS
    assert origins.moments[-1] == series.end - timedelta(days=1)
    assert origins.actual.shape == (28, 24)
    np.testing.assert_array_equal(origins.actual[-1], series.values[-24:])


def test_a_longer_horizon_adds_origins_so_that_every_step_has_28():
    series = series_of(load_values(120))
    origins = Origins.of(series, spec_of(series, horizon=72))
    assert (~np.isnan(origins.actual)).sum(axis=0).min() == 28


@pytest.mark.parametrize(
    ("days", "expected"), [(0.5, 0), (2, 1), (7, 2), (14, 4), (21, 7), (30, 16), (42, 28)]
)
def test_short_series_have_fewer_origins(days, expected):
    series = series_of(load_values(days))
    assert len(Origins.of(series, spec_of(series)).moments) == expected


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Paris", "Asia/Kolkata", "Asia/Gaza"])
def test_origins_are_local_midnights_over_clock_changes(zone):
    start = datetime(2024, 2, 1, tzinfo=UTC)
    series = series_of(load_values(75), start=start)
    for moment in Origins.of(series, spec_of(series, timezone=zone)).moments:
        days = [moment.date() + timedelta(days=shift) for shift in (-1, 0, 1)]
        late = min(
            moment - window_end(day, zone) for day in days if moment >= window_end(day, zone)
        )
        assert late < HOUR
        assert (moment - start) % HOUR == timedelta(0)


def test_days_without_any_actual_are_no_origins():
    values = load_values(120)
    values[-48:] = np.nan
    series = series_of(values)
    assert Origins.of(series, spec_of(series)).moments[-1] == series.end - timedelta(days=3)
