"""What the scoring notebook shows and insists on: tables, charts and assertions of one model."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.evidence import Proof, metrics_row, on_one_axis
from mlops_assets.domain.gates import FLOOR, Verdict, judge_skill, judge_unscored
from mlops_assets.domain.plot import Band, Line, chart

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    import numpy as np

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FittedModel, ForecastValues, ModelRecord
    from mlops_assets.domain.readings import Series
    from mlops_assets.domain.training_data import TrainingData

_SHOWN_ORIGINS = 7
_CONTEXT_HORIZONS = 3
_MAE, _WAPE, _MASE = "MAE", "WAPE", "MASE"
_LABELS = {
    "mae": _MAE,
    "rmse": "RMSE",
    "mase": _MASE,
    "wape": _WAPE,
    "r2": "R2",
    "coverage_80": "in the 80 % interval",
    "coverage_95": "in the 95 % interval",
    "points": "points scored",
}
_SHARES = {"wape", "coverage_80", "coverage_95"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table of texts."""
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figure(value: float) -> str:
    """Return a number as people read it: five significant digits, ``-`` where there is none."""
    return f"{value:.5g}" if math.isfinite(value) else "-"


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else "-"


def record_table(record: ModelRecord) -> str:
    """Which model this is about."""
    return table(
        ("model", str(record.circuit)),
        [
            ("version", str(record.version)),
            ("digest", record.digest),
            ("spec digest", record.spec_digest),
            ("training data", str(record.data_version)),
            ("environment", str(record.environment)),
            ("environment digest", record.environment_digest),
            ("config commit", record.config_commit),
        ],
    )


def data_table(data: TrainingData, history: Series) -> str:
    """What the model learned from."""
    gaps = _gaps(history)
    return table(
        ("training data", str(data.version)),
        [
            ("rows", str(data.rows)),
            ("first reading", data.first_timestamp.isoformat()),
            ("last reading", data.last_timestamp.isoformat()),
            ("cutoff date", f"{data.cutoff_date.isoformat()}, {data.timezone}"),
            ("steps without a reading", str(sum(gaps))),
            ("gaps", str(len(gaps))),
            ("longest gap", f"{max(gaps, default=0)} steps"),
            ("content digest", data.content_digest),
            ("Delta version of the readings", str(data.delta_version)),
        ],
    )


def data_chart(circuit: CircuitKey, history: Series, unit: str) -> str:
    """All readings that the model learned from."""
    return chart(
        [Line("reading", history.values, "actual")],
        title=f"{circuit}: training data",
        start=history.start,
        step=history.step,
        unit=unit,
    )


def metrics_table(proof: Proof) -> str:
    """The model, the floor and the incumbent on the same origins."""
    columns = {"model": metrics_row(proof.metrics), "seasonal naive": metrics_row(proof.floor)}
    if proof.incumbent is not None:
        columns["incumbent"] = metrics_row(proof.incumbent)
    rows = [
        (label, *(_shown(name, column[name]) for column in columns.values()))
        for name, label in _LABELS.items()
    ]
    rows.append(("skill over the floor", figure(proof.skill), *[""] * (len(columns) - 1)))
    rows.append(("origins", str(len(proof.origins)), *[""] * (len(columns) - 1)))
    return table(("backtest", *columns), rows)


def candidates_table(proof: Proof) -> str:
    """The forecasters that were tried."""
    return table(
        ("candidate", _MAE, _WAPE),
        [
            (
                str(each["forecaster"]),
                _optional(each["mae"], figure),
                _optional(each["wape"], share),
            )
            for each in proof.candidates
        ],
    )


def backtest_chart(
    circuit: CircuitKey,
    proof: Proof,
    step: timedelta,
    unit: str,
    origins: int = _SHOWN_ORIGINS,
) -> str:
    """The newest origins of the backtest, side by side."""
    shown = proof.origins[-origins:]
    lines = [
        Line("actual", on_one_axis(proof.actual[-origins:], shown, step), "actual"),
        Line("seasonal naive", on_one_axis(proof.floor_forecast[-origins:], shown, step), "floor"),
    ]
    if proof.incumbent_forecast is not None:
        rows = proof.incumbent_forecast[-origins:]
        lines.append(Line("incumbent", on_one_axis(rows, shown, step), "incumbent"))
    lines.append(Line("model", on_one_axis(proof.forecast[-origins:], shown, step), "forecast"))
    if not shown:
        return ""
    return chart(
        lines,
        title=f"{circuit}: the last {len(shown)} origins of the backtest",
        start=shown[0],
        step=step,
        unit=unit,
    )


def held_out(newest: Series, steps: int) -> tuple[Series, np.ndarray]:
    """Split the newest readings into what is known and the last ``steps``, to be forecast.

    A circuit of its first day keeps half of what it has; steps without a reading yet are NaN.
    """
    import numpy as np

    from mlops_assets.domain.readings import Series as Readings

    if not len(newest):
        raise DataError("no newest readings: scoring needs at least one")
    out = steps if len(newest) > steps else len(newest) // 2
    known = len(newest) - out
    before = Readings(
        newest.start,
        newest.step,
        newest.values[:known],
        {name: values[:known] for name, values in newest.features.items()},
    )
    return before, np.append(newest.values[known:], np.full(steps - out, np.nan))


def score_table(
    forecast: ForecastValues, floor: ForecastValues, actual: np.ndarray, data: TrainingData
) -> str:
    """The newest hours: forecast and floor against the readings."""
    seen = data.last_timestamp >= forecast.start
    rows = [
        ("first step", forecast.start.isoformat(), ""),
        ("steps with a reading", str(sum(math.isfinite(value) for value in actual)), ""),
        (_MAE, figure(_mae(forecast.value, actual)), figure(_mae(floor.value, actual))),
        (_WAPE, share(_wape(forecast.value, actual)), share(_wape(floor.value, actual))),
        ("in the 80 % interval", share(_inside(forecast.lo_80, forecast.hi_80, actual)), ""),
        ("in the 95 % interval", share(_inside(forecast.lo_95, forecast.hi_95, actual)), ""),
        (
            "seen in training",
            "yes: this shows that the model runs, not how good it is" if seen else "no",
            "",
        ),
    ]
    return table(("newest hours", "model", "seasonal naive"), rows)


def score_chart(
    circuit: CircuitKey,
    known: Series,
    forecast: ForecastValues,
    floor: ForecastValues,
    actual: np.ndarray,
    *,
    unit: str,
) -> str:
    """The newest hours and what came before them."""
    before = _tail(known, len(actual) * _CONTEXT_HORIZONS)
    blank = [None] * len(before)
    return chart(
        [
            Line("reading", [*before, *actual], "actual"),
            Line("seasonal naive", [*blank, *floor.value], "floor"),
            Line("model", [*blank, *forecast.value], "forecast"),
        ],
        title=f"{circuit}: newest readings, forecast without knowing them",
        start=forecast.start - len(before) * known.step,
        step=known.step,
        unit=unit,
        band=Band("95 % interval", [*blank, *forecast.lo_95], [*blank, *forecast.hi_95]),
    )


def ahead_chart(circuit: CircuitKey, newest: Series, ahead: ForecastValues, unit: str) -> str:
    """What follows the newest readings."""
    before = _tail(newest, len(ahead.value) * _CONTEXT_HORIZONS)
    blank = [None] * len(before)
    return chart(
        [
            Line("reading", [*before, *[None] * len(ahead.value)], "actual"),
            Line("model", [*blank, *ahead.value], "forecast"),
        ],
        title=f"{circuit}: forecast of what follows",
        start=ahead.start - len(before) * newest.step,
        step=newest.step,
        unit=unit,
        band=Band("95 % interval", [*blank, *ahead.lo_95], [*blank, *ahead.hi_95]),
    )


def check_forecast(what: str, forecast: ForecastValues, steps: int) -> tuple[Verdict, Verdict]:
    """Ask for as many rows as the horizon has, all numbers, the wider interval outside."""
    rows = len(forecast.value)
    edges = (forecast.lo_95, forecast.lo_80, forecast.hi_80, forecast.hi_95)
    bad = sum(
        not (math.isfinite(value) and all(map(math.isfinite, row)) and list(row) == sorted(row))
        for value, row in zip(forecast.value, zip(*edges, strict=True), strict=True)
    )
    return (
        Verdict(f"rows, {what}", passed=rows == steps, reason=f"{rows} rows for {steps} steps"),
        Verdict(
            f"finite, {what}",
            passed=bad == 0,
            reason=f"{bad} of {rows} rows hold no finite forecast with ordered intervals",
        ),
    )


def check_range(
    forecasts: Sequence[ForecastValues],
    history: Series,
    minimum: float | None,
    maximum: float | None,
    tolerance: float,
) -> Verdict:
    """Ask whether forecasts stay near what was ever read, or inside the spec's limits."""
    known = [float(value) for value in history.values if math.isfinite(value)]
    width = (max(known) - min(known)) * tolerance
    low = min(known) - width if minimum is None else minimum
    high = max(known) + width if maximum is None else maximum
    values = [float(value) for forecast in forecasts for value in forecast.value]
    return Verdict(
        "range",
        passed=all(low <= value <= high for value in values),
        reason=f"forecasts from {figure(min(values))} to {figure(max(values))}, "
        f"limits {figure(low)} to {figure(high)}",
    )


def check_golden(model: FittedModel) -> Verdict:
    """Ask whether this environment gives the forecast that was stored when the model was made."""
    same = model.reproduces_golden()
    reason = "reproduced bit for bit" if same else "not reproduced: another environment"
    return Verdict("golden forecast", passed=same, reason=reason)


def check_skill(proof: Proof, minimum: float) -> Verdict:
    """Ask whether the backtest is not below the floor, as the gate does."""
    if proof.metrics.points == 0:
        return judge_unscored("skill", proof.forecaster)
    wape = proof.floor.wape if proof.forecaster == FLOOR else proof.metrics.wape
    return judge_skill(wape, proof.floor.wape, minimum)


def check_digest(what: str, expected: str, found: str) -> Verdict:
    """Ask whether something is what this notebook is about."""
    return Verdict(
        f"digest, {what}",
        passed=expected == found,
        reason=f"{found[:12]}, expected {expected[:12]}",
    )


def checks_table(checks: Sequence[Verdict]) -> str:
    """Every assertion with its answer."""
    return table(
        ("assertion", "holds", "why"),
        [(check.gate, "yes" if check.passed else "NO", check.reason) for check in checks],
    )


def insist(checks: Sequence[Verdict]) -> str:
    """Return one closing line, or fail with all that does not hold; a warning stops nothing."""
    failed = [f"{check.gate}: {check.reason}" for check in checks if check.refuses]
    if failed or not checks:
        raise AssertionError("; ".join(failed) or "nothing was checked")
    warned = [check.gate for check in checks if not check.passed]
    held = f"all {len(checks)} assertions hold"
    return f"{held}, with a warning of {', '.join(warned)}" if warned else held


def _shown(name: str, value: float) -> str:
    if name in _SHARES:
        return share(value)
    return str(value) if isinstance(value, int) else figure(value)


def _optional(value: float | None, shown: object) -> str:
    return "-" if value is None or not callable(shown) else str(shown(value))


def _gaps(series: Series) -> list[int]:
    """Lengths of the runs without a reading."""
    gaps, run = [], 0
    for value in series.values.tolist():
        if math.isfinite(value):
            gaps.append(run)
            run = 0
        else:
            run += 1
    return [gap for gap in [*gaps, run] if gap]


def _tail(series: Series, count: int) -> list[float]:
    return [float(value) for value in series.values[-count:]]


def _pairs(forecast: np.ndarray, actual: np.ndarray) -> list[tuple[float, float]]:
    return [
        (float(value), float(truth))
        for value, truth in zip(forecast, actual, strict=True)
        if math.isfinite(truth)
    ]


def _mae(forecast: np.ndarray, actual: np.ndarray) -> float:
    pairs = _pairs(forecast, actual)
    return math.fsum(abs(v - t) for v, t in pairs) / len(pairs) if pairs else math.nan


def _wape(forecast: np.ndarray, actual: np.ndarray) -> float:
    pairs = _pairs(forecast, actual)
    total = math.fsum(abs(t) for _, t in pairs)
    return math.fsum(abs(v - t) for v, t in pairs) / total if total else math.nan


def _inside(lo: np.ndarray, hi: np.ndarray, actual: np.ndarray) -> float:
    triples = [
        (float(low), float(truth), float(high))
        for low, truth, high in zip(lo, actual, hi, strict=True)
        if math.isfinite(truth)
    ]
    return sum(low <= t <= high for low, t, high in triples) / len(triples) if triples else math.nan
