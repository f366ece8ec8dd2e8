"""A warm start saves work, says what it began from, and never tells an origin its future."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.domain.warm_start import (
    WarmStart,
    read_warm_start,
    warm_start_document,
)
from mlops_assets.forecasters import training
from mlops_assets.forecasters.method import fit_single
from mlops_assets.forecasters.serialization import load
from mlops_assets.forecasters.warm_start import HOLDS, MARGIN
from mlops_assets.forecasters.window import Window
from mlops_assets_tests.forecasters.series import job_of, load_values, series_of

pytestmark = pytest.mark.filterwarnings("ignore")
DIGEST = "ab" * 32
DAYS = 77
LATER = 7
VARIED = (
    "mstl_arima",
    "mstl_arima:daily:log",
    "mstl_ets",
    "mstl_ets:daily",
    "auto_ets:window_days=14",
    "auto_ces:window_days=14",
    "auto_theta:window_days=14",
)


def fit(values, warm_start=None, **spec):
    return training.fit(
        replace(job_of(series_of(values), effort="fast", **spec), warm_start=warm_start)
    )


def warm(result):
    return WarmStart(model=DIGEST, learned=result.learned)


@pytest.fixture(scope="module")
def values():
    return load_values(DAYS + LATER)


@pytest.fixture(scope="module")
def old(values):
    return fit(values[: -24 * LATER])


@pytest.fixture(scope="module")
def cold(values):
    return fit(values)


@pytest.fixture(scope="module")
def new(values, old):
    return fit(values, warm(old))


@pytest.mark.parametrize("label", VARIED)
def test_the_variant_that_was_chosen_fitted_alone_is_the_same_model(label):
    window = Window.of(series_of(load_values(40)))
    chosen = fit_single(label, window, {}, {})
    alone = fit_single(label, window, {}, {label: chosen.core.variant})
    assert json.dumps(told(alone)) == json.dumps(told(chosen))


def told(model):
    parts = {name: getattr(model.core, name) for name in model.core.__slots__}
    return {
        name: part.tolist() if isinstance(part, np.ndarray) else part
        for name, part in parts.items()
    }


@pytest.mark.parametrize("label", VARIED)
def test_a_known_variant_is_fitted_whatever_would_be_chosen_and_an_unknown_one_is_chosen(label):
    window = Window.of(series_of(load_values(40)))
    others = {"arima": "2 0 2", "ets": "damped", "ces": "N", "theta": "DOTM"}
    wanted = others[label.partition(":")[0].rpartition("_")[2]]
    assert fit_single(label, window, {}, {label: wanted}).core.variant == wanted
    chosen = fit_single(label, window, {}, {}).core.variant
    assert fit_single(label, window, {}, {label: "of another release"}).core.variant == chosen


def test_a_contest_says_what_it_learned_and_when(old):
    learned = old.learned
    assert learned.since == old.backtest.origins[0]
    assert set(learned.variants) == {f"mstl_ets{flags}" for flags in VARIANTS_OF_ETS}
    assert learned.ratio == pytest.approx(old.metrics.mae / old.floor.mae)
    assert old.warm_start is None


VARIANTS_OF_ETS = ("", ":log", ":daily", ":daily:log")


def test_a_warm_training_says_what_it_began_from_and_hands_it_on(old, new):
    assert new.warm_start == warm(old)
    assert new.learned == old.learned
    assert f"warm start: from model {DIGEST[:12]}, variants of the contest of 2024-02-" in "".join(
        new.log
    )
    assert new.metrics.mae < new.floor.mae
    model = load(new.files)
    labels = [label for label, weight in weights_of(new).items() if weight]
    for label, member in zip(labels, model.method.members, strict=True):
        if label in old.learned.variants:
            assert member.core.variant == old.learned.variants[label]


def weights_of(result):
    """Members of the chosen mean that have a weight, in their order."""
    labels = result.forecaster.removeprefix("weighted(").removesuffix(")").split(", ")
    lines = {line.split(": MAE")[0].removeprefix("candidate "): line for line in result.log}
    return {label: "weight" in lines.get(label, "") for label in labels}


def test_what_it_began_from_is_all_that_is_needed_to_train_it_again(values, old, new):
    """The proof keeps it as JSON; the incumbent's files are needed for the comparison alone."""
    kept = json.loads(json.dumps(warm_start_document(new.warm_start)))
    again = fit(values, read_warm_start(kept))
    assert again.files == new.files
    assert again.log == new.log
    compared = replace(
        job_of(series_of(values), effort="fast", incumbent=old.files), warm_start=warm(old)
    )
    assert training.fit(compared).files == new.files


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"question": "another"}, "it was asked something else"),
        ({"since": timedelta(days=LATER + 1)}, "after the first origin"),
        ({"since": timedelta(days=LATER) - HOLDS - timedelta(days=1)}, "over 56 days before"),
    ],
)
def test_where_it_may_not_hold_a_full_contest_gives_the_same_bytes_as_without(
    values, old, cold, change, said
):
    learned = old.learned
    if "since" in change:
        change = {"since": learned.since + change["since"]}
    result = fit(values, WarmStart(model=DIGEST, learned=replace(learned, **change)))
    assert any(line.startswith("warm start: ") and said in line for line in result.log)
    assert result.warm_start is None
    assert result.files == cold.files
    assert result.learned == cold.learned


def test_it_holds_until_the_error_against_the_floor_has_grown_by_the_margin(values, old, new, cold):
    """Beyond it the model is a full contest's; its proof is still that of what was known."""
    ratio = new.metrics.mae / new.floor.mae
    for share, kept in ((1.001, True), (0.999, False)):
        before = replace(old.learned, ratio=ratio / (1 + MARGIN) * share)
        result = fit(values, WarmStart(model=DIGEST, learned=before))
        assert any("everything is tried again" in line for line in result.log) != kept
        assert result.files == (new if kept else cold).files
        assert result.learned == (before if kept else cold.learned)
        assert result.warm_start.learned == before
        np.testing.assert_array_equal(result.backtest.forecast, new.backtest.forecast)


@pytest.mark.parametrize(
    "spec", [{"horizon": 48}, {"timezone": "Europe/Paris"}, {"forecaster": "mstl_ets"}]
)
def test_another_question_begins_from_nothing(values, old, spec):
    result = fit(values, warm(old), **spec)
    assert result.warm_start is None
    assert result.files == fit(values, **spec).files


def repeated(values, days):
    """The same values whose last days repeat the one before them, fifty times as large."""
    values = values.copy()
    cut = len(values) - 24 * days
    values[cut:] = np.resize(values[cut - 24 : cut] * 50, 24 * days)
    return values


def test_a_mean_that_loses_to_the_floor_hands_on_what_it_chose_and_all_is_tried_again(values, old):
    """What is handed on may not depend on days that the next training is judged on."""
    lost = fit(repeated(values[: -24 * LATER], 5))
    assert lost.forecaster == "seasonal_naive"
    assert lost.learned.ratio > 1
    assert replace(lost.learned, ratio=old.learned.ratio) == old.learned
    result = fit(repeated(values, 5 + LATER), warm(lost))
    assert any("everything is tried again" in line for line in result.log)


def test_a_floor_that_never_errs_hands_on_a_ratio_that_json_has():
    hours = np.arange(24 * 60)
    repeating = 100 + np.random.default_rng(2).normal(0, 9, 24)[hours % 24]
    assert fit(repeating).learned.ratio == 1


def test_a_full_contest_is_held_from_the_origin_on_at_which_the_loss_was_known(values, old):
    """Origins before keep what the warm mean said there."""
    readings = repeated(values, 10)
    result = fit(readings, warm(old))
    full = fit(readings)
    began = next(line for line in result.log if "everything is tried again" in line)
    row = next(
        number
        for number, origin in enumerate(result.backtest.origins)
        if f"{origin:%Y-%m-%d %H:%M}" in began
    )
    assert 18 < row < 22
    assert result.files == full.files
    np.testing.assert_array_equal(result.backtest.forecast[row:], full.backtest.forecast[row:])


def test_who_was_sent_home_before_the_first_origin_stays_there_and_no_one_else(values, old, new):
    first = new.backtest.origins[0]
    left = {"mstl_ets": first, "mstl_ets:log": first + timedelta(hours=1)}
    result = fit(
        values, WarmStart(model=DIGEST, learned=replace(old.learned, left=left, ratio=1.0))
    )
    assert result.warm_start is not None
    tried = {candidate.forecaster for candidate in result.candidates}
    assert "mstl_ets" not in tried
    assert "mstl_ets:log" in tried
    assert result.learned.left == left


@pytest.mark.parametrize("end", ["noise", "the floor wins"])
@pytest.mark.parametrize("features", [(), ("hour_of_day",)])
def test_nothing_after_an_origin_reaches_its_forecast_through_the_incumbent(values, features, end):
    """The incumbent learned from 21 of the 28 origins; what it hands on did not.

    With a feature there are six members, of whom one is sent home just before the first origin.
    """
    changed, after = values.copy(), 24 * 27
    if end == "noise":
        changed[-after:] += np.random.default_rng(3).normal(0, 9, after)
    else:
        changed = repeated(values, 27)
    said, incumbents = [], []
    for readings in (values, changed):
        old = fit(readings[: -24 * LATER], features=features)
        new = fit(readings, warm(old), features=features)
        assert new.warm_start is not None
        assert any("without" in line for line in new.log) == bool(features)
        incumbents.append(old.files)
        said.append(new.backtest.forecast)
    assert incumbents[0] != incumbents[1]
    np.testing.assert_array_equal(said[0][:2], said[1][:2])
    assert (said[0][2:] != said[1][2:]).any()
