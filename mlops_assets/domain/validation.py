"""Test validation: what a model's forecast on the newest readings must hold before production.

Reasons are evidence that is digested, so a passed verdict holds no duration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.gates import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from mlops_assets.domain.circuit import GatePolicy
    from mlops_assets.domain.forecast import Window
    from mlops_assets.domain.manifest import Serving
    from mlops_assets.domain.model import ForecastValues

TEST_VERDICTS = (
    "no_errors",
    "rows",
    "horizon",
    "no_gaps",
    "finite",
    "schema",
    "in_range",
    "latency",
    "golden",
    "fallback_ladder",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One circuit's run on the test endpoint.

    ``values`` are as the model gave them, from the first step after the last reading; None where it
    failed, with ``error`` (a model that does not reproduce its golden forecast fails so).
    ``observed`` are the lowest and highest known readings of the window. ``rungs`` maps each rung
    of the fallback ladder below the model to why it failed, or to "".
    """

    window: Window
    values: ForecastValues | None
    error: str
    observed: tuple[float, float] | None
    seconds: float
    rungs: Mapping[str, str]


def judge(trial: Trial, serving: Serving, policy: GatePolicy) -> tuple[Verdict, ...]:
    """Answer every question of `TEST_VERDICTS`; without a forecast none of them passes."""
    if trial.values is None:
        unanswered = f"no forecast to judge: {trial.error}"
        return tuple(
            Verdict(gate, passed=False, reason=trial.error if gate == "no_errors" else unanswered)
            for gate in TEST_VERDICTS
        )
    values = trial.values
    return (
        Verdict("no_errors", passed=True, reason="the model gave a forecast without an error"),
        _rows(values, trial.window),
        _horizon(values, trial.window),
        _no_gaps(values, trial.window),
        _finite(values),
        _schema(values),
        _in_range(values, trial.observed, serving, policy.range_tolerance),
        _latency(trial.seconds, policy.maximum_latency_seconds),
        Verdict("golden", passed=True, reason="the golden forecast is reproduced bit for bit"),
        _ladder(trial.rungs),
    )


def _skipped(values: ForecastValues, window: Window) -> int:
    return max(0, (window.begin - values.start) // window.step)


def _rows(values: ForecastValues, window: Window) -> Verdict:
    rows = len(values.value) - _skipped(values, window)
    said = f"{rows} rows of {window.rows}"
    return Verdict("rows", passed=rows == window.rows, reason=said)


def _horizon(values: ForecastValues, window: Window) -> Verdict:
    ends = values.start + len(values.value) * values.step
    wanted = window.begin + window.rows * window.step
    said = (
        f"the forecast ends at {ends:%Y-%m-%dT%H:%MZ}; the horizon ends at {wanted:%Y-%m-%dT%H:%MZ}"
    )
    return Verdict("horizon", passed=ends == wanted, reason=said)


def _no_gaps(values: ForecastValues, window: Window) -> Verdict:
    on_grid = (window.begin - values.start) % window.step == 0 * window.step
    passed = values.step == window.step and on_grid and values.start <= window.begin
    said = (
        f"a row every {values.step} from {values.start:%Y-%m-%dT%H:%MZ}; wanted every "
        f"{window.step}, with one at {window.begin:%Y-%m-%dT%H:%MZ}"
    )
    return Verdict("no_gaps", passed=passed, reason=said)


def _arrays(values: ForecastValues) -> dict[str, np.ndarray]:
    names = ("value", "lo_80", "hi_80", "lo_95", "hi_95")
    return {name: getattr(values, name) for name in names}


def _finite(values: ForecastValues) -> Verdict:
    import numpy as np

    bad = {name: int((~np.isfinite(array)).sum()) for name, array in _arrays(values).items()}
    said = ", ".join(f"{count} in {name}" for name, count in bad.items() if count)
    return Verdict("finite", passed=not said, reason=f"not finite: {said or 'none'}")


def _schema(values: ForecastValues) -> Verdict:
    import numpy as np

    arrays = _arrays(values)
    wrong = [
        f"{name} is {array.dtype} of shape {array.shape}"
        for name, array in arrays.items()
        if array.dtype != np.float64 or array.shape != (len(values.value),)
    ]
    if wrong:
        return Verdict("schema", passed=False, reason="; ".join(wrong))
    ladder = [arrays[name] for name in ("lo_95", "lo_80", "value", "hi_80", "hi_95")]
    ordered = all(bool((ladder[i] <= ladder[i + 1]).all()) for i in range(len(ladder) - 1))
    said = "five columns of numbers, the intervals around the value"
    crossed = "an interval does not hold its value, or the wider one does not hold the narrower"
    return Verdict("schema", passed=ordered, reason=said if ordered else crossed)


def _in_range(
    values: ForecastValues, observed: tuple[float, float] | None, serving: Serving, tolerance: float
) -> Verdict:
    """Inside limits, or else what was observed, each widened by a share of the observed span."""
    if observed is None:
        return Verdict("in_range", passed=False, reason="no readings to compare the range with")
    low, high = observed
    room = tolerance * max(high - low, abs(high) * 1e-6)
    low = (low if serving.minimum is None else float(serving.minimum)) - room
    high = (high if serving.maximum is None else float(serving.maximum)) + room
    least, most = float(values.value.min()), float(values.value.max())
    said = f"values from {least:.6g} to {most:.6g}; allowed from {low:.6g} to {high:.6g}"
    return Verdict("in_range", passed=low <= least and most <= high, reason=said)


def _latency(seconds: float, limit: float) -> Verdict:
    passed = seconds <= limit
    said = f"within the limit of {limit:g} s" if passed else f"{seconds:.1f} s; limit {limit:g} s"
    return Verdict("latency", passed=passed, reason=said)


def _ladder(rungs: Mapping[str, str]) -> Verdict:
    failed = [f"{rung}: {why}" for rung, why in rungs.items() if why]
    said = f"every rung gives a forecast: {', '.join(rungs)}" if not failed else "; ".join(failed)
    return Verdict("fallback_ladder", passed=bool(rungs) and not failed, reason=said)
