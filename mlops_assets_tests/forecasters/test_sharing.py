"""What a training does once: fits, windows, decompositions, calendars, and answers of a model.

Counted, not timed: a refit at each origin, or a window for each rival, would only be slower.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.forecasters import calendar, ridge, training, window
from mlops_assets.forecasters.arima import Arima
from mlops_assets.forecasters.catalogue import candidates, settings_of
from mlops_assets.forecasters.ridge import Ridge
from mlops_assets.forecasters.structured import Structured
from mlops_assets.forecasters.window import Window
from mlops_assets_tests.forecasters.series import (
    HOUR,
    START,
    featured,
    job_of,
    load_values,
    series_of,
)

pytestmark = pytest.mark.filterwarnings("ignore")
DAYS = 56
ORIGINS = 28
RIDGES = "seasonal_naive, ridge, ridge:penalty=3, ridge:penalty=30000"
# Of the readings or their logarithms, with the daily season or the weekly one too.
KINDS_OF_SEASONS = 4


class Counts:
    """Who was asked for what while a training ran."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch
        self.fits, self.windows, self.seasons = Counter(), Counter(), Counter()
        self.calendars, self.answers = Counter(), Counter()
        self._watch(Structured, "fit", lambda name, given, at, *_: (name, given, at.end), self.fits)
        self._watch(Ridge, "fit", lambda given, at: ("ridge", given, at.end), self.fits)
        self._watch(Window, "of", lambda series, *_: series.end, self.windows)
        self._watch(window, "decompose", lambda read, of: (read.tobytes(), of), self.seasons)
        self._watch(ridge, "terms", lambda _, at, *__: (at[0], len(at)), self.calendars)
        asked = Structured.forecast

        def answer(model, at, steps):
            self.answers[id(model), at.end] += 1
            return asked(model, at, steps)

        monkeypatch.setattr(Structured, "forecast", answer)

    def _watch(self, owner, name, told, counter):
        asked = getattr(owner, name)

        def noted(*given, **named):
            counter[told(*given)] += 1
            return asked(*given, **named)

        self.monkeypatch.setattr(owner, name, noted)


@pytest.fixture
def counts(monkeypatch):
    return Counts(monkeypatch)


def fit(**spec):
    heat = load_values(DAYS, seed=9)
    return training.fit(job_of(featured(series_of(load_values(DAYS)), heat=heat), **spec))


def members_of(job):
    """The labels that are fitted: all but the floor."""
    labels = settings_of(candidates(job.spec)[-1])[1].labels()
    return [label for label in labels if label != "seasonal_naive"]


def test_each_member_is_fitted_before_the_first_origin_and_the_weighted_ones_at_the_cutoff(counts):
    features = ("heat", "hour_of_day")
    result = fit(effort="fast", features=features)
    expected = members_of(job_of(series_of(load_values(DAYS)), effort="fast", features=features))
    first, end = (steps_to(result.backtest.origins[0]), steps_to(START) + 24 * DAYS)
    by_end = Counter(at for _, _, at in counts.fits)
    assert set(counts.fits.values()) == {1}
    assert by_end[first] == len(expected)
    assert 0 < by_end[end] <= len(expected)
    assert set(by_end) == {first, end}


def steps_to(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // HOUR


@pytest.mark.parametrize("effort", ["fast", "best"])
def test_every_origin_has_one_window_and_every_season_is_looked_for_once(counts, effort):
    """And once more at the cutoff, by the golden forecast, which is made as it will be served."""
    result = fit(effort=effort)
    assert [counts.windows[origin] for origin in result.backtest.origins] == [1] * ORIGINS
    newest = load_values(DAYS)[-1]
    twice = {key for key, count in counts.seasons.items() if count > 1}
    assert {np.frombuffer(read)[-1] for read, _ in twice} <= {newest, np.log(newest)}
    assert 0 < len(twice) <= KINDS_OF_SEASONS
    assert {counts.seasons[key] for key in twice} == {2}
    assert KINDS_OF_SEASONS * 7 < len(counts.seasons) <= KINDS_OF_SEASONS * (ORIGINS + 1)


def test_each_model_is_asked_once_at_an_origin_though_two_candidates_hold_it(counts):
    fit(effort="best")
    assert set(counts.answers.values()) == {1}


def test_leads_origins_and_members_share_their_calendar(counts):
    """One for what is learned from and one for what lies ahead, at an origin or the cutoff."""
    features = ("heat", "hour_of_day", "day_of_week")
    fit(forecaster="weighted", hyperparameters={"members": RIDGES}, features=features)
    learned = [count for _, count in counts.calendars if count >= 24 * 7]
    assert set(counts.calendars.values()) == {1}
    assert len(learned) == 2
    assert len(counts.calendars) == ORIGINS + 1 + len(learned)


def test_a_known_variant_tries_no_other(monkeypatch):
    """What a warm start saves: ten orders of ARIMA become one."""
    tried = []
    best = Arima._best.__func__

    def noted(cls, values, orders, period, day):
        tried.append(len(orders))
        return best(cls, values, orders, period, day)

    monkeypatch.setattr(Arima, "_best", classmethod(noted))
    values = np.random.default_rng(1).normal(0, 1, 24 * 20).cumsum()
    chosen = Arima.fit(values, 1, 24)
    alone = Arima.fit(values, 1, 24, chosen.variant)
    assert tried == [0, 10, 1]
    assert alone.variant == chosen.variant


@given(
    zone=st.sampled_from(sorted(available_timezones())),
    seconds=st.lists(st.integers(-2_000_000_000, 4_000_000_000), min_size=1, max_size=40),
)
def test_the_clock_of_many_moments_is_that_of_each(zone, seconds):
    expected = [
        second + datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset().total_seconds()
        for second in seconds
    ]
    assert calendar._local(np.array(seconds), zone).tolist() == expected


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Santiago", "Africa/Casablanca"])
def test_the_clock_is_right_at_every_quarter_hour_of_a_year(zone):
    seconds = np.arange(1_704_067_200, 1_735_689_600, 900)
    clock = ZoneInfo(zone)
    offsets = [datetime.fromtimestamp(s, clock).utcoffset().seconds for s in seconds.tolist()]
    found = calendar._local(seconds, zone) - seconds
    np.testing.assert_array_equal(found % 86_400, offsets)
