"""Who goes on, who goes home, and what each is trusted with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.backtest import Origins
from mlops_assets.forecasters.contest import contest
from mlops_assets.forecasters.window import Window
from mlops_assets_tests.forecasters.series import HOUR, START, job_of, load_values, series_of

STEPS = 24


@dataclass(frozen=True)
class Off:
    """Says the truth of the next day, off by a share; ``fails`` from that origin on."""

    truth: np.ndarray
    start: int
    by: float
    fails: int | None = None

    def forecast(self, window, steps):
        at = window.end - self.start
        if self.fails is not None and at >= self.fails:
            raise ModelError("cannot go on")
        return self.truth[at : at + steps] * (1 + self.by)


@pytest.fixture
def arena():
    series = series_of(load_values(60))
    origins = Origins.of(series, job_of(series).spec)
    windows = [Window.of(history.series) for history in origins.histories()]
    start = windows[0].end - (origins.moments[0] - series.start) // series.step
    return series, origins, windows, start


def members_of(arena, **shares):
    series, _, _, start = arena
    return {name: Off(series.values, start, share) for name, share in shares.items()}


def run(arena, members):
    _, origins, windows, _ = arena
    return contest(members, windows, origins, STEPS)


def test_halves_go_home_but_never_below_five(arena):
    shares = {f"m{number:02d}": 0.01 * (number + 1) for number in range(16)}
    result = run(arena, members_of(arena, **shares))
    assert set(result.said) == {"m00", "m01", "m02", "m03", "m04"}
    left = [line.partition(", MAE")[0] for line in result.log]
    assert sum("left after 7 of 28 origins" in line for line in left) == 8
    assert sum("left after 14 of 28 origins" in line for line in left) == 3


def test_who_is_sent_home_is_said_with_the_moment_from_which_it_was_known(arena):
    _, origins, _, _ = arena
    shares = {f"m{number:02d}": 0.01 * (number + 1) for number in range(16)}
    left = run(arena, members_of(arena, **shares)).left
    assert sorted(left.values()) == [origins.moments[7]] * 8 + [origins.moments[14]] * 3
    assert "m15" in left
    assert "m00" not in left


@pytest.mark.parametrize("horizon", [24, 72, 14 * 24])
def test_nobody_is_sent_home_by_what_was_not_known_then(horizon):
    """At the first halving, the days of a longer horizon are not over yet."""
    said = load_values(90)
    moments = Origins.of(series_of(said), job_of(series_of(said), horizon=horizon).spec).moments
    halving = moments[len(moments) // 4]
    first = (halving - START) // HOUR
    said[first:] *= 50
    sent = []
    # What members say is the same; the readings from the halving on turn their order around.
    for truth in (said, np.append(said[:first], said[first:] * 2)):
        series = series_of(truth)
        origins = Origins.of(series, job_of(series, horizon=horizon).spec)
        windows = [Window.of(history.series) for history in origins.histories()]
        start = windows[0].end - (moments[0] - START) // HOUR
        beyond = np.append(said, said)
        members = {f"m{n}": Off(beyond, start, 0.01 * ((n * 5) % 12)) for n in range(12)}
        left = contest(members, windows, origins, horizon).left
        sent.append({name for name, when in left.items() if when <= halving})
    assert sent[0] == sent[1]
    assert len(sent[0]) == (0 if horizon > 24 * 10 else 6)


def test_who_went_home_is_not_applied_again(arena):
    series, _, windows, start = arena
    asked = []

    class Counted(Off):
        def forecast(self, window, steps):
            asked.append(window.end)
            return Off.forecast(self, window, steps)

    members = members_of(arena, **{f"m{number}": 0.01 * (number + 1) for number in range(9)})
    run(arena, members | {"worst": Counted(series.values, start, 0.9)})
    assert asked == [window.end for window in windows[:7]]


def test_the_better_one_is_trusted_more_and_the_hopeless_one_not_at_all(arena):
    result = run(arena, members_of(arena, good=0.05, fair=0.06, bad=0.5))
    assert (result.weights["good"] > result.weights["fair"]).all()
    assert (result.weights["fair"] > 0.1).all()
    assert "bad" not in result.weights
    assert sum(result.weights.values()) == pytest.approx(1)
    assert result.weights["good"].shape == (24,)


def test_the_first_origin_trusts_all_alike_and_later_ones_only_the_past(arena):
    _, origins, _, _ = arena
    result = run(arena, members_of(arena, one=0.1, other=-0.3))
    np.testing.assert_allclose(result.forecast[0], origins.actual[0] * 0.9)
    assert (np.abs(result.forecast[5] / origins.actual[5] - 1.1) < 0.01).all()


def test_errors_at_later_origins_change_no_earlier_forecast(arena):
    series, _, _, _ = arena
    members = members_of(arena, one=0.1, other=-0.11)
    before = run(arena, members).forecast
    changed = series.values.copy()
    changed[-STEPS * 10 :] *= 7
    later = series_of(changed)
    origins = Origins.of(later, job_of(later).spec)
    windows = [Window.of(history.series) for history in origins.histories()]
    after = contest(members, windows, origins, STEPS).forecast
    np.testing.assert_array_equal(after[:18], before[:18])
    assert (after[-3:] != before[-3:]).any()


def test_who_fails_at_an_origin_is_left_out_from_there_on_and_has_spoken_before(arena):
    series, origins, _, _ = arena
    fails = (origins.moments[9] - series.start) // series.step
    members = members_of(arena, steady=0.2)
    sound = run(arena, members | members_of(arena, brittle=0.01))
    result = run(arena, members | {"brittle": Off(series.values, arena[3], 0.01, fails)})
    assert set(result.weights) == {"steady"}
    np.testing.assert_array_equal(result.forecast[:9], sound.forecast[:9])
    assert (result.forecast[:9] != origins.actual[:9] * 1.2).any()
    np.testing.assert_allclose(result.forecast[9:], origins.actual[9:] * 1.2)
    when = f"{origins.moments[9]:%Y-%m-%d %H:%M}"
    assert result.log == (f"candidate brittle: left out from {when} on, cannot go on",)


def test_where_none_is_left_it_says_so(arena):
    series, origins, windows, start = arena
    with pytest.raises(ModelError, match="no member of the mean can be applied"):
        contest({"brittle": Off(series.values, start, 0.0, 0)}, windows, origins, STEPS)
    with pytest.raises(ModelError, match="no member of the mean can be fitted"):
        contest({}, windows, origins, STEPS)


def test_days_that_are_not_over_at_an_origin_weigh_nothing_there():
    """With a horizon of two days the newest origin before is only half over."""
    series = series_of(load_values(60))
    spec = job_of(series, horizon=48).spec
    origins = Origins.of(series, spec)
    windows = [Window.of(history.series) for history in origins.histories()]
    start = windows[0].end - (origins.moments[0] - series.start) // series.step
    padded = np.append(series.values, np.full(48, series.values[-1]))
    members = {"one": Off(padded, start, 0.1), "other": Off(padded, start, -0.3)}
    result = contest(members, windows, origins, 48)
    assert origins.moments[1] - origins.moments[0] == timedelta(days=1)
    for row in (0, 1):
        np.testing.assert_allclose(
            result.forecast[row],
            np.mean([member.forecast(windows[row], 48) for member in members.values()], axis=0),
        )
