"""What a spec may name, and what it is told when it names something else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from datetime import date

import pytest

from mlops_assets.domain.circuit import Spec
from mlops_assets.forecasters.catalogue import (
    ALGORITHMS,
    ArimaSettings,
    MedianSettings,
    MstlSettings,
    SeasonalNaiveSettings,
    WeightedSettings,
    candidates,
    label_of,
    refused_features,
    seconds_of,
    settings_of,
)

EFFORTS = ("fast", "balanced", "best")


def spec(**given):
    return Spec(cutoff_date=date(2024, 6, 21), **given)


def test_the_catalogue_holds_what_specs_may_name():
    assert set(ALGORITHMS) == {
        "auto",
        "seasonal_naive",
        "cold_start",
        "auto_ets",
        "auto_theta",
        "auto_ces",
        "auto_arima",
        "mstl_arima",
        "mstl_ets",
        "ridge",
        "median",
        "weighted",
    }
    assert all(name == algorithm.name for name, algorithm in ALGORITHMS.items())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_setting_has_a_default_and_says_what_it_is(name):
    kind = ALGORITHMS[name].hyperparameters
    kind()
    assert all(item.metadata["doc"] for item in fields(kind))


@pytest.mark.parametrize("effort", EFFORTS)
def test_auto_tries_the_floor_first_and_only_what_exists(effort):
    floor, mean = candidates(spec(effort=effort))
    assert floor == "seasonal_naive"
    name, settings = settings_of(mean)
    assert name == "weighted"
    assert settings.labels()[0] == floor


def test_more_effort_never_tries_less():
    balanced, best = (settings_of(candidates(spec(effort=each))[1])[1] for each in EFFORTS[1:])
    assert set(balanced.labels()) < set(best.labels())


def test_a_named_forecaster_competes_with_nobody_and_a_young_circuit_with_the_floor():
    named = spec(forecaster="mstl_arima", hyperparameters={"log": True, "window_days": 60})
    assert candidates(named) == ("mstl_arima:log:window_days=60",)
    assert candidates(spec(forecaster="cold_start")) == ("seasonal_naive", "cold_start")


@pytest.mark.parametrize(
    ("label", "settings"),
    [
        ("mstl_arima:daily:log", MstlSettings(daily=True, log=True)),
        ("seasonal_naive:season_hours=168", SeasonalNaiveSettings(season_hours=168)),
        ("auto_arima", ArimaSettings()),
        (
            "median(seasonal_naive, mstl_ets:log)",
            MedianSettings(members="seasonal_naive, mstl_ets:log"),
        ),
        (
            "weighted(seasonal_naive, mstl_ets:window_days=60)",
            WeightedSettings(members="seasonal_naive, mstl_ets:window_days=60"),
        ),
    ],
)
def test_a_label_says_the_settings_and_back(label, settings):
    name, read = settings_of(label)
    assert read == settings
    given = {item.name: getattr(read, item.name) for item in fields(read)}
    assert settings_of(label_of(name, given)) == (name, settings)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("prophet", "'prophet' is no forecaster; there are seasonal_naive, cold_start, "),
        ("mstl_arima:weekly", "mstl_arima has no setting 'weekly'; it has window_days, daily, log"),
        ("mstl_arima:log=no", "'log=no': a switch takes no value"),
        ("mstl_arima:window_days=many", "'many' is not a whole number"),
        ("mstl_arima:window_days=3", "window_days: 3 is not within 7 to 730"),
        ("auto_ets:trend=cubic", "trend: 'cubic' is none of auto, none, additive, damped"),
        ("median(seasonal_naive)", "is not two to sixteen different labels"),
        ("median(seasonal_naive, seasonal_naive)", "is not two to sixteen different labels"),
        ("median(seasonal_naive, auto)", "'auto' cannot be a member of a combination"),
        ("weighted(seasonal_naive, median(auto_ets", "is no forecaster; there are"),
        ("weighted(seasonal_naive, median:x)", "cannot be a member of a combination"),
        ("cold_start:fast", "cold_start has no setting 'fast'; it has none"),
    ],
)
def test_a_wrong_label_is_refused_in_words(label, message):
    with pytest.raises(ValueError, match=r".*") as refused:
        settings_of(label)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["median", "weighted"])
def test_a_combination_takes_members_alone(name):
    with pytest.raises(ValueError, match=f"{name} has no setting 'weights'; it has members"):
        label_of(name, {"weights": "1"})


@pytest.mark.parametrize("effort", EFFORTS)
def test_auto_tries_the_one_that_reads_features_where_features_are_named(effort):
    without = candidates(spec(effort=effort))[1]
    named = candidates(spec(effort=effort, features=("temperature_c",)))[1]
    assert named == without.removesuffix(")") + ", ridge)"
    assert "ridge" not in without


@pytest.mark.parametrize(
    "given",
    [
        {"forecaster": "auto"},
        {"forecaster": "ridge"},
        {"forecaster": "ridge", "hyperparameters": {"penalty": 7}},
        {"forecaster": "median", "hyperparameters": {"members": "mstl_ets, ridge:penalty=7"}},
    ],
)
def test_features_are_for_who_reads_them(given):
    assert refused_features(spec(features=("temperature_c",), **given)) is None


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"auto", "ridge"}))
def test_features_are_refused_where_nobody_reads_them(name):
    assert refused_features(spec(forecaster=name)) is None
    assert refused_features(spec(forecaster=name, features=("temperature_c", "month"))) == (
        f"features temperature_c, month: {name} reads none; leave them out, or name ridge or auto"
    )


def test_the_catalogue_loads_without_any_model_library():
    code = (
        "import sys, mlops_assets.forecasters.catalogue;"
        "heavy = {'numpy', 'scipy', 'statsforecast', 'pandas', 'polars'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_training_costs_what_competes_in_it_whatever_effort_it_does_not_read():
    every = [seconds_of(spec(forecaster=name)) for name in ALGORITHMS]
    assert all(seconds > 0 for seconds in every)
    naive = {seconds_of(spec(forecaster="seasonal_naive", effort=effort)) for effort in EFFORTS}
    assert naive == {min(every)}
    fast, balanced, best = (seconds_of(spec(effort=effort)) for effort in EFFORTS)
    assert min(every) < fast < balanced < best
    assert seconds_of(spec(features=("month",), effort="fast")) > fast
    members = {"members": "seasonal_naive, auto_ets:window_days=14"}
    mean = spec(forecaster="weighted", hyperparameters=members)
    assert seconds_of(mean) == min(every) + seconds_of(spec(forecaster="auto_ets"))
