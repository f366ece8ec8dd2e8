"""Every question of the test stage can be answered with no."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.domain.circuit import GatePolicy
from mlops_assets.domain.validation import TEST_VERDICTS, Trial, judge
from mlops_assets_tests.domain.test_forecast import BEGIN, HOUR, WINDOW
from mlops_assets_tests.fakes.deployment import a_serving
from mlops_assets_tests.fakes.forecast import values_of

SOUND = Trial(
    window=WINDOW,
    values=values_of(BEGIN - 2 * HOUR, HOUR, np.full(26, 50.0)),
    error="",
    observed=(0.0, 100.0),
    seconds=0.1,
    rungs={"seasonal_naive": ""},
)


def failed(trial, serving=None):
    verdicts = judge(trial, serving or a_serving(), GatePolicy())
    assert tuple(verdict.gate for verdict in verdicts) == TEST_VERDICTS
    assert all(verdict.reason and "\n" not in verdict.reason for verdict in verdicts)
    return {verdict.gate: verdict.reason for verdict in verdicts if not verdict.passed}


def flat(level, **changed):
    values = values_of(BEGIN, HOUR, np.full(24, float(level)))
    return replace(values, **changed)


def test_a_sound_trial_passes():
    assert failed(SOUND) == {}


def test_no_forecast_fails_every_question_and_says_why():
    reasons = failed(replace(SOUND, values=None, error="singular matrix"))
    assert set(reasons) == set(TEST_VERDICTS)
    assert reasons["no_errors"] == "singular matrix"
    assert reasons["golden"] == "no forecast to judge: singular matrix"


@pytest.mark.parametrize(
    ("values", "gate", "said"),
    [
        (values_of(BEGIN, HOUR, np.ones(23)), "rows", "23 rows of 24"),
        (values_of(BEGIN, HOUR, np.ones(25)), "horizon", "2024-06-21T01:00Z"),
        (values_of(BEGIN, HOUR / 2, np.ones(24)), "no_gaps", "every 0:30:00"),
        (values_of(BEGIN + HOUR / 2, HOUR, np.ones(24)), "no_gaps", "00:30Z"),
        (values_of(BEGIN + HOUR, HOUR, np.ones(23)), "no_gaps", "01:00Z"),
        (flat(1, value=np.full(24, np.nan)), "finite", "24 in value"),
        (flat(1, hi_95=np.full(24, np.inf)), "finite", "24 in hi_95"),
        (flat(1, lo_80=np.full(24, 1.0, dtype=np.float32)), "schema", "lo_80 is float32"),
        (flat(1, lo_80=np.ones(3)), "schema", "shape (3,)"),
        (flat(1, lo_80=np.full(24, 9.0)), "schema", "does not hold its value"),
        (flat(201), "in_range", "allowed from -100 to 200"),
        (flat(-101), "in_range", "values from -101"),
    ],
)
def test_each_defect_fails_its_question(values, gate, said):
    assert said in failed(replace(SOUND, values=values))[gate]


def test_limits_take_the_place_of_what_was_observed():
    trial = replace(SOUND, values=flat(-150))
    assert "in_range" in failed(trial)
    assert failed(trial, a_serving(minimum="-60.0")) == {}


def test_without_readings_no_range_is_known():
    assert failed(replace(SOUND, observed=None)) == {
        "in_range": "no readings to compare the range with"
    }


def test_slowness_is_told_with_its_limit_and_only_when_it_fails():
    assert failed(replace(SOUND, seconds=31.0)) == {"latency": "31.0 s; limit 30 s"}
    assert judge(SOUND, a_serving(), GatePolicy()) == judge(
        replace(SOUND, seconds=0.2), a_serving(), GatePolicy()
    )


def test_a_broken_rung_is_named_and_no_rung_is_no_ladder():
    broken = replace(SOUND, rungs={"previous_model": "is damaged", "seasonal_naive": ""})
    assert failed(broken) == {"fallback_ladder": "previous_model: is damaged"}
    assert "fallback_ladder" in failed(replace(SOUND, rungs={}))


def test_a_flat_sensor_still_has_room_around_its_level():
    flat_sensor = replace(SOUND, observed=(50.0, 50.0))
    assert failed(flat_sensor) == {}
    assert timedelta(hours=1) == WINDOW.step
