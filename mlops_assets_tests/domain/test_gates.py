"""Gates answer with the number and the limit; silence and no number open nothing."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.circuit import GatePolicy
from mlops_assets.domain.evaluation import ChampionTest
from mlops_assets.domain.gates import (
    Contest,
    Verdict,
    adjusted_p_values,
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


def test_adjusted_p_values_are_benjamini_and_hochbergs():
    stats = pytest.importorskip("scipy.stats")
    p_values = [0.0001, 0.003, 0.003, 0.02, 0.4, 0.04, 0.9, 0.05]
    ours = adjusted_p_values({str(number): p for number, p in enumerate(p_values)})
    theirs = stats.false_discovery_control(p_values)
    assert [ours[str(number)] for number in range(8)] == pytest.approx(list(theirs))
    assert adjusted_p_values({}) == {}


@given(st.dictionaries(st.text(), st.floats(0, 1), min_size=1))
def test_an_adjusted_p_value_is_never_smaller_and_keeps_the_order(p_values):
    adjusted = adjusted_p_values(p_values)
    assert all(p <= adjusted[key] <= 1 for key, p in p_values.items())
    ordered = sorted(p_values, key=p_values.__getitem__)
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(ordered))


def contest_of(factor, *, origins=28, seed=0, noise=0.02):
    """The proof of a model whose error is the incumbent's times ``factor``, with noise."""
    days = 1 + 0.01 * ((np.arange(origins * 4) * 7919 + seed) % 101).reshape(origins, 4)
    shaken = 1 + noise * np.sin(np.arange(origins * 4) * 2.3 + seed).reshape(origins, 4)
    rows = {
        "actual": np.zeros(days.shape).tolist(),
        "forecast": (days * factor * shaken).tolist(),
        "incumbent": days.tolist(),
    }
    return proof(
        metrics={"wape": 0.05 * factor, "coverage_95": 0.95},
        floor={"wape": 1.0},
        backtest=rows,
    )


def champion_of(document, contest=None):
    return judge_model(document, GatePolicy(), contest)[1]


def test_a_significant_loss_on_common_origins_is_refused_with_its_numbers():
    verdict = champion_of(contest_of(1.10))
    assert verdict.refuses
    for part in ("on 28 common origins", "at least 9.", "significantly over the margin 2.00 %"):
        assert part in verdict.reason
    assert "limit 0.05" in verdict.reason
    assert "circuits" not in verdict.reason


def test_a_loss_within_the_margin_or_within_the_noise_passes():
    assert champion_of(contest_of(1.01)).passed
    unsure = champion_of(contest_of(1.03, noise=0.9))
    assert unsure.passed
    assert "not significantly over the margin" in unsure.reason


def test_too_few_common_origins_let_the_figure_decide():
    verdict = champion_of(contest_of(1.5, origins=4))
    assert verdict.refuses
    assert "on 4 common origins, too few for a bound; over the margin" in verdict.reason
    assert champion_of(contest_of(1.01, origins=4)).passed


def test_origins_that_the_incumbent_learned_from_do_not_count():
    document = contest_of(1.10)
    document["backtest"]["incumbent"][:21] = [[None] * 4] * 21
    assert "on 7 common origins" in champion_of(document).reason
    document["backtest"]["incumbent"] = [[None] * 4] * 28
    assert "common origins" not in champion_of(document).reason


def test_of_many_circuits_one_that_loses_by_chance_is_not_refused_and_a_true_loser_is():
    proofs = {f"P1/C{number}": contest_of(1.0, seed=number) for number in range(50)}
    proofs["P1/X1"] = contest_of(1.10)
    proofs["P1/X2"] = proof(incumbent=None)
    proofs["P1/X3"] = proof(backtest={})
    together = contests(proofs, 0.02)
    assert together.keys() == proofs.keys() - {"P1/X2", "P1/X3"}
    refused = [key for key in together if champion_of(proofs[key], together[key]).refuses]
    assert refused == ["P1/X1"]
    assert "beside 51 circuits" in champion_of(proofs["P1/X1"], together["P1/X1"]).reason
    chance = Contest(ChampionTest(origins=28, worse=0.05, lower=0.021, p_value=0.04), 0.3, 51)
    assert champion_of(contest_of(1.05), chance).passed


def test_many_true_losers_are_all_refused():
    proofs = {f"P1/C{number}": contest_of(1.10, seed=number) for number in range(200)}
    together = contests(proofs, 0.02)
    assert all(champion_of(proofs[key], together[key]).refuses for key in proofs)


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
        proof(backtest={}),
        proof(backtest={"actual": [[1, 2], [3]], "forecast": [[1]], "incumbent": [[1]]}),
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


def test_verdicts_of_many_circuits_become_one_a_gate():
    other = Verdict("coverage", passed=True, reason="wide")
    merged = by_gate({"P1/C1": [YES, other], "P1/C2": [NO]})
    assert [(each.gate, each.reason) for each in merged] == [
        ("skill", "P1/C2: bad"),
        ("coverage", "1 circuit: wide"),
    ]
    assert by_gate({}) == ()


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
