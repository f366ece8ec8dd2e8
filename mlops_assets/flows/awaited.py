"""What a release waits for, circuit by circuit: who signed and when, who may, and the command.

Told to people while a request waits. It opens nothing: the gates ask for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.gates import Verdict, judge_rollback_plan, refusals
from mlops_assets.domain.identifiers import digest_of
from mlops_assets.domain.occasion import sign_command
from mlops_assets.domain.release import AWAITING, BEFORE_REQUEST
from mlops_assets.domain.rollout import judge_rollout
from mlops_assets.flows.gates import circuit_verdicts, judge
from mlops_assets.flows.ledger import manifest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.release import ReleaseView, Stage
    from mlops_assets.ports import Platform

_PEOPLE = 5
# What is missing before a request because the request makes it.
_MADE_BY_A_REQUEST = (judge_rollback_plan(None), judge_rollout((), None, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """One stage of one release as people see it on each of its circuits.

    ``signed`` tells who signed and when, ``may_sign`` who still can, ``command`` what to type.
    """

    release: str
    stage: Stage
    verdicts: Mapping[CircuitKey, Verdict]
    signed: tuple[str, ...] = ()
    may_sign: tuple[str, ...] = ()
    expires_at: datetime | None = None
    command: str = ""


def stage_of(view: ReleaseView) -> Stage | None:
    """The stage for which people are asked, or were when it ended without them."""
    for stage in BEFORE_REQUEST:
        if view.state in {BEFORE_REQUEST[stage], AWAITING[stage]}:
            return stage
    if view.state == "superseded":
        done = any(each.stage == "registry" for each in view.consumed) or view.copied_approval
        return "production" if done else "registry"
    said_no = [each.stage for each in view.signed if each.decision == "reject"]
    return said_no[-1] if view.state == "rejected" and said_no else None


def next_stage(view: ReleaseView) -> Stage | None:
    """The stage a release comes to next; None at an end."""
    match view.state:
        case "candidate" | "awaiting_registry":
            return "registry"
        case "registered":
            return "test"
        case "tested" | "awaiting_production":
            return "production"
        case "errored":
            return view.broken
        case _:
            return None


def given(view: ReleaseView, stage: Stage) -> tuple[str, ...]:
    """Who approved a stage and when: by the statements that opened it, or that wait in a request.

    What was signed in a window that ran out opened nothing, so it is not told.
    """
    opened = {name for done in view.consumed if done.stage == stage for name in done.statements}
    request = view.open_request
    waiting = request.nonce if request is not None and request.stage == stage else None
    return tuple(
        sorted(
            f"{each.principal} at {moment_text(each.at)}"
            for each in view.signed
            if each.stage == stage
            and each.decision == "approve"
            and (each.statement in opened if opened else each.nonce == waiting)
        )
    )


def keeps_from_signing(
    view: ReleaseView, stage: Stage, verdicts: Sequence[Verdict]
) -> tuple[Verdict, ...]:
    """The verdicts that must change before anybody can sign a stage.

    Not the approval itself, and not what the request for it makes, where none is open yet.
    """
    waits = view.open_request is None
    return tuple(
        verdict
        for verdict in verdicts
        if verdict.refuses
        and verdict.gate != f"{stage}_approval"
        and not (waits and verdict in _MADE_BY_A_REQUEST)
    )


def with_moments(verdict: Verdict, view: ReleaseView, stage: Stage) -> Verdict:
    """Add to an approval's verdict when each signature was given."""
    told = given(view, stage)
    if not told:
        return verdict
    reason = f"{verdict.reason} ({', '.join(told)})"
    return Verdict(verdict.gate, verdict.passed, reason, verdict.blocking)


def awaited(
    platform: Platform, config: Config, view: ReleaseView, *, now: datetime
) -> Awaited | None:
    """Tell what a release waits for from people; None where nobody is asked.

    A check that only lacks signatures warns; one that something else refuses is an error, because
    nobody can sign before that is mended.
    """
    from mlops_assets.flows.alert import signers

    stage = stage_of(view)
    if stage is None:
        return None
    if not view.open:
        return _ended(view, stage)
    gate = f"{stage}_approval"
    verdicts = judge(platform, config, view, stage, now)
    approval = next(verdict for verdict in verdicts if verdict.gate == gate)
    approval = with_moments(approval, view, stage)
    if others := keeps_from_signing(view, stage, verdicts):
        return _refused(platform, config, view, stage, others)
    people: tuple[str, ...] = ()
    if (request := view.open_request) is not None:
        people = signers(platform, config, view, request, now=now)
    command = sign_command(view.release, stage)
    parts = [f"{view.release}: {approval.reason}"]
    if not approval.passed:
        if people:
            more = f" and {len(people) - _PEOPLE} more" if len(people) > _PEOPLE else ""
            parts.append(f"may sign: {', '.join(people[:_PEOPLE])}{more}")
        if request is not None:
            parts.append(f"open until {moment_text(request.expires_at)}")
        parts.append(f"`{command}` signs it")
    told = Verdict(gate, approval.passed, "; ".join(parts), blocking=approval.passed)
    return Awaited(
        release=view.release,
        stage=stage,
        verdicts=dict.fromkeys(view.circuits, told),
        signed=given(view, stage),
        may_sign=people,
        expires_at=request.expires_at if request else None,
        command=command,
    )


def _refused(
    platform: Platform,
    config: Config,
    view: ReleaseView,
    stage: Stage,
    others: Sequence[Verdict],
) -> Awaited:
    """Tell each circuit what keeps people from signing: its own reasons, else those of others."""
    own: Mapping[CircuitKey, tuple[Verdict, ...]] = {}
    if stage == "registry":
        own = circuit_verdicts(platform, config, manifest_of(platform.ledger, view))
    asked_of_each = {verdict.gate for said in own.values() for verdict in said}
    of_all = [verdict for verdict in others if verdict.gate not in asked_of_each]
    refusing = [key for key, said in own.items() if any(each.refuses for each in said)]
    command = f"mlops release request {view.release} --stage {stage}"
    told = {}
    for key in view.circuits:
        refused = [*(each for each in own.get(key, ()) if each.refuses), *of_all]
        reasons = refusals(refused) if refused else (_others(refusing),)
        sentence = "; ".join(
            [f"{view.release}: nobody can sign yet", *reasons, f"`{command}` tells all"]
        )
        told[key] = Verdict(f"{stage}_approval", passed=False, reason=sentence)
    return Awaited(release=view.release, stage=stage, verdicts=told, command=command)


def _others(refusing: Sequence[CircuitKey]) -> str:
    """Why a circuit that nothing is wrong with waits: people sign a release as a whole."""
    if len(refusing) == 1:
        return f"another circuit of it is refused: {refusing[0]}"
    return f"{len(refusing)} other circuits of it are refused, such as {refusing[0]}"


def _ended(view: ReleaseView, stage: Stage) -> Awaited:
    if view.state == "rejected":
        no = next(each for each in reversed(view.signed) if each.decision == "reject")
        why = f": {no.comment}" if no.comment else ""
        said = f"rejected by {no.principal} at {moment_text(no.at)}{why}"
    else:
        said = f"superseded by {view.superseded_by} before its {stage} approval"
    reason = f"{view.release}: {said}; what is live stays live"
    told = Verdict(f"{stage}_approval", passed=False, reason=reason, blocking=False)
    return Awaited(
        release=view.release,
        stage=stage,
        verdicts=dict.fromkeys(view.circuits, told),
        command=f"mlops release show {view.release}",
    )


def newest_awaited(
    platform: Platform,
    config: Config,
    views: Sequence[ReleaseView],
    *,
    only: Collection[str],
    now: datetime,
) -> list[Awaited]:
    """Tell the releases in ``only`` that people are asked about, oldest first.

    Each circuit is told by the newest release alone that holds it, because it has one check; a
    release that cannot be read silences no other.
    """
    seen: set[CircuitKey] = set()
    found = []
    for view in reversed(views):
        mine = [key for key in view.circuits if key not in seen]
        seen.update(view.circuits)
        if not mine or view.release not in only:
            continue
        try:
            told = awaited(platform, config, view, now=now)
        except MlopsError as error:
            told = _unreadable(view, error)
        if told is not None:
            found.append(replace(told, verdicts={key: told.verdicts[key] for key in mine}))
    return found[::-1]


def marks(views: Sequence[ReleaseView], commit: str) -> dict[str, str]:
    """Return by release what there is to tell of it, so that only what changed is told again.

    ``commit`` is the config's: with its trust root another may have become the one who can sign.
    """
    found = {}
    for view in views:
        if stage_of(view) is None:
            continue
        request, statements = view.open_request, [each.statement for each in view.signed]
        nonce = request.nonce if request else None
        about = [view.state, nonce, statements, commit if view.open else ""]
        found[view.release] = digest_of(about)[:16]
    return found


def _unreadable(view: ReleaseView, error: MlopsError) -> Awaited | None:
    stage = stage_of(view)
    if stage is None:
        return None
    said = Verdict(f"{stage}_approval", passed=False, reason=f"{view.release}: {error}")
    return Awaited(release=view.release, stage=stage, verdicts=dict.fromkeys(view.circuits, said))
