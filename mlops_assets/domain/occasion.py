"""Occasions for an alert: what each incident tells people, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.domain.alert import Alert, owners_of, some, subject_of
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.identifiers import CircuitKey, IdentifierError
from mlops_assets.domain.model import COLD_START_DAYS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date, datetime

    from mlops_assets.domain.alert import Kind
    from mlops_assets.domain.circuit import Plant
    from mlops_assets.domain.incident import Incident
    from mlops_assets.domain.release import OpenRequest, ReleaseView

_AGAIN = {
    "etl": "mlops ingest",
    "training": "mlops train --all",
    "daily": "mlops predict",
    "circuit_forecast": "mlops predict",
    "rebuild": "mlops rebuild",
}
_NAMED = 5
_STAGES = ("registry", "test", "production")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """One run of Dagster that failed, as its own database tells it."""

    run_id: str
    job: str
    reason: str
    partition: str = ""
    release: str = ""


def plants_of(circuits: Iterable[CircuitKey]) -> tuple[str, ...]:
    """Return the plants of circuits, each once."""
    return tuple(sorted({circuit.plant_id for circuit in circuits}))


def release_failed(view: ReleaseView, plants: Mapping[str, Plant]) -> Alert:
    """A rule said no: this release ends, and the others of its circuits may go on without."""
    refused = sorted(view.failed)
    reasons = "\n".join(f"{key}: {view.failed[key]}" for key in refused)
    rest = len(view.circuits) - len(refused)
    leave_out = " ".join(f"--without {key}" for key in refused)
    return _about(
        "release_failed",
        view.release,
        plants_of(view.circuits),
        plants,
        subject=f"{view.release} {view.reason}: {some(refused) or 'its entries'}",
        says=f"{view.release} with {_count(view.circuits)} {view.reason} and can never be promoted."
        + (f"\n{reasons}" if reasons else ""),
        command=f"mlops release create {leave_out}"
        if refused and rest
        else f"mlops release show {view.release}",
    )


def release_errored(view: ReleaseView, plants: Mapping[str, Plant]) -> Alert:
    """Something broke in a stage: nothing was decided, and it may be tried again."""
    return _about(
        "release_errored",
        f"{view.release}:{view.broken}",
        plants_of(view.circuits),
        plants,
        subject=f"{view.release}: the {view.broken} stage broke: {view.reason}",
        says=f"The {view.broken} stage of {view.release} with {_count(view.circuits)} broke: "
        f"{view.reason}. It may be tried again.",
        command=f"mlops release promote {view.release} --stage {view.broken}",
    )


def release_rejected(view: ReleaseView, requester: str, plants: Mapping[str, Plant]) -> Alert:
    """A person said no: who asked hears it too, where it was a person."""
    alert = _about(
        "release_rejected",
        view.release,
        plants_of(view.circuits),
        plants,
        subject=f"{view.release} was {view.reason}",
        says=f"{view.release} with {_count(view.circuits)} was {view.reason}. It ends here, and "
        "what is live stays live. A changed spec makes another release.",
        command=f"mlops release show {view.release}",
    )
    return _also_to(alert, [requester])


def config_refused(
    commit: str, reason: str, authors: Sequence[str], plants: Mapping[str, Plant]
) -> Alert:
    """The config at the watched ref cannot be used: nothing is planned, trained or released."""
    problems = reason.splitlines()
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    alert = _about(
        "config_refused",
        reason,
        (),
        plants,
        subject=f"config {commit[:12]} is refused: {problems[0]}{more}",
        says=f"The config at the watched ref, commit {commit[:12]}, is refused. What is live goes "
        f"on; nothing is planned, trained or released until it is mended.\n{reason}",
        command="mlops plan --working-tree",
    )
    return _also_to(alert, authors)


def _also_to(alert: Alert, people: Iterable[str]) -> Alert:
    return replace(alert, owners=tuple(sorted({*alert.owners, *(p for p in people if "@" in p)})))


def run_failed(run: FailedRun, plants: Mapping[str, Plant]) -> Alert:
    """A run of Dagster failed: over one circuit its plant's matter, else everybody's."""
    command = _AGAIN.get(run.job, "mlops ui")
    if run.job == "daily" and run.partition:
        command = f"mlops predict --date {run.partition}"
    if run.job in _STAGES and run.release:
        command = f"mlops release promote {run.release} --stage {run.job}"
    about: tuple[str, ...] = ()
    try:
        circuit = CircuitKey.parse(run.partition)
    except IdentifierError:
        pass
    else:
        about = (circuit.plant_id,)
        if run.job in ("training", "circuit_forecast"):
            command = f"{command.removesuffix(' --all')} --circuit {circuit}"
    return _about(
        "run_failed",
        run.run_id,
        about,
        plants,
        subject=f"a run of {run.job} failed: {run.reason}",
        says=f"Run {run.run_id} of {run.job} failed: {run.reason}",
        command=command,
    )


def approval_requested(
    view: ReleaseView, request: OpenRequest, *, signers: Sequence[str], quorum: int
) -> Alert:
    """Some people may sign now, with one command; each gets it."""
    return Alert(
        kind="approval_requested",
        cause=_asked(request),
        plants=plants_of(view.circuits),
        owners=tuple(signers),
        subject=subject_of(f"{view.release} asks for your {request.stage} approval"),
        says=f"{_wish(view, request)} It needs {quorum}, has {len(request.approvals)}, and "
        f"expires at {moment_text(request.expires_at)}.",
        command=sign_command(request.release, request.stage),
    )


def approval_reminder(
    view: ReleaseView, request: OpenRequest, *, signers: Sequence[str], quorum: int
) -> Alert:
    """The same people are told once more, while there is time."""
    ends = moment_text(request.expires_at)
    return Alert(
        kind="approval_reminder",
        cause=_asked(request),
        plants=plants_of(view.circuits),
        owners=tuple(signers),
        subject=subject_of(f"{view.release}: {request.stage} approval expires at {ends}"),
        says=f"{_wish(view, request)} It needs {quorum}, has {len(request.approvals)}. At {ends} "
        "the request expires.",
        command=sign_command(request.release, request.stage),
    )


def approval_expired(
    view: ReleaseView, stage: str, nonce: str, plants: Mapping[str, Plant]
) -> Alert:
    """Nobody signed in time: the release is where it was before, and may be requested again."""
    return _about(
        "approval_expired",
        f"{view.release}:{stage}:{nonce}",
        plants_of(view.circuits),
        plants,
        subject=f"{view.release}: the {stage} request expired",
        says=f"The {stage} request of {view.release} with {_count(view.circuits)} expired without "
        "the signatures it needs. The release has not ended.",
        command=f"mlops release request {view.release} --stage {stage}",
    )


def degraded(incident: Incident, plants: Mapping[str, Plant]) -> Alert:
    """A live release is clearly worse than people were told when they signed."""
    *told, way_out = incident.lines
    return _about(
        "degraded",
        incident.release,
        plants_of(incident.keys),
        plants,
        subject=incident.summary,
        says="\n".join(told),
        command=way_out,
    )


def plant_silent(
    plant_id: str, last: Mapping[CircuitKey, datetime], plants: Mapping[str, Plant]
) -> Alert:
    """No circuit of a plant reports any more: one alert, because it is one line that is down."""
    name = plants[plant_id].name if plant_id in plants else plant_id
    newest = moment_text(max(last.values()))
    return _about(
        "plant_silent",
        plant_id,
        (plant_id,),
        plants,
        subject=f"{plant_id} is silent since {newest}",
        says=f"{name} ({plant_id}): none of its {len(last)} reporting circuits has sent a reading "
        f"since {newest}, longer than their specs allow. Their forecasts are fallbacks.",
        command="mlops ingest",
    )


def circuits_silent(
    circuits: Sequence[CircuitKey], newest: datetime, plants: Mapping[str, Plant]
) -> Alert:
    """Circuits of a plant that fell silent at once: one alert, because that is one cause."""
    (plant_id,) = plants_of(circuits)
    since = moment_text(newest)
    names = some([str(key) for key in circuits])
    return _about(
        "circuits_silent",
        f"{plant_id}:{since}",
        (plant_id,),
        plants,
        subject=f"silent since {since}: {names}",
        says=f"Since {since} no reading came of {names}, longer than their specs allow, while "
        f"other circuits of {plant_id} report. Their forecasts are fallbacks.",
        command=f"mlops quarantine list --since {since} "
        + " ".join(f"--circuit {key}" for key in circuits[:_NAMED]),
    )


def no_forecast(
    day: date, missing: Collection[CircuitKey], deadline: datetime, plants: Mapping[str, Plant]
) -> Alert:
    """Live circuits have no forecast for a day that has begun."""
    names = [str(circuit) for circuit in missing]
    return _about(
        "no_forecast",
        day.isoformat(),
        plants_of(missing),
        plants,
        subject=f"no forecast for {day}: {some(names)}",
        says=f"By {moment_text(deadline)} these live circuits had no forecast for {day}: "
        f"{some(names)}.",
        command=f"mlops predict --date {day}",
    )


def restated(
    slice_id: str, circuits: Mapping[CircuitKey, str], command: str, plants: Mapping[str, Plant]
) -> Alert:
    """One slice changed readings that models learned from: they may learn them again."""
    names = [str(circuit) for circuit in circuits]
    return _about(
        "restated",
        slice_id,
        plants_of(circuits),
        plants,
        subject=f"readings changed under the models of {some(names)}",
        says=f"Slice {slice_id[:12]} changed readings that models of {_count(names)} learned from. "
        "They serve as before; a release of them is refused until it acknowledges this.\n"
        + "\n".join(f"{key}: {what}" for key, what in circuits.items()),
        command=command,
    )


def cold_start_over(circuit: CircuitKey, command: str, plants: Mapping[str, Plant]) -> Alert:
    """A circuit that was trained on too few readings has enough of them: told once for good."""
    return _about(
        "cold_start_over",
        str(circuit),
        plants_of([circuit]),
        plants,
        subject=f"{circuit} has enough readings for its own forecaster",
        says=f"{circuit} had under {COLD_START_DAYS} days of readings up to its cutoff date, too "
        "few for its forecaster. Now there are enough: a later cutoff date uses them. Until then "
        "it stays as it is.",
        command=command,
    )


def sign_command(release: str, stage: str) -> str:
    """Return the one command that approves a stage, with a key in a file or in an agent."""
    return f"mlops release approve {release} --stage {stage} --key ~/.ssh/id_ed25519"


def _about(
    kind: Kind,
    cause: str,
    about: tuple[str, ...],
    plants: Mapping[str, Plant],
    *,
    subject: str,
    says: str,
    command: str,
) -> Alert:
    return Alert(
        kind=kind,
        cause=cause,
        plants=about,
        owners=owners_of(plants, about),
        subject=subject_of(subject),
        says=says,
        command=command,
    )


def _asked(request: OpenRequest) -> str:
    return f"{request.release}:{request.stage}:{request.nonce}"


def _wish(view: ReleaseView, request: OpenRequest) -> str:
    return (
        f"{request.requester} asks for the {request.stage} approval of {view.release} with "
        f"{_count(view.circuits)} ({some([str(key) for key in view.circuits])})."
    )


def _count(circuits: Sequence[CircuitKey | str]) -> str:
    return "1 circuit" if len(circuits) == 1 else f"{len(circuits)} circuits"
