"""Gates answer with the number and the limit; silence and no number open nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.circuit import GatePolicy
from mlops_assets.domain.gates import (
    Verdict,
    judge_approval,
    judge_base,
    judge_champion,
    judge_coverage,
    judge_evidence,
    judge_lineage,
    judge_model,
    judge_rollback_plan,
    judge_skill,
    judge_test,
    over_circuits,
    refusals,
)

ERRORS = st.floats(0.001, 10)
YES = Verdict("skill", passed=True, reason="good")
NO = Verdict("skill", passed=False, reason="bad")
WARNS = Verdict("skill", passed=False, reason="so so", blocking=False)


def test_no_verdicts_open_nothing():
    assert refusals([]) == ("no gate was asked, and silence opens nothing",)


def test_all_the_reasons_are_given_at_once():
    other = Verdict("coverage", passed=False, reason="worse")
    assert refusals([NO, YES, WARNS, other]) == ("skill: bad", "coverage: worse")


def test_a_refusal_names_the_number_and_the_limit():
    verdict = judge_skill(0.06, 0.05, 0.0)
    assert not verdict.passed
    assert verdict.reason == (
        "skill -0.200 is below the minimum 0.000: WAPE 6.00 % against 5.00 % of the seasonal naive"
    )


@given(ERRORS, st.floats(0, 0.999))
def test_a_better_model_always_passes_the_floor(floor, share):
    assert judge_skill(floor * share, floor, 0.0).passed


@given(ERRORS)
def test_the_floor_itself_passes_and_whatever_is_worse_does_not(floor):
    assert judge_skill(floor, floor, 0.0).passed
    assert not judge_skill(floor * 1.01, floor, 0.0).passed
    assert not judge_skill(floor, floor, 0.1).passed


def test_a_floor_without_error_passes_only_a_model_without_error():
    assert judge_skill(0.0, 0.0, 0.0).passed
    assert not judge_skill(0.1, 0.0, 0.0).passed


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_refused(bad):
    assert not judge_skill(bad, 0.1, 0.0).passed
    assert not judge_skill(0.1, bad, 0.0).passed
    assert not judge_champion(bad, 0.1, 0.02).passed
    assert not judge_champion(0.1, bad, 0.02).passed
    assert not judge_coverage(math.nan, 0.8, blocks=True).passed


def test_without_an_incumbent_there_is_nothing_to_lose():
    assert judge_champion(9.0, None, 0.0).passed


@given(ERRORS, st.floats(0, 1))
def test_a_model_that_is_no_worse_than_the_incumbent_passes(incumbent, share):
    assert judge_champion(incumbent * share, incumbent, 0.0).passed


def test_a_worse_model_passes_only_within_the_margin():
    assert judge_champion(0.102, 0.1, 0.0201).passed
    refused = judge_champion(0.11, 0.1, 0.02)
    assert refused.reason == (
        "WAPE 11.00 % against 10.00 % of the incumbent: worse by 10.00 %; over the margin 2.00 %"
    )
    assert not refused.passed


def test_only_a_significant_loss_refuses_where_a_bound_is_known():
    assert judge_champion(0.11, 0.1, 0.02, lower_bound=-0.01).passed
    assert not judge_champion(0.11, 0.1, 0.02, lower_bound=0.05).passed
    assert "at least 5.00 % with confidence" in judge_champion(0.11, 0.1, 0.02, 0.05).reason


def test_an_incumbent_without_error_is_beaten_by_none_with_one():
    assert judge_champion(0.0, 0.0, 0.0).passed
    assert not judge_champion(0.1, 0.0, 0.5).passed


def test_coverage_warns_unless_the_policy_makes_it_block():
    warned = judge_coverage(0.7, 0.8, blocks=False)
    assert not warned.passed
    assert not warned.refuses
    assert judge_coverage(0.7, 0.8, blocks=True).refuses
    assert judge_coverage(0.8, 0.8, blocks=True).reason == (
        "the 95 % interval held 80.00 % of the actuals, which is at least 80.00 %"
    )


def test_an_interval_that_was_never_tried_warns():
    verdict = judge_coverage(None, 0.8, blocks=False)
    assert "could not be tried" in verdict.reason
    assert not verdict.passed
    assert not verdict.refuses


def proof(**changed):
    return {
        "metrics": {"wape": 0.05, "coverage_95": 0.95},
        "floor": {"wape": 0.06},
        "incumbent": {"wape": 0.05},
        "comparison": None,
    } | changed


def test_a_model_is_judged_by_its_proof():
    names = [verdict.gate for verdict in judge_model(proof(), GatePolicy())]
    assert names == ["skill", "champion", "coverage"]
    assert refusals(judge_model(proof(), GatePolicy())) == ()
    assert refusals(judge_model(proof(incumbent=None), GatePolicy())) == ()
    worse = proof(incumbent={"wape": 0.01})
    assert len(refusals(judge_model(worse, GatePolicy()))) == 1
    unsure = worse | {"comparison": {"lower_bound": 0.0}}
    assert refusals(judge_model(unsure, GatePolicy())) == ()


@pytest.mark.parametrize(
    "broken",
    [
        {},
        proof(metrics={}),
        proof(floor=None),
        proof(floor={"wape": "much"}),
        proof(incumbent={}),
        proof(comparison=7),
    ],
)
def test_a_proof_without_figures_refuses_by_name(broken):
    reasons = refusals(judge_model(broken, GatePolicy()))
    assert len(reasons) == 2
    assert all("no usable figures" in reason for reason in reasons)


def test_a_model_without_a_scored_day_is_refused():
    unscored = proof(metrics={"wape": None, "coverage_95": None, "points": 0})
    assert all(
        "no day could be scored" in reason
        for reason in refusals(judge_model(unscored, GatePolicy()))
    )
    assert refusals(judge_model(unscored, GatePolicy()))
    untried = proof(metrics={"wape": 0.05, "coverage_95": None, "points": 9})
    assert refusals(judge_model(untried, GatePolicy())) == ()


def test_evidence_names_what_is_missing():
    assert judge_evidence(()).passed
    assert judge_evidence(("metrics", "lineage")).reason == "missing: metrics, lineage"


def test_a_broken_lineage_names_the_link():
    assert judge_lineage(None).passed
    broken = judge_lineage(("model -> release", "other bytes"))
    assert (broken.refuses, broken.reason) == (True, "broken at model -> release: other bytes")


def test_a_release_passes_when_every_circuit_does():
    one = over_circuits("skill", {"P1/C1": YES})
    assert (one.passed, one.reason) == (True, "1 circuit: good")
    two = over_circuits("skill", {"P1/C1": YES, "P1/C2": YES})
    assert (two.passed, two.reason) == (True, "2 circuits: every one passes")
    three = over_circuits("skill", {"P1/C2": NO, "P1/C1": WARNS, "P1/C3": YES})
    assert (three.refuses, three.reason) == (True, "P1/C1: so so; P1/C2: bad")
    assert not over_circuits("skill", {"P1/C1": WARNS}).refuses
    assert over_circuits("skill", {}).reason == "0 circuits: every one passes"


def test_a_stale_base_names_the_circuit_and_what_to_do():
    assert judge_base({}).passed
    assert judge_base({"P1/C1": "r-2 is live"}).reason == (
        "P1/C1: r-2 is live; create a new release"
    )


def test_a_quorum_counts_people_not_signatures():
    once = judge_approval("production", approved=["a@b.c", "a@b.c"], quorum=2, refused=())
    assert not once.passed
    assert once.reason == "signed by a@b.c, 1 of 2 needed"
    assert judge_approval("production", approved=["a@b.c", "b@b.c"], quorum=2, refused=()).passed


def test_a_quorum_of_none_still_needs_one():
    refused = judge_approval("registry", approved=(), quorum=0, refused=["x: E_EXPIRED"])
    assert not refused.passed
    assert refused.gate == "registry_approval"
    assert refused.reason == "signed by nobody, 0 of 1 needed; does not count: x: E_EXPIRED"


def test_the_test_stage_must_have_judged_every_circuit():
    assert not judge_test(None, ["P1/C1"]).passed
    assert judge_test({"P1/C1": [YES]}, ["P1/C1"]).passed
    missing = judge_test({"P1/C1": [YES]}, ["P1/C1", "P1/C2"])
    assert missing.reason == "P1/C2: no gate was asked, and silence opens nothing"
    assert judge_test({"P1/C1": [NO, YES]}, ["P1/C1"]).reason == "P1/C1: skill: bad"


def test_the_way_back_must_have_been_tried():
    assert not judge_rollback_plan(None).passed
    assert judge_rollback_plan({}).passed
    assert judge_rollback_plan({"P1/C1": "its model is gone"}).reason == "P1/C1: its model is gone"
