"""What comes back from elsewhere is held to what was asked: whoever runs it may be anybody.

A forecast has to be of a rung that people signed, under its version and release, with the day's
rows inside the circuit's limits; a fit has to be of the circuit that was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.forecast import VALUE_COLUMNS, Issue, Issued, stored_part, window_of
from mlops_assets.domain.model import MODEL_FILES, FitResult, ForecastValues
from mlops_assets.domain.readings import window_end

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitJob
    from mlops_assets.ports import BatchWork

_LONGEST_REASON = 4000


def check_issued(
    issued: object, work: BatchWork, circuits: Sequence[CircuitKey], where: str
) -> list[Issued]:
    """Return what became of the circuits that were asked for.

    Raises:
        DataError: it is nothing that they could become; it names ``where``.
    """
    if not isinstance(issued, list) or not all(isinstance(each, Issued) for each in issued):
        raise DataError(f"{where}: tells of no circuits; remove it and predict again")
    if sorted(each.circuit for each in issued) != sorted(circuits):
        raise DataError(f"{where}: tells of other circuits than were asked for")
    for each in issued:
        if why := _wrong(each, work.live[each.circuit], work.day):
            raise DataError(
                f"{where}: {each.circuit}: {why}; find out who wrote it, then predict again"
            )
    return issued


def check_fitted(outcome: object, job: FitJob, where: str) -> FitResult | str:
    """Return what became of a fit.

    Raises:
        DataError: it is nothing that it could become.
    """
    if isinstance(outcome, str) and outcome:
        return outcome
    if not isinstance(outcome, FitResult):
        raise DataError(f"{where}: is no outcome of a fit; remove it and train again")
    if outcome.circuit != job.circuit or set(outcome.files) != set(MODEL_FILES):
        raise DataError(f"{where}: is no model of {job.circuit}; remove it and train again")
    return outcome


def _wrong(each: Issued, deployment: Deployment, day: date) -> str:
    """Why a circuit's answer cannot be one; empty where it can."""
    issue: Any = each.issue
    if issue is None:
        return "" if each.failed else "neither a forecast nor why there is none"
    values: Any = getattr(issue, "values", None)
    if not isinstance(issue, Issue) or not isinstance(values, ForecastValues) or each.failed:
        return "is no forecast"
    if (issue.circuit, issue.release) != (deployment.circuit, deployment.release):
        return f"is of {issue.circuit} as {issue.release} deployed it, not {deployment.release}"
    rungs = {"none": deployment.model_version, "seasonal_naive": 0}
    if deployment.previous_model_digest is not None:
        rungs["previous_model"] = deployment.previous_model_version or 0
    if issue.fallback not in rungs or issue.model_version != rungs[issue.fallback]:
        return f"version {issue.model_version} by {issue.fallback} is no rung that was signed"
    reason = issue.fallback_reason
    if (issue.fallback == "none") != (reason == "") or len(reason) > _LONGEST_REASON:
        return "gives no reason of its rung"
    return _wrong_values(values, deployment, day)


def _wrong_values(values: ForecastValues, deployment: Deployment, day: date) -> str:
    import numpy as np

    serving = deployment.serving
    try:
        begin = window_end(day, serving.timezone)
        held = stored_part(values, window_of(serving, begin, context_steps=0), serving)
        same = values.start == held.start and all(
            np.array_equal(getattr(held, name), getattr(values, name)) for name in VALUE_COLUMNS
        )
    except ModelError as error:
        return str(error).replace("the model gave", "has")
    except (TypeError, ValueError, AttributeError):
        return "holds values that are no numbers"
    return "" if same else "goes beyond the limits of its circuit, or its day"
