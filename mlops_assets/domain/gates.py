"""Gates: one question each, answered with a reason that names the number and the limit.

Judges take numbers and give verdicts; they read nothing, so an auditor can ask them again. All are
asked, also after a refusal, because an approver wants all the reasons at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.circuit import GatePolicy

FLOOR = "seasonal_naive"
# What a model's backtest must answer, whatever the policy.
MODEL_GATES = ("skill", "champion")


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
    passed = skill >= minimum or (wape == floor and minimum <= 0)
    relation = "is at least" if passed else "is below"
    return Verdict(
        "skill",
        passed=passed,
        reason=f"skill {skill:.3f} {relation} the minimum {minimum:.3f}: "
        f"WAPE {_percent(wape)} against {_percent(floor)} of the seasonal naive",
    )


def judge_champion(
    wape: float, incumbent: float | None, margin: float, lower_bound: float | None = None
) -> Verdict:
    """Ask whether the model is not worse than the incumbent beyond the margin.

    ``lower_bound`` is the lower confidence bound of the paired relative difference of their errors,
    where one was computed: then only a significant loss refuses.
    """
    if incumbent is None:
        return Verdict("champion", passed=True, reason="there is no incumbent to compare with")
    if not (math.isfinite(wape) and math.isfinite(incumbent)):
        return Verdict(
            "champion", passed=False, reason=f"WAPE {wape} against {incumbent} is no number"
        )
    worse = 0.0 if wape == incumbent else wape / incumbent - 1 if incumbent > 0 else math.inf
    loss = worse if lower_bound is None else min(worse, lower_bound)
    passed = loss <= margin
    bound = "" if lower_bound is None else f", at least {_percent(lower_bound)} with confidence"
    return Verdict(
        "champion",
        passed=passed,
        reason=f"WAPE {_percent(wape)} against {_percent(incumbent)} of the incumbent: worse by "
        f"{_percent(worse)}{bound}; {'within' if passed else 'over'} the margin "
        f"{_percent(margin)}",
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


def judge_model(proof: Mapping[str, Any], policy: GatePolicy) -> tuple[Verdict, ...]:
    """Ask the three questions about a model's backtest, from the proof that training stored."""
    try:
        if proof["metrics"].get("points") == 0:
            reason = "no day could be scored: set a cutoff_date with at least two days of readings"
            return tuple(Verdict(gate, passed=False, reason=reason) for gate in MODEL_GATES)
        wape, known = float(proof["metrics"]["wape"]), proof["metrics"]["coverage_95"]
        coverage = None if known is None else float(known)
        floor = float(proof["floor"]["wape"])
        incumbent = proof.get("incumbent")
        champion = None if incumbent is None else float(incumbent["wape"])
        bound = (proof.get("comparison") or {}).get("lower_bound")
        lower_bound = None if bound is None else float(bound)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"the model's proof has no usable figures: {type(error).__name__} {error}"
        return tuple(Verdict(gate, passed=False, reason=reason) for gate in MODEL_GATES)
    return (
        judge_skill(wape, floor, policy.minimum_skill),
        judge_champion(wape, champion, policy.champion_margin, lower_bound),
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
