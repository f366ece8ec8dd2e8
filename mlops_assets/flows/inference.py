"""What the endpoints of a workspace answer by themselves, where it is they that apply models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.forecast import stored_part
from mlops_assets.flows.issue import Issuing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

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
    """Ask the endpoints for each circuit's day; nothing where models are applied here."""
    if serving.batch is None:
        return {}
    found: dict[CircuitKey, Issued] = {}
    for day in sorted({days[circuit] for circuit in deployments}):
        live = {circuit: each for circuit, each in deployments.items() if days[circuit] == day}
        work = Issuing(
            live=live, day=day, readings=readings, delta_version=version, models=registry.models
        )
        found |= {issued.circuit: issued for issued in serving.batch.issue(work, sorted(live))}
    return found


def confirmed(trial: Trial, deployment: Deployment, issued: Issued | None) -> Trial:
    """Return a trial as it stands beside what the endpoint answered, if it was asked.

    A model that works here and not there has failed: there is where it will be served.
    """
    if issued is None or trial.values is None:
        return trial
    if wrong := _difference(trial, deployment, issued):
        return replace(trial, values=None, error=f"the test endpoint {wrong}")
    return trial


def _difference(trial: Trial, deployment: Deployment, issued: Issued) -> str:
    import numpy as np

    if issued.issue is None:
        return f"gave no forecast: {issued.failed}"
    if issued.issue.fallback != "none":
        return f"fell back to {issued.issue.fallback}: {issued.issue.fallback_reason}"
    if trial.values is None:
        return ""
    ours = stored_part(trial.values, trial.window, deployment.serving)
    if np.array_equal(ours.value, issued.issue.values.value):
        return ""
    return "gave another forecast than the same model gives here"
