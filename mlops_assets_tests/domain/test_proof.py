"""What gates make of a proof that has gaps: a cold start has few days to be judged on."""

from __future__ import annotations

import pytest

from mlops_assets.domain.circuit import GatePolicy
from mlops_assets.domain.gates import judge_model, refusals


def proof(*, points=24, wape=0.05, coverage=0.95):
    metrics = {"points": points, "wape": wape, "coverage_95": coverage}
    return {"metrics": metrics, "floor": {"wape": 0.05}, "incumbent": None, "comparison": None}


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
