"""Rivals: what competes over the origins of one backtest, from nothing or from a warm start."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.catalogue import WeightedSettings, settings_of
from mlops_assets.forecasters.choice import FEWEST_OVER, mean_error, speakers
from mlops_assets.forecasters.contest import contest
from mlops_assets.forecasters.fitted import Fitted
from mlops_assets.forecasters.method import fit_members, fit_method
from mlops_assets.forecasters.ridge import SilentFeatureError
from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.structured import Structured
from mlops_assets.forecasters.warm_start import Known, drifted, known_before, learned_from, ratio_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.model import FitJob
    from mlops_assets.domain.warm_start import Learned, WarmStart
    from mlops_assets.forecasters.backtest import Origins
    from mlops_assets.forecasters.median import Single
    from mlops_assets.forecasters.method import Method
    from mlops_assets.forecasters.window import Window

FLOOR = "seasonal_naive"
_DAY = timedelta(days=1)


@dataclass(slots=True)
class Rival:
    """One candidate's forecasts at every origin, and how long they took.

    ``variants`` are what was fitted, by label. Where it is a weighted mean, ``weights`` are those
    of its members and ``left`` says who was sent home.
    """

    label: str
    forecast: np.ndarray
    seconds: float
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    left: Mapping[str, datetime] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)


class Rivals:
    """The candidates of one job at its origins; lines about them go to ``log``.

    ``floor`` holds the seasonal naive's forecasts, ``members`` those of a weighted mean, ``proof``
    those that prove the choice: at each origin of whoever would have been chosen there.
    ``warm_start`` is what they began from.
    """

    def __init__(
        self, job: FitJob, origins: Origins, windows: Sequence[Window], log: list[str]
    ) -> None:
        self.job = job
        self.origins = origins
        self.windows = windows
        self.log = log
        self.members: list[Rival] = []
        self.floor = self.applied(SeasonalNaive(_DAY // job.spec.step))
        self.proof = self.floor
        self.warm_start: WarmStart | None = None
        self._known: Known | None = None

    def variants(self, rival: Rival) -> Mapping[str, str]:
        """The variants, by label, that a model of this rival has: those that were backtested."""
        return rival.variants or (self._known.variants if self._known else {})

    def compete(self, labels: Sequence[str]) -> list[Rival]:
        """Fit and apply candidates, from a warm start where there is one that is good enough."""
        warm_start = self.job.warm_start
        self._known = known_before(warm_start, self.job.spec, self.origins.moments, self.log)
        rivals = list(self._rivals(labels))
        self.proof = self._proved(rivals)
        if warm_start is None or self._known is None:
            return rivals
        self.warm_start = warm_start
        row, why = self._drifted(rivals, warm_start)
        if why is None:
            return rivals
        self.log.append(f"warm start: {why}; everything is tried again")
        self._known, self.members = None, []
        rivals = list(self._rivals(labels))
        # Origins before spoke from the warm start, for nobody knew there what it would come to.
        self.proof = np.concatenate([self.proof[:row], self._proved(rivals)[row:]])
        return rivals

    def _proved(self, rivals: Sequence[Rival]) -> np.ndarray:
        """Return what is said at each origin by the rival that would have been chosen there."""
        if not rivals or not self.windows:
            return self.floor
        said = [rival.forecast for rival in rivals]
        spoke = speakers(said, self.origins).tolist()
        if len(set(spoke)) > 1:
            times = [f"{each.label} {spoke.count(at)}" for at, each in enumerate(rivals)]
            self.log.append(f"backtest: who would have been chosen, origins: {', '.join(times)}")
        return np.stack([said[rival][row] for row, rival in enumerate(spoke)])

    def _drifted(self, rivals: Sequence[Rival], warm_start: WarmStart) -> tuple[int, str | None]:
        """Return the first origin at which a full contest is held, and why; no one is, if none.

        At an origin what is over by then decides; the contest before is compared with at the end,
        because it saw some of these days.
        """
        mean = next((rival for rival in rivals if rival.weights), None)
        rows = len(self.origins.moments)
        for row, moment in enumerate(self.origins.moments):
            over = self.origins.over_at(moment)
            if mean is not None and over.sum() >= FEWEST_OVER:
                error, floor = (self._error(said, over) for said in (mean.forecast, self.floor))
                if why := drifted(ratio_of(error, floor)):
                    return row, f"{why} at {moment:%Y-%m-%d %H:%M}"
        return rows, drifted(self._ratio(rivals), warm_start)

    def learned(self, rivals: Sequence[Rival]) -> Learned | None:
        """Return what the next `auto` may begin from."""
        mean = next((rival for rival in rivals if rival.weights), None)
        if self.job.spec.forecaster != "auto" or mean is None:
            return None
        return learned_from(
            self.job.spec,
            self.origins.moments[0],
            variants=mean.variants,
            left=mean.left,
            ratio=self._ratio(rivals),
            before=self.warm_start if self._known else None,
        )

    def applied(self, model: Method | Fitted) -> np.ndarray:
        """Forecast at every origin; NaN where a feature had been silent for too long."""
        steps = self.job.spec.horizon_steps
        result = np.full((len(self.windows), steps), np.nan)
        for row, (window, moment) in enumerate(
            zip(self.windows, self.origins.moments, strict=True)
        ):
            try:
                if isinstance(model, Fitted):
                    result[row] = model.point(window.last(model.context_steps), steps)
                else:
                    result[row] = window.forecast_by(model, steps)
            except SilentFeatureError as error:
                self.log.append(f"no forecast at {moment:%Y-%m-%d %H:%M}: {error}")
        return self._scorable(result)

    def mae(self, rival: Rival) -> float:
        """Return the mean absolute error over all origins, infinite where none is known."""
        return self._error(rival.forecast, np.ones(len(self.origins.moments), dtype=bool))

    def _error(self, forecast: np.ndarray, over: np.ndarray) -> float:
        return mean_error(np.abs(self.origins.actual - forecast)[over])

    def _ratio(self, rivals: Sequence[Rival]) -> float:
        """Return the weighted mean's error over the floor's, NaN where there is none."""
        floor = self.mae(Rival(FLOOR, self.floor, 0.0))
        errors = [self.mae(rival) for rival in rivals if rival.weights]
        return ratio_of(errors[0], floor) if errors else math.nan

    def _rivals(self, labels: Sequence[str]) -> Iterable[Rival]:
        """Fit each candidate before the first origin and apply it at all; skip what cannot be."""
        shared: dict[str, Single] = {}
        for label in labels:
            began = time.perf_counter()
            try:
                if label == FLOOR:
                    rival = Rival(label, self.floor, 0.0)
                elif not self.windows:
                    rival = Rival(label, self.floor[:0], 0.0)
                elif isinstance(settings := settings_of(label)[1], WeightedSettings):
                    rival = self._weighted(label, settings, shared)
                else:
                    method = fit_method(label, self.windows[0], shared, {}, {})
                    rival = Rival(label, self.applied(method), 0.0, variants=variants_of(shared))
            except ModelError as error:
                if len(labels) == 1:
                    raise ModelError(f"{self.job.circuit}: {error}") from error
                self.log.append(f"candidate {label}: left out, {error}")
                continue
            rival.seconds = time.perf_counter() - began
            yield rival

    def _weighted(self, label: str, settings: WeightedSettings, shared: dict[str, Single]) -> Rival:
        """Let the members of a weighted mean compete; those that stay are scored in the log."""
        known = self._known or Known()
        labels = [member for member in settings.labels() if member not in known.left]
        members, lines = fit_members(labels, self.windows[0], shared, known.variants)
        self.log += lines
        result = contest(members, self.windows, self.origins, self.job.spec.horizon_steps)
        self.log += result.log
        for member, said in result.said.items():
            rival = Rival(member, self._scorable(said), result.seconds[member])
            self.members.append(rival)
        forecast = self._scorable(result.forecast)
        return Rival(label, forecast, 0.0, result.weights, result.left, variants_of(members))

    def _scorable(self, forecast: np.ndarray) -> np.ndarray:
        """Return forecasts where an actual exists, NaN elsewhere."""
        return np.where(np.isnan(self.origins.actual), np.nan, forecast)


def variants_of(fitted: Mapping[str, Single]) -> dict[str, str]:
    """Return what was chosen for those models that have a choice, by label."""
    return {
        label: model.core.variant
        for label, model in fitted.items()
        if isinstance(model, Structured)
    }
