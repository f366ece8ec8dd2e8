"""Gates: one question each, answered with a reason that names the number and the limit.

Judges take numbers and give verdicts; they read nothing, so an auditor can ask them again. All are
asked, also after a refusal, because an approver wants all the reasons at once.

Champions of one release are compared together: p-values are adjusted as in Benjamini and Hochberg,
"Controlling the False Discovery Rate" (J. R. Statist. Soc. B 57, 1995), so that of the circuits
that are refused for losing to their incumbent at most `FALSE_DISCOVERIES` lose by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.evaluation import ChampionTest, champion_test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.circuit import GatePolicy

FLOOR = "seasonal_naive"
# What a model's backtest must answer, whatever the policy.
MODEL_GATES = ("skill", "champion")
# What serves a circuit before any day could be scored; of another model nothing would be known.
_UNSCORED = frozenset({"cold_start", FLOOR})
NO_CHAMPION = "no live model could be compared: there is none, or it learned from these days"
# The expected share of refused circuits that are no worse than their incumbent.
FALSE_DISCOVERIES = 0.05


# How a proof that is none shows.
_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate said. ``reason`` is a sentence an approver can act on."""

    gate: str
    passed: bool
    reason: str
    blocking: bool = True

    @property
    def refuses(self) -> bool:
        """Whether it stops a release."""
        return self.blocking and not self.passed


def refusals(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Return the reasons of all that refuse; an empty list of verdicts refuses too."""
    if not verdicts:
        return ("no gate was asked, and silence opens nothing",)
    return tuple(f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if verdict.refuses)


def over_circuits(gate: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """Return one verdict over a release's circuits: it passes when every circuit does.

    A circuit that fails without blocking is named and blocks nothing.
    """
    failed = {key: verdict for key, verdict in verdicts.items() if not verdict.passed}
    if not failed:
        count = f"{len(verdicts)} circuit{'s' if len(verdicts) != 1 else ''}"
        only = next(iter(verdicts.values())).reason if len(verdicts) == 1 else "every one passes"
        return Verdict(gate, passed=True, reason=f"{count}: {only}")
    return Verdict(
        gate,
        passed=False,
        reason="; ".join(f"{key}: {verdict.reason}" for key, verdict in sorted(failed.items())),
        blocking=any(verdict.blocking for verdict in failed.values()),
    )


def by_gate(circuits: Mapping[str, Sequence[Verdict]]) -> tuple[Verdict, ...]:
    """Return one verdict a gate over all circuits that it was asked about, in their order."""
    gates = dict.fromkeys(verdict.gate for verdicts in circuits.values() for verdict in verdicts)
    return tuple(
        over_circuits(
            gate, {key: v for key, said in circuits.items() for v in said if v.gate == gate}
        )
        for gate in gates
    )


def judge_evidence(missing: Sequence[str]) -> Verdict:
    """Ask whether every kind of evidence exists and verifies; ``missing`` says what does not."""
    reason = f"missing: {', '.join(missing)}" if missing else "complete, every digest verified"
    return Verdict("evidence", passed=not missing, reason=reason)


def judge_lineage(broken: tuple[str, str] | None) -> Verdict:
    """Ask whether each link from readings to release holds; ``broken`` is the first that does not.

    >>> judge_lineage(("training data -> model", "other bytes")).reason
    'broken at training data -> model: other bytes'
    """
    if broken is None:
        reason = "readings, training data, model and release fit, recomputed from storage"
    else:
        reason = f"broken at {broken[0]}: {broken[1]}"
    return Verdict("lineage", passed=broken is None, reason=reason)


def judge_skill(wape: float, floor: float, minimum: float) -> Verdict:
    """Ask whether the model beats the seasonal naive on the same origins; the floor itself does.

    >>> judge_skill(0.06, 0.05, 0.0).reason
    'skill -0.200 is below the minimum 0.000: WAPE 6.00 % against 5.00 % of the seasonal naive'
    """
    if not (math.isfinite(wape) and math.isfinite(floor)):
        return Verdict("skill", passed=False, reason=f"WAPE {wape} against {floor} is no number")
    skill = 0.0 if wape == floor else 1 - wape / floor if floor > 0 else -math.inf
    passed = skill >= minimum
    relation = "is at least" if passed else "is below"
    return Verdict(
        "skill",
        passed=passed,
        reason=f"skill {skill:.3f} {relation} the minimum {minimum:.3f}: "
        f"WAPE {_percent(wape)} against {_percent(floor)} of the seasonal naive",
    )


def judge_unscored(gate: str, forecaster: object) -> Verdict:
    """Ask whether a model may go on of which no day could be scored.

    A cold start may, with a warning that its signers see: a circuit of its first two days has
    nothing better, and its next model is measured.
    """
    young = forecaster in _UNSCORED
    reason = (
        f"not measured: no day could be scored, so {forecaster} serves unproved until "
        "`mlops refresh` gives it a cutoff_date with two days of readings or more"
        if young
        else "no day could be scored: set a cutoff_date with at least two days of readings"
    )
    return Verdict(gate, passed=False, reason=reason, blocking=not young)


@dataclass(frozen=True, slots=True)
class Contest:
    """One circuit's paired test beside those of its release: ``adjusted`` is its p-value there."""

    test: ChampionTest
    adjusted: float | None
    circuits: int


def adjusted_p_values(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Benjamini and Hochberg's adjusted p-values: min over k >= rank of p(k) * m / k.

    >>> adjusted_p_values({"a": 0.01, "b": 0.04, "c": 0.03})
    {'b': 0.04, 'c': 0.04, 'a': 0.03}
    """
    adjusted: dict[str, float] = {}
    least = 1.0
    descending = sorted(p_values.items(), key=lambda item: item[1], reverse=True)
    for passed, (key, p_value) in enumerate(descending):
        least = min(least, p_value * (len(p_values) / (len(p_values) - passed)))
        adjusted[key] = least
    return adjusted


def contests(proofs: Mapping[str, Mapping[str, Any]], margin: float) -> dict[str, Contest]:
    """Test the champions of one release together; circuits without a usable pair are left out."""
    tests = {}
    for key, proof in proofs.items():
        try:
            test = _champion_test(proof, margin)
        except _UNUSABLE:
            continue
        if test is not None:
            tests[key] = test
    known = {key: test.p_value for key, test in tests.items() if test.p_value is not None}
    adjusted = adjusted_p_values(known)
    return {key: Contest(test, adjusted.get(key), len(known)) for key, test in tests.items()}


def _champion_test(proof: Mapping[str, Any], margin: float) -> ChampionTest | None:
    import numpy as np

    rows = proof.get("backtest")
    if proof.get("incumbent") is None or rows is None or rows["incumbent"] is None:
        return None
    actual, forecast, incumbent = (
        np.array(rows[name], dtype=float) for name in ("actual", "forecast", "incumbent")
    )
    return champion_test(actual, forecast, incumbent, margin=margin)


def judge_champion(
    wape: float,
    incumbent: float | None,
    margin: float,
    lower_bound: float | None = None,
    contest: Contest | None = None,
) -> Verdict:
    """Ask whether the model is not worse than the incumbent beyond the margin.

    With a ``contest`` only a loss refuses that is significant beside the other circuits; where the
    origins are too few for that, the figure itself decides. ``lower_bound`` is what proofs without
    a backtest know: the lower bound of the paired difference as a share of the incumbent's error.
    """
    if incumbent is None:
        return Verdict("champion", passed=True, reason=NO_CHAMPION)
    if not (math.isfinite(wape) and math.isfinite(incumbent)):
        return Verdict(
            "champion", passed=False, reason=f"WAPE {wape} against {incumbent} is no number"
        )
    figures = f"WAPE {_percent(wape)} against {_percent(incumbent)} of the incumbent: "
    if contest is not None:
        passed, found = _contested(contest, margin)
        return Verdict("champion", passed=passed, reason=figures + found)
    worse = 0.0 if wape == incumbent else wape / incumbent - 1 if incumbent > 0 else math.inf
    loss = worse if lower_bound is None else min(worse, lower_bound)
    passed = loss <= margin
    bound = "" if lower_bound is None else f", at least {_percent(lower_bound)} with confidence"
    return Verdict(
        "champion",
        passed=passed,
        reason=f"{figures}worse by {_percent(worse)}{bound}; "
        f"{'within' if passed else 'over'} the margin {_percent(margin)}",
    )


def _contested(contest: Contest, margin: float) -> tuple[bool, str]:
    test = contest.test
    found = f"worse by {_percent(test.worse)} on {test.origins} common origins"
    if test.p_value is None or contest.adjusted is None:
        passed = test.worse <= margin
        relation = "within" if passed else "over"
        return passed, f"{found}, too few for a bound; {relation} the margin {_percent(margin)}"
    passed = contest.adjusted > FALSE_DISCOVERIES
    beside = f", {contest.adjusted:.4f} beside {contest.circuits} circuits"
    return passed, (
        f"{found}, at least {_percent(test.lower)} with 95 % confidence; "
        f"{'not significantly' if passed else 'significantly'} over the margin {_percent(margin)} "
        f"(p {test.p_value:.4f}{beside if contest.circuits > 1 else ''}, "
        f"limit {FALSE_DISCOVERIES})"
    )


def judge_coverage(coverage: float | None, minimum: float, *, blocks: bool) -> Verdict:
    """Ask whether the 95 % interval held the actuals often enough; warns unless ``blocks``."""
    if coverage is None:
        return Verdict(
            "coverage",
            passed=False,
            reason="the 95 % interval could not be tried: there are too few days to learn it from",
            blocking=blocks,
        )
    passed = coverage >= minimum
    relation = "is at least" if passed else "is below"
    return Verdict(
        "coverage",
        passed=passed,
        reason=f"the 95 % interval held {_percent(coverage)} of the actuals, which {relation} "
        f"{_percent(minimum)}",
        blocking=blocks,
    )


def judge_model(
    proof: Mapping[str, Any], policy: GatePolicy, contest: Contest | None = None
) -> tuple[Verdict, ...]:
    """Ask the three questions about a model's backtest, from the proof that training stored.

    ``contest`` is its part of the `contests` of a release; without one it is judged alone.
    """
    try:
        if proof["metrics"].get("points") == 0:
            return tuple(judge_unscored(gate, proof.get("forecaster")) for gate in MODEL_GATES)
        wape, known = float(proof["metrics"]["wape"]), proof["metrics"]["coverage_95"]
        coverage = None if known is None else float(known)
        floor = float(proof["floor"]["wape"])
        incumbent = proof.get("incumbent")
        champion = None if incumbent is None else float(incumbent["wape"])
        bound = (proof.get("comparison") or {}).get("lower_bound")
        lower_bound = None if bound is None else float(bound)
        if contest is None and (test := _champion_test(proof, policy.champion_margin)):
            contest = Contest(test, test.p_value, 1)
    except _UNUSABLE as error:
        reason = f"the model's proof has no usable figures: {type(error).__name__} {error}"
        return tuple(Verdict(gate, passed=False, reason=reason) for gate in MODEL_GATES)
    # Its proof holds what it cost to find that nothing is better; the floor itself is no worse.
    skilled = floor if proof.get("forecaster") == FLOOR else wape
    return (
        judge_skill(skilled, floor, policy.minimum_skill),
        judge_champion(wape, champion, policy.champion_margin, lower_bound, contest),
        judge_coverage(coverage, policy.minimum_coverage_95, blocks=policy.coverage_blocks),
    )


def judge_base(stale: Mapping[str, str]) -> Verdict:
    """Ask whether every circuit still runs what the release was made against."""
    if not stale:
        return Verdict("base", passed=True, reason="what is live is what the release replaces")
    named = "; ".join(f"{key}: {reason}" for key, reason in sorted(stale.items()))
    return Verdict("base", passed=False, reason=f"{named}; create a new release")


def judge_approval(
    stage: str, *, approved: Sequence[str], quorum: int, refused: Sequence[str]
) -> Verdict:
    """Ask whether enough people signed; ``refused`` says which recorded statements do not count."""
    passed = len(set(approved)) >= max(quorum, 1)
    signed = f"signed by {', '.join(sorted(set(approved)))}" if approved else "signed by nobody"
    reason = f"{signed}, {len(set(approved))} of {max(quorum, 1)} needed"
    if refused:
        reason += f"; does not count: {'; '.join(refused)}"
    return Verdict(f"{stage}_approval", passed=passed, reason=reason)


def judge_test(
    verdicts: Mapping[str, Sequence[Verdict]] | None, deployed: Sequence[str]
) -> Verdict:
    """Ask whether every circuit to be deployed passed the test stage; None: it was never run."""
    if verdicts is None:
        return Verdict("test_validation", passed=False, reason="the test stage has not been run")
    judged = {key: verdicts.get(key, ()) for key in deployed}
    return over_circuits(
        "test_validation",
        {
            key: Verdict(
                "test_validation",
                passed=not (reasons := refusals(asked)),
                reason=", ".join(reasons) or f"{len(asked)} checks passed",
            )
            for key, asked in judged.items()
        },
    )


def judge_rollback_plan(problems: Mapping[str, str] | None) -> Verdict:
    """Ask whether the way back was tried; ``problems`` names where it is broken."""
    if problems is None:
        return Verdict("rollback_plan", passed=False, reason="no rollback plan was made")
    if not problems:
        return Verdict("rollback_plan", passed=True, reason="dry-run: no way back is broken")
    named = "; ".join(f"{key}: {reason}" for key, reason in sorted(problems.items()))
    return Verdict("rollback_plan", passed=False, reason=named)


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"
