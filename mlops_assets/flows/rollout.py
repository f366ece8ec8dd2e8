"""Environments that roll out without training: proved harmless on frozen readings, all or nothing.

What moves is asked of the manifest and of what it replaces, so the answer stays the same after the
release is live; the comparison is evidence of the release, and is signed with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mlops_assets.domain.circuit import STEP
from mlops_assets.domain.errors import DataError, RefusedError
from mlops_assets.domain.identifiers import EnvironmentRef
from mlops_assets.domain.readings import to_series
from mlops_assets.domain.rollout import ApplyJob, Move, compared, document, judge_rollout
from mlops_assets.flows.deployment import live_deployments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.circuit import Environment, Interval
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Entry, Manifest
    from mlops_assets.domain.rollout import Applied
    from mlops_assets.ports import Interpreters, Platform

EVIDENCE = "environment"


def moves(platform: Platform, manifest: Manifest) -> tuple[Move, ...]:
    """Every model of a release that is to run in another environment than it was proved in."""
    found = (_move(platform, entry) for entry in manifest.entries if entry.action == "deploy")
    return tuple(move for move in found if move is not None)


def _move(platform: Platform, entry: Entry) -> Move | None:
    before = None
    if entry.replaces is not None:
        before = platform.prod.endpoints.recorded(entry.circuit, entry.replaces)
    if before is not None and before.model_digest == entry.model_digest:
        live, proved = True, (before.environment, before.environment_digest)
    else:
        record = platform.dev.models.get(entry.circuit, entry.model_version)
        live, proved = False, (str(record.environment), record.environment_digest)
    if proved[1] == entry.environment_digest:
        return None
    return Move(
        circuit=entry.circuit,
        model_version=entry.model_version,
        model_digest=entry.model_digest,
        before=proved[0],
        before_digest=proved[1],
        after=entry.environment,
        after_digest=entry.environment_digest,
        live=live,
    )


def verdict(platform: Platform, manifest: Manifest) -> Verdict | None:
    """Whether what moves is proved and complete; None where nothing moves."""
    found = moves(platform, manifest)
    if not found:
        return None
    stored = platform.dev.evidence.read_release(manifest.release, EVIDENCE)
    return judge_rollout(found, stored, _left(platform, manifest, found))


def _left(platform: Platform, manifest: Manifest, found: Sequence[Move]) -> list[str]:
    """Live circuits of an environment that the release leaves, and that are not in it."""
    leaving = {(move.before, move.before_digest) for move in found if move.live}
    return [
        str(circuit)
        for circuit, live in live_deployments(platform.prod).items()
        if circuit not in manifest.circuits
        and (live.environment, live.environment_digest) in leaving
    ]


def prove(platform: Platform, manifest: Manifest) -> bytes | None:
    """Apply what moves in both environments to the same readings; None where nothing moves.

    What is returned becomes evidence with the request that people sign it under: a comparison that
    lay there before, by whomever, nobody has vouched for.

    Raises:
        RefusedError: an environment has no interpreter here; the reason says how to make it.
    """
    found = moves(platform, manifest)
    if not found:
        return None
    if platform.interpreters is None:
        raise RefusedError(
            "E_INTERPRETER", f"{manifest.release}: this home can apply models in no environment"
        )
    version = platform.lake.readings.version()
    jobs = {move.circuit: _job(platform, manifest.entry(move.circuit), version) for move in found}
    before = _applied(platform, platform.interpreters, jobs, _sides(found, "before"))
    after = _applied(platform, platform.interpreters, jobs, _sides(found, "after"))
    rows = {
        str(move.circuit): compared(move, before[move.circuit], after[move.circuit])
        for move in found
    }
    return document(manifest.release, version, rows)


def _sides(found: Sequence[Move], side: str) -> dict[CircuitKey, tuple[str, str]]:
    return {move.circuit: (getattr(move, side), getattr(move, f"{side}_digest")) for move in found}


def _applied(
    platform: Platform,
    interpreters: Interpreters,
    jobs: Mapping[CircuitKey, ApplyJob],
    sides: Mapping[CircuitKey, tuple[str, str]],
) -> dict[CircuitKey, Applied]:
    """Apply each job in its environment, all of one environment at once."""
    results: dict[CircuitKey, Applied] = {}
    for name, digest in sorted(set(sides.values())):
        environment = _environment(platform, name, digest)
        asked = [jobs[circuit] for circuit, side in sides.items() if side == (name, digest)]
        answers = interpreters.apply(environment, asked)
        for job in asked:
            if job.circuit not in answers:
                raise DataError(f"environment {name}: gave no forecast for {job.circuit}")
            results[job.circuit] = answers[job.circuit]
    return results


def _environment(platform: Platform, name: str, digest: str) -> Environment:
    environment = platform.dev.environments.get(EnvironmentRef.parse(name))
    if environment is None or environment.digest != digest:
        raise DataError(f"environment {name}: is not registered in dev with digest {digest[:12]}")
    return environment


def _job(platform: Platform, entry: Entry, version: int) -> ApplyJob:
    serving, models = entry.serving, platform.dev.models
    if serving is None:
        raise DataError(f"{entry.circuit}: the release does not say how it is served")
    rows = platform.lake.readings.read(circuits=[entry.circuit], version=version)
    step = STEP[cast("Interval", serving.interval)]
    return ApplyJob(
        circuit=entry.circuit,
        files=models.files(models.get(entry.circuit, entry.model_version)),
        series=to_series(rows, step=step, features=serving.features),
        steps=serving.horizon * 3600 // int(step.total_seconds()),
    )
