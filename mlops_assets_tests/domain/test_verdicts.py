"""Every verdict whole: which gate, whether it passes and blocks, and the sentence that says why."""

from __future__ import annotations

import pytest

from mlops_assets.domain.circuit import GatePolicy
from mlops_assets.domain.evaluation import ChampionTest
from mlops_assets.domain.gates import (
    Contest,
    Verdict,
    by_gate,
    contests,
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
)
from mlops_assets_tests.domain.test_gates import NO, WARNS, YES, contest_of, proof


def yes(gate, reason, *, blocking=True):
    return Verdict(gate, passed=True, reason=reason, blocking=blocking)


def no(gate, reason, *, blocking=True):
    return Verdict(gate, passed=False, reason=reason, blocking=blocking)


def champion(test, adjusted, circuits=1):
    return judge_champion(0.055, 0.05, 0.02, contest=Contest(test, adjusted, circuits))


LOST = ChampionTest(origins=28, worse=0.1, lower=0.07, p_value=0.01)
FEW = ChampionTest(origins=4, worse=0.02, lower=0.0, p_value=None)
UNSCORED = "no day could be scored: set a cutoff_date with at least two days of readings"
LOSS = "WAPE 5.50 % against 5.00 % of the incumbent: worse by 10.00 % on 28 common origins, "
BESIDE = "at least 7.00 % with 95 % confidence; "

VERDICTS = {
    "evidence": (lambda: judge_evidence(()), yes("evidence", "complete, every digest verified")),
    "no evidence": (lambda: judge_evidence(("metrics",)), no("evidence", "missing: metrics")),
    "lineage": (
        lambda: judge_lineage(None),
        yes("lineage", "readings, training data, model and release fit, recomputed from storage"),
    ),
    "no lineage": (lambda: judge_lineage(("a -> b", "c")), no("lineage", "broken at a -> b: c")),
    "skill": (
        lambda: judge_skill(0.05, 0.1, 0.5),
        yes(
            "skill",
            "skill 0.500 is at least the minimum 0.500: WAPE 5.00 % against 10.00 % of the "
            "seasonal naive",
        ),
    ),
    "the floor's own skill": (
        lambda: judge_skill(0.0, 0.0, 0.0),
        yes(
            "skill",
            "skill 0.000 is at least the minimum 0.000: WAPE 0.00 % against 0.00 % of the "
            "seasonal naive",
        ),
    ),
    "skill that may be less than nothing": (
        lambda: judge_skill(0.06, 0.05, -0.25),
        yes(
            "skill",
            "skill -0.200 is at least the minimum -0.250: WAPE 6.00 % against 5.00 % of the "
            "seasonal naive",
        ),
    ),
    "no skill against a floor without error": (
        lambda: judge_skill(0.1, 0.0, 0.0),
        no(
            "skill",
            "skill -inf is below the minimum 0.000: WAPE 10.00 % against 0.00 % of the "
            "seasonal naive",
        ),
    ),
    "skill of no number": (
        lambda: judge_skill(float("nan"), 0.1, 0.0),
        no("skill", "WAPE nan against 0.1 is no number"),
    ),
    "no champion": (
        lambda: judge_champion(0.1, None, 0.0),
        yes("champion", "no live model could be compared: there is none, or it learned from these "
            "days"),
    ),
    "a champion of no number": (
        lambda: judge_champion(0.1, float("inf"), 0.0),
        no("champion", "WAPE 0.1 against inf is no number"),
    ),
    "a champion within the margin": (
        lambda: judge_champion(0.051, 0.05, 0.025),
        yes(
            "champion",
            "WAPE 5.10 % against 5.00 % of the incumbent: worse by 2.00 %; within the margin "
            "2.50 %",
        ),
    ),
    "a champion exactly at the margin": (
        lambda: judge_champion(0.75, 0.5, 0.5),
        yes(
            "champion",
            "WAPE 75.00 % against 50.00 % of the incumbent: worse by 50.00 %; within the margin "
            "50.00 %",
        ),
    ),
    "a champion by a lower bound": (
        lambda: judge_champion(0.06, 0.05, 0.02, 0.05),
        no(
            "champion",
            "WAPE 6.00 % against 5.00 % of the incumbent: worse by 20.00 %, at least 5.00 % with "
            "confidence; over the margin 2.00 %",
        ),
    ),
    "a champion as good as one without error": (
        lambda: judge_champion(0.0, 0.0, 0.0),
        yes(
            "champion",
            "WAPE 0.00 % against 0.00 % of the incumbent: worse by 0.00 %; within the margin "
            "0.00 %",
        ),
    ),
    "a champion that lost": (
        lambda: champion(LOST, 0.01),
        no("champion", f"{LOSS}{BESIDE}significantly over the margin 2.00 % "
           "(p 0.0100, limit 0.05)"),
    ),
    "a champion that lost at the limit": (
        lambda: champion(LOST, 0.05),
        no("champion", f"{LOSS}{BESIDE}significantly over the margin 2.00 % "
           "(p 0.0100, limit 0.05)"),
    ),
    "a champion that lost by chance": (
        lambda: champion(LOST, 0.3, 51),
        yes("champion", f"{LOSS}{BESIDE}not significantly over the margin 2.00 % "
            "(p 0.0100, 0.3000 beside 51 circuits, limit 0.05)"),
    ),
    "a champion beside one more": (
        lambda: champion(LOST, 0.02, 2),
        no("champion", f"{LOSS}{BESIDE}significantly over the margin 2.00 % "
           "(p 0.0100, 0.0200 beside 2 circuits, limit 0.05)"),
    ),
    "a champion on few origins": (
        lambda: champion(FEW, None),
        yes(
            "champion",
            "WAPE 5.50 % against 5.00 % of the incumbent: worse by 2.00 % on 4 common origins, "
            "too few for a bound; within the margin 2.00 %",
        ),
    ),
    "a champion whose test was left out beside the others": (
        lambda: champion(LOST, None),
        no("champion", f"{LOSS}too few for a bound; over the margin 2.00 %"),
    ),
    "a champion without a test of its own": (
        lambda: champion(FEW, 0.3),
        yes(
            "champion",
            "WAPE 5.50 % against 5.00 % of the incumbent: worse by 2.00 % on 4 common origins, "
            "too few for a bound; within the margin 2.00 %",
        ),
    ),
    "coverage": (
        lambda: judge_coverage(0.96, 0.9, blocks=True),
        yes("coverage", "the 95 % interval held 96.00 % of the actuals, which is at least "
            "90.00 %"),
    ),
    "too little coverage": (
        lambda: judge_coverage(0.7, 0.9, blocks=False),
        no("coverage", "the 95 % interval held 70.00 % of the actuals, which is below 90.00 %",
           blocking=False),
    ),
    "no coverage": (
        lambda: judge_coverage(None, 0.9, blocks=True),
        no("coverage", "the 95 % interval could not be tried: there are too few days to learn it "
           "from"),
    ),
    "base": (lambda: judge_base({}), yes("base", "what is live is what the release replaces")),
    "another base": (
        lambda: judge_base({"P1/C2": "b", "P1/C1": "a"}),
        no("base", "P1/C1: a; P1/C2: b; create a new release"),
    ),
    "one signature": (
        lambda: judge_approval("registry", approved=["a@b.c"], quorum=1, refused=()),
        yes("registry_approval", "signed by a@b.c, 1 of 1 needed"),
    ),
    "one signature where none is asked for": (
        lambda: judge_approval("registry", approved=["a@b.c"], quorum=0, refused=()),
        yes("registry_approval", "signed by a@b.c, 1 of 1 needed"),
    ),
    "signatures that do not count": (
        lambda: judge_approval(
            "production", approved=["b@b.c", "a@b.c"], quorum=3, refused=["x", "y"]
        ),
        no("production_approval", "signed by a@b.c, b@b.c, 2 of 3 needed; does not count: x; y"),
    ),
    "no test": (
        lambda: judge_test(None, []), no("test_validation", "the test stage has not been run")
    ),
    "a test": (
        lambda: judge_test({"P1/C1": [YES, YES]}, ["P1/C1"]),
        yes("test_validation", "1 circuit: 2 checks passed"),
    ),
    "a test that failed": (
        lambda: judge_test({"P1/C1": [NO, NO], "P1/C2": [YES]}, ["P1/C1", "P1/C2"]),
        no("test_validation", "P1/C1: skill: bad, skill: bad"),
    ),
    "a test of nobody": (
        lambda: judge_test({}, ["P1/C1"]),
        no("test_validation", "P1/C1: no gate was asked, and silence opens nothing"),
    ),
    "no rollback plan": (
        lambda: judge_rollback_plan(None), no("rollback_plan", "no rollback plan was made")
    ),
    "a rollback plan": (
        lambda: judge_rollback_plan({}), yes("rollback_plan", "dry-run: no way back is broken")
    ),
    "a broken rollback plan": (
        lambda: judge_rollback_plan({"P1/C2": "b", "P1/C1": "a"}),
        no("rollback_plan", "P1/C1: a; P1/C2: b"),
    ),
    "one circuit": (lambda: over_circuits("g", {"P1/C1": YES}), yes("g", "1 circuit: good")),
    "two circuits": (
        lambda: over_circuits("g", {"P1/C1": YES, "P1/C2": YES}),
        yes("g", "2 circuits: every one passes")
    ),
    "a circuit that fails": (
        lambda: over_circuits("g", {"P1/C2": NO, "P1/C1": WARNS}),
        no("g", "P1/C1: so so; P1/C2: bad"),
    ),
    "a circuit that warns": (
        lambda: over_circuits("g", {"P1/C1": WARNS, "P1/C2": YES}),
        no("g", "P1/C1: so so", blocking=False),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("judged", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_a_verdict_says_all_it_has_to_say(judged, expected):
    said = judged()
    assert said == expected
    assert type(said.passed) is bool


def test_a_verdict_blocks_unless_it_is_told_not_to():
    assert [v.refuses for v in (YES, NO, WARNS)] == [False, True, False]
    assert Verdict("g", passed=False, reason="r").blocking


def test_verdicts_are_merged_by_gate_in_the_order_they_were_asked():
    one, two = yes("a", "x"), no("b", "y")
    merged = by_gate({"P1/C1": (one, two), "P1/C2": (one,)})
    assert merged == (yes("a", "2 circuits: every one passes"), no("b", "P1/C1: y"))


def test_a_models_figures_are_judged_with_the_policys_limits():
    policy = GatePolicy(minimum_coverage_95=0.9, coverage_blocks=True)
    skill, champion_said, coverage = judge_model(
        proof(metrics={"wape": 0.05, "coverage_95": 0.85}), policy
    )
    assert skill == judge_skill(0.05, 0.06, policy.minimum_skill)
    assert champion_said == judge_champion(0.05, 0.05, policy.champion_margin)
    assert coverage == judge_coverage(0.85, 0.9, blocks=True)
    assert coverage.refuses


def test_a_proof_that_cannot_be_used_says_what_is_wrong_with_it():
    assert judge_model({}, GatePolicy()) == tuple(
        no(gate, "the model's proof has no usable figures: KeyError 'metrics'")
        for gate in ("skill", "champion")
    )
    unscored = proof(metrics={"wape": None, "coverage_95": None, "points": 0})
    assert judge_model(unscored, GatePolicy()) == (no("skill", UNSCORED), no("champion", UNSCORED))


def test_a_proof_that_cannot_be_used_stops_no_other_of_its_release():
    proofs = {"P1/C1": proof(backtest={}), "P1/C2": contest_of(1.1), "P1/C3": contest_of(1.0)}
    found = contests(proofs, 0.02)
    assert found.keys() == {"P1/C2", "P1/C3"}
    assert {contest.circuits for contest in found.values()} == {2}
