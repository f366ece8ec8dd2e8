"""What the endpoints of a workspace answer by themselves, where it is they that apply models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.arithmetic import SAME_WITHIN
from mlops_assets.domain.errors import EngineError
from mlops_assets.domain.forecast import VALUE_COLUMNS, Unanswered, stored_part
from mlops_assets.flows.issue import Issuing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    import numpy as np

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Issued
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.validation import Trial
    from mlops_assets.ports import ReadingsTable, ServingWorkspace, SharedRegistry


def answers(
    serving: ServingWorkspace,
    registry: SharedRegistry,
    readings: ReadingsTable,
    deployments: Mapping[CircuitKey, Deployment],
    days: Mapping[CircuitKey, date],
    *,
    version: int,
) -> dict[CircuitKey, Issued]:
    """Ask the endpoints for each circuit's day; nothing where models are applied here.

    Raises:
        EngineError: some gave no answer, which says nothing about a model.
    """
    if serving.batch is None:
        return {}
    found: dict[CircuitKey, Issued] = {}
    for day in sorted({days[circuit] for circuit in deployments}):
        live = {circuit: each for circuit, each in deployments.items() if days[circuit] == day}
        work = Issuing(
            live=live, day=day, readings=readings, delta_version=version, models=registry.models
        )
        found |= {issued.circuit: issued for issued in serving.batch.issue(work, sorted(live))}
    silent = sorted(each.circuit for each in found.values() if isinstance(each, Unanswered))
    if silent:
        more = f", and {len(silent) - 1} others" if len(silent) > 1 else ""
        raise EngineError(
            f"{silent[0]}{more}: the endpoint gave no answer: {found[silent[0]].failed}; run the "
            "same command again"
        )
    return found


def confirmed(trial: Trial, deployment: Deployment, issued: Issued | None) -> Trial:
    """Return a trial as it stands beside what the endpoint answered, if it was asked.

    A model that works here and not there has failed: there is where it will be served, and its
    seconds there are those that count.
    """
    if issued is None or trial.values is None:
        return trial
    if wrong := _difference(trial, deployment, issued):
        return replace(trial, values=None, error=f"the test endpoint {wrong}")
    return replace(trial, seconds=issued.seconds)


def _difference(trial: Trial, deployment: Deployment, issued: Issued) -> str:
    if issued.issue is None:
        return f"gave no forecast: {issued.failed}"
    if issued.issue.fallback != "none":
        return f"fell back to {issued.issue.fallback}: {issued.issue.fallback_reason}"
    if trial.values is None:
        return ""
    ours, theirs = (
        stored_part(trial.values, trial.window, deployment.serving),
        issued.issue.values,
    )
    other = [
        name for name in VALUE_COLUMNS if not _same(getattr(ours, name), getattr(theirs, name))
    ]
    if other or (ours.start, ours.step) != (theirs.start, theirs.step):
        told = f": {', '.join(other)}" if other else ": other times"
        return f"gave another forecast than the same model gives here{told}"
    return ""


def _same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two forecasts agree but for the last bits, which are the processor's."""
    import numpy as np

    near = SAME_WITHIN * float(np.abs(ours).max(initial=0.0))
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=0.0, atol=near)
