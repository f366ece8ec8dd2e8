"""Training: one circuit's readings in, one fitted model with its proof out.

`fit` is a pure function of the job and safe to send to a worker process: the same job gives the
same files, bit for bit. A worker calls `warm_up` once, before its first job.
"""

from __future__ import annotations

import math
import time
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.domain.conformal import (
    Widths,
    earlier_widths,
    newest_widths,
)
from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.evaluation import (
    Backtest,
    Metrics,
    metrics,
    seasonal_scale,
)
from mlops_assets.domain.feature import measured
from mlops_assets.domain.model import CandidateScore, FitResult
from mlops_assets.forecasters.backtest import History, Origins
from mlops_assets.forecasters.catalogue import (
    ALGORITHMS,
    candidates,
    refused_features,
    settings_of,
)
from mlops_assets.forecasters.fitted import Fitted, measured_by
from mlops_assets.forecasters.method import fit_method
from mlops_assets.forecasters.rival import Rival, Rivals
from mlops_assets.forecasters.serialization import dump, load
from mlops_assets.forecasters.window import Asked, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.domain.model import FitJob
    from mlops_assets.domain.readings import Series
    from mlops_assets.forecasters.median import Single

__all__ = ["fit", "warm_up"]

_DAY = timedelta(days=1)
# A circuit silent for longer before its cutoff has nothing to tell about tomorrow.
_LONGEST_SILENCE = timedelta(days=28)
_FEWEST_COMMON_ORIGINS = 7
# Widths of 80 and 95 % of a normal distribution, where no error was ever measured.
_NORMAL_80, _NORMAL_95 = 1.2816, 1.96


def fit(job: FitJob) -> FitResult:
    """Choose, fit and prove a forecaster for one circuit.

    Raises:
        ModelError: in one line, why these readings give no such model.
    """
    began = time.perf_counter()
    series = _checked(job)
    with warnings.catch_warnings():
        # Libraries warn about single candidates; the backtest judges them.
        warnings.simplefilter("ignore")
        with np.errstate(all="ignore"):
            return _Training(job, series).result(began)


def warm_up() -> None:
    """Import the model library and fit one small series, so that the first circuit need not.

    ARIMA's part of it, a second more, is left to whoever fits one.
    """
    from mlops_assets.forecasters.ets import Ets

    hours = np.arange(24.0 * 14)
    values = 10 + np.sin(hours / 24 * 2 * math.pi) + np.cos(hours * hours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Ets.fit(values, 0, 24, "none")


def _checked(job: FitJob) -> Series:
    """Refuse what can give no model, in words that name the circuit and the cause."""
    series, spec = job.series, job.spec
    if refusal := refused_features(spec):
        raise ModelError(f"{job.circuit}: {refusal}")
    if absent := [name for name in measured(spec.features) if name not in series.features]:
        raise ModelError(
            f"{job.circuit}: features {', '.join(absent)}: the readings have no such column; "
            "correct the name or leave it out"
        )
    if series.step != spec.step:
        raise ModelError(
            f"{job.circuit}: readings are every {series.step}, the spec says {spec.interval}: "
            "correct `interval`"
        )
    known = np.flatnonzero(np.isfinite(series.values))
    if not known.size:
        raise ModelError(f"{job.circuit}: no readings up to {spec.cutoff_date}")
    newest = series.start + int(known[-1]) * series.step
    if series.end - newest > _LONGEST_SILENCE:
        raise ModelError(
            f"{job.circuit}: the newest reading, {newest:%Y-%m-%d %H:%M} UTC, is "
            f"{(series.end - newest).days} days before the end of {spec.cutoff_date}: choose an "
            "earlier cutoff_date or leave the circuit out"
        )
    return series


class _Training:
    """The steps of one fit, with the lines of its log."""

    def __init__(self, job: FitJob, series: Series) -> None:
        self.job = job
        self.series = series
        self.spec = job.spec
        self.day = _DAY // series.step
        self.origins = Origins.of(series, job.spec)
        self.histories = self.origins.histories()
        self.asked = Asked(job.spec.horizon_steps, job.spec.timezone, job.spec.features)
        self.windows = tuple(
            Window.of(history.series, asked=self.asked) for history in self.histories
        )
        self.log: list[str] = []
        self.rivals = Rivals(job, self.origins, self.windows, self.log)

    def result(self, began: float) -> FitResult:
        labels = candidates(self.spec)
        self._say_data()
        floor = self.rivals.floor
        rivals = self.rivals.compete(labels)
        chosen, model = self._chosen(rivals, labels)
        incumbent = self._incumbent()
        proof = self.rivals.proof
        backtest = Backtest(self.origins.moments, self.origins.actual, proof, floor, incumbent)
        files = dump(model)
        results = self._metrics(proof)
        self.log.append(
            f"intervals: conformal, {len(self.histories)} origins"
            + (", approximate" if model.approximate else "")
            + f"; coverage {results.coverage_80:.3f} of 80 %, {results.coverage_95:.3f} of 95 %"
        )
        return FitResult(
            circuit=self.job.circuit,
            forecaster=chosen.label,
            algorithm_version=model.algorithm_version,
            files=files,
            metrics=results,
            floor=self._metrics(floor),
            incumbent=None if incumbent is None else self._metrics(incumbent),
            candidates=[self._score(rival) for rival in self._shown(rivals)],
            backtest=backtest,
            log=tuple(self.log),
            seconds=time.perf_counter() - began,
            warm_start=self.rivals.warm_start,
            learned=self.rivals.learned(rivals),
        )

    def _say_data(self) -> None:
        known = np.isfinite(self.series.values)
        self.log.append(
            f"{self.job.circuit}: {int(known.sum())} readings every {self.spec.interval} from "
            f"{self.series.start:%Y-%m-%d %H:%M} to {self.series.end:%Y-%m-%d %H:%M} UTC, "
            f"{int((~known).sum())} gaps"
        )
        if self.histories:
            first, last = self.origins.moments[0], self.origins.moments[-1]
            self.log.append(
                f"backtest: {len(self.histories)} origins from {first:%Y-%m-%d %H:%M} to "
                f"{last:%Y-%m-%d %H:%M} UTC, {self.spec.horizon_steps} steps, fitted once"
            )
        else:
            self.log.append("backtest: none, there is no local midnight between two readings")

    def _chosen(self, rivals: Sequence[Rival], labels: Sequence[str]) -> tuple[Rival, Fitted]:
        """Return the best rival that can be fitted to everything up to the cutoff, fitted.

        Readings of the last days, which no origin learned from, may rule a candidate out: the first
        negative one rules out logarithms.
        """
        best = self._best(rivals, labels)
        try:
            model = self._final(best)
        except ModelError as error:
            left = [rival for rival in rivals if rival is not best]
            if not left:
                raise ModelError(f"{self.job.circuit}: {error}") from error
            self.log.append(f"candidate {best.label}: not for all readings, {error}")
            return self._chosen(left, labels)
        for rival in self._shown(rivals) if self.windows else ():
            score = self._score(rival)
            mark = " <- chosen" if rival is best else ""
            if rival.label in best.weights:
                mark = f", weight {best.weights[rival.label].mean():.3f}"
            self.log.append(
                f"candidate {rival.label}: MAE {score.mae:.6g}, WAPE {score.wape:.4f}{mark}"
            )
        return best, model

    def _shown(self, rivals: Sequence[Rival]) -> list[Rival]:
        """Rivals, and members of theirs that are none themselves, each label once."""
        shown = {rival.label: rival for rival in (*self.rivals.members, *rivals)}
        return list(shown.values())

    def _best(self, rivals: Sequence[Rival], labels: Sequence[str]) -> Rival:
        """Return the lowest MAE over all origins; the floor, tried first, wins ties.

        Chosen by every origin, it is proved by none of its own forecasts there: `Rivals.proof` is.
        """
        if self.windows:
            return min(rivals, key=self.rivals.mae)
        # Nothing was measured: take what was made for the fewest readings.
        young = [rival for rival in rivals if rival.label in {"cold_start", labels[0]}]
        return (young or rivals)[-1]

    def _score(self, rival: Rival) -> CandidateScore:
        scored = self._metrics(rival.forecast, intervals=False)
        return CandidateScore(
            forecaster=rival.label, mae=scored.mae, wape=scored.wape, seconds=rival.seconds
        )

    def _metrics(self, forecast: np.ndarray, *, intervals: bool = True) -> Metrics:
        """Score forecasts; intervals on the later origins, made of the errors before each."""
        actual = self.origins.actual
        if intervals:
            width_80, width_95 = earlier_widths(np.abs(actual - forecast), self.day)
        else:
            width_80 = width_95 = np.full(actual.shape, np.nan)
        scale = seasonal_scale(self.series.values, self.day)
        return metrics(
            actual,
            forecast,
            forecast - width_80,
            forecast + width_80,
            forecast - width_95,
            forecast + width_95,
            scale,
        )

    def _incumbent(self) -> np.ndarray | None:
        """Return the live model's forecasts at the origins that it did not learn from.

        None with fewer than a week of those: on days that it learned from it cannot be compared,
        only flattered, and a new cutoff soon after the old one would always be refused.
        """
        if self.job.incumbent is None or not self.windows:
            return None
        try:
            model = load(self.job.incumbent)
            forecast = self.rivals.applied(model)
        except ModelError as error:
            self.log.append(f"incumbent: cannot be compared, {error}")
            return None
        learned = np.array([moment < model.cutoff for moment in self.origins.moments])
        common = len(learned) - int(learned.sum())
        if common < _FEWEST_COMMON_ORIGINS:
            self.log.append(
                f"incumbent {model.forecaster}: not compared, it learned from {int(learned.sum())} "
                f"of {len(learned)} origins and {_FEWEST_COMMON_ORIGINS} others are needed"
            )
            return None
        forecast[learned] = np.nan
        self.log.append(f"incumbent {model.forecaster}: compared on {common} origins")
        return forecast

    def _final(self, chosen: Rival) -> Fitted:
        """Fit the chosen one to everything up to the cutoff, in the form that was backtested.

        Orders, trends and seasons that newer readings would choose are another model than the one
        that the backtest speaks of, and choosing them again costs most of a fit.
        """
        window = Window.of(History(self.series, self.series.end).series, asked=self.asked)
        fitted: dict[str, Single] = {}
        method = fit_method(
            chosen.label, window, fitted, chosen.weights, self.rivals.variants(chosen)
        )
        self.log += [
            f"candidate {label}: not for all readings, its weight goes to the others"
            for label in chosen.weights
            if label not in fitted
        ]
        widths = self._widths(chosen, window)
        context = self.series.values[-method.context_steps :]
        context = context[int(np.flatnonzero(np.isfinite(context))[0]) :]
        filled = Window.of(self.series, len(context))
        names = measured_by(method)
        name, _ = settings_of(chosen.label)
        end = self.series.end
        return Fitted(
            forecaster=chosen.label,
            algorithm_version=ALGORITHMS[name].version,
            step_seconds=int(self.series.step.total_seconds()),
            trained_until=int(end.timestamp()),
            method=method,
            width_80=widths.width_80,
            width_95=widths.width_95,
            approximate=widths.approximate,
            lowest_allowed=0.0 if window.lowest >= 0 else None,
            context=filled.values,
            context_features=np.stack([filled.feature(name)[0] for name in names])
            if names
            else None,
        )

    def _widths(self, chosen: Rival, window: Window) -> Widths:
        """Return the widths of the chosen one's own errors."""
        errors = np.abs(self.origins.actual - chosen.forecast)
        if not np.isnan(errors).all():
            return newest_widths(errors)
        spread = float(window.values.std()) or abs(float(window.values[-1])) / 2
        flat = np.full(self.spec.horizon_steps, spread)
        return Widths(flat * _NORMAL_80, flat * _NORMAL_95, approximate=True)
