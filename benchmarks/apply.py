"""Applying fitted models to newer readings: milliseconds and error, ours beside the library's own.

Every entry of the catalogue is fitted a week before the end of real circuits and applied at the
seven midnights from there, horizon 24 hours, on all readings known by then. The library's own way
is `forward` of the same model of statsforecast, which begins anew with all readings it learned from
and, for MSTL, decomposes them again. Both read the same readings, gaps filled by the past. For
ARIMA with a season the library gets the orders that ours chose: its own search takes minutes a
circuit. Both choose their form (orders, trend, season) on all readings before the first midnight,
where a training keeps the form that its backtest judged: what is compared is how a model is
applied. Error is pooled, scored on hours whose quality is OKAY and that have a value. Seconds are
of the CPU.
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy import READINGS, _circuits, _job, _series
from benchmarks.figure import Figure
from mlops_assets.forecasters import training
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.forecasters.method import fit_single
from mlops_assets.forecasters.serialization import load
from mlops_assets.forecasters.structured import Structured
from mlops_assets.forecasters.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.domain.readings import Series
    from mlops_assets.forecasters.fitted import Fitted

LIMIT_MILLISECONDS = 10.0
# Points of WAPE by which ours may be worse than the library's.
LIMIT_POINTS = 0.1
ORIGINS, STEPS, DAY = 7, 24, 24
NAMES = tuple(name for name in ALGORITHMS if name != "auto")
_FORMS = frozenset({"auto_ets", "auto_theta", "auto_ces", "auto_arima", "mstl_arima", "mstl_ets"})


class _Way:
    """CPU seconds of one way to apply, and its errors by part."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.error = {"demand": 0.0, "air": 0.0}
        self.total = {"demand": 0.0, "air": 0.0}

    def ask(self, forecast: Callable[[], np.ndarray]) -> np.ndarray:
        began = time.process_time()
        said = forecast()
        self.seconds.append(time.process_time() - began)
        return said

    def score(self, part: str, said: np.ndarray, actual: np.ndarray, counts: np.ndarray) -> None:
        self.error[part] += float(np.abs(actual - said)[counts].sum())
        self.total[part] += float(np.abs(actual)[counts].sum())

    @property
    def milliseconds(self) -> float:
        return 1000 * float(np.mean(self.seconds))

    def wape(self, part: str) -> float:
        return 100 * self.error[part] / self.total[part] if self.total[part] else float("nan")


def measure(*, quick: bool) -> list[Figure]:
    """Apply every entry to every fifth circuit; ``quick`` takes every thirtieth."""
    if not READINGS.exists():
        sys.stderr.write(f"apply: {READINGS.name} is not beside the project: left out\n")
        return []
    circuits = _circuits()[:: 30 if quick else 5]
    training.warm_up()
    figures = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in NAMES:
            # The first circuit is asked twice: what is compiled or cached once is no apply.
            _compared(name, circuits[:1])
            figures += _figures(name, *_compared(name, circuits), len(circuits))
    return figures


def _compared(name: str, circuits: list[Any]) -> tuple[_Way, _Way | None]:
    """Fit each circuit once in both ways, and apply it at every origin."""
    ours, theirs, known = _Way(), _Way(), True
    for plant, circuit, values, counts in circuits:
        part = "air" if plant.startswith("B_") else "demand"
        first = len(values) - DAY * ORIGINS
        job = _job("balanced", plant, circuit, values[:first])
        spec = replace(job.spec, forecaster=name)
        model = load(training.fit(replace(job, spec=spec)).files)
        begin = max(0, first - model.context_steps)
        if name in _FORMS:
            read = Window.of(_series(values[:first]))
            model = replace(model, method=fit_single(name, read, {}, {}))
        library = _library(name, model, _filled(values[:first], begin))
        known = library is not None
        for at in range(first, len(values), DAY):
            actual, scored = values[at : at + STEPS], counts[at : at + STEPS]
            said = ours.ask(partial(_applied, model, _series(values[:at])))
            ours.score(part, said, actual, scored)
            if library is not None:
                said = theirs.ask(partial(library, _filled(values[:at], begin)))
                theirs.score(part, said, actual, scored)
    return ours, theirs if known else None


def _applied(model: Fitted, series: Series) -> np.ndarray:
    return model.apply(series, STEPS).value


def _filled(values: np.ndarray, begin: int) -> np.ndarray:
    """The readings from ``begin`` on, without gaps."""
    return np.array(Window.of(_series(values), len(values) - begin).values)


def _library(
    name: str, model: Fitted, values: np.ndarray
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Fit the library's own model; None where it has none."""
    from statsforecast.models import (
        ARIMA,
        MSTL,
        AutoARIMA,
        AutoCES,
        AutoETS,
        AutoTheta,
        SeasonalNaive,
    )

    match name:
        case "seasonal_naive":
            fitted = SeasonalNaive(season_length=DAY)
        case "auto_ets":
            fitted = AutoETS(season_length=DAY, model="AZA")
        case "auto_theta":
            fitted = AutoTheta(season_length=DAY)
        case "auto_ces":
            fitted = AutoCES(season_length=DAY)
        case "auto_arima":
            method = model.method
            assert isinstance(method, Structured)
            order = tuple(int(number) for number in method.core.variant.split())
            fitted = ARIMA(order=order, season_length=DAY, seasonal_order=(0, 1, 1), method="CSS")
        case "mstl_arima":
            fitted = MSTL([DAY, 7 * DAY], trend_forecaster=AutoARIMA())
        case "mstl_ets":
            fitted = MSTL([DAY, 7 * DAY], trend_forecaster=AutoETS(model="AZN"))
        case _:
            return None
    fitted = fitted.fit(values)
    if name == "auto_arima":
        # A fit by sums of squares leaves the library no state to forecast from.
        fitted.method = "ML"
    return lambda read: np.asarray(fitted.forward(y=read, h=STEPS)["mean"])


def _figures(name: str, ours: _Way, theirs: _Way | None, circuits: int) -> list[Figure]:
    details: dict[str, Any] = {"circuits": circuits, "applied": len(ours.seconds)}
    details |= {f"wape_{part}": round(ours.wape(part), 3) for part in ours.error}
    if theirs is not None:
        details["library_milliseconds"] = round(theirs.milliseconds, 3)
        details |= {f"library_wape_{part}": round(theirs.wape(part), 3) for part in theirs.error}
    found = [
        Figure(
            name=f"apply_{name}",
            figure=round(ours.milliseconds, 3),
            limit=LIMIT_MILLISECONDS,
            unit="ms",
            details=details,
        )
    ]
    if theirs is not None:
        found += [
            Figure(
                name=f"apply_wape_{name}_{part}",
                figure=round(ours.wape(part) - theirs.wape(part), 3),
                limit=LIMIT_POINTS,
                unit="points",
                details={
                    "ours": details[f"wape_{part}"],
                    "library": details[f"library_wape_{part}"],
                },
            )
            for part in ours.error
        ]
    return found
