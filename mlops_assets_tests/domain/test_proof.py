"""What gates make of a proof that has gaps: a cold start has few days to be judged on."""

from __future__ import annotations

import pytest

from mlops_assets.domain.circuit import GatePolicy
from mlops_assets.domain.gates import judge_model, refusals


def proof(*, points=24, wape=0.05, coverage=0.95, floor=0.05, forecaster="mstl_ets"):
    metrics = {"points": points, "wape": wape, "coverage_95": coverage}
    return {
        "forecaster": forecaster,
        "metrics": metrics,
        "floor": {"wape": floor},
        "incumbent": None,
        "comparison": None,
    }


@pytest.mark.parametrize("blocks", [True, False])
def test_an_interval_that_could_not_be_tried_warns_or_blocks_as_the_policy_says(blocks):
    verdicts = judge_model(proof(coverage=None), GatePolicy(coverage_blocks=blocks))
    assert [verdict.passed for verdict in verdicts] == [True, True, False]
    assert bool(refusals(verdicts)) is blocks
    assert verdicts[2].reason == (
        "the 95 % interval could not be tried: there are too few days to learn it from"
    )


def test_a_model_that_no_day_could_score_is_refused_with_what_to_do():
    verdicts = judge_model(proof(points=0, wape=None, coverage=None), GatePolicy())
    assert refusals(verdicts) == tuple(
        f"{gate}: no day could be scored: set a cutoff_date with at least two days of readings"
        for gate in ("skill", "champion")
    )


@pytest.mark.parametrize("forecaster", ["cold_start", "seasonal_naive"])
def test_what_serves_a_first_day_goes_on_with_a_warning_for_its_signers(forecaster):
    unscored = proof(points=0, wape=None, coverage=None, floor=None, forecaster=forecaster)
    verdicts = judge_model(unscored, GatePolicy())
    assert refusals(verdicts) == ()
    assert [(verdict.gate, verdict.passed) for verdict in verdicts] == [
        ("skill", False),
        ("champion", False),
    ]
    assert verdicts[0].reason == (
        f"not measured: no day could be scored, so {forecaster} serves unproved until "
        "`mlops refresh` gives it a cutoff_date with two days of readings or more"
    )


def test_the_floor_is_not_below_itself_though_its_choice_cost_something():
    """Beside a choice that lost to the floor, which is refused."""
    found = proof(wape=0.0502, forecaster="seasonal_naive")
    assert refusals(judge_model(found, GatePolicy())) == ()
    assert refusals(judge_model(found, GatePolicy(minimum_skill=0.1)))
    assert refusals(judge_model(proof(wape=0.0502), GatePolicy()))
    weekly = proof(wape=0.0502, forecaster="seasonal_naive:season_hours=168")
    assert refusals(judge_model(weekly, GatePolicy()))
