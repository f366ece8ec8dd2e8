"""An engine that fits at once and in this process, slots that count, and cheap fits for both."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.domain.errors import MlopsError, ModelError
from mlops_assets.domain.evaluation import Backtest, Metrics
from mlops_assets.domain.model import MODEL_FILES, CandidateScore, FitJob, FitResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def cheap_fit(job: FitJob) -> FitResult:
    """A result that depends on nothing but the job."""
    level = float(np.nanmean(job.series.values))
    figures = dict.fromkeys(("mae", "rmse", "mase", "wape", "r2"), 0.5)
    metrics = Metrics(**figures, coverage_80=0.8, coverage_95=0.95, points=48)
    floor = Metrics(**{**figures, "wape": 0.6}, coverage_80=0.8, coverage_95=0.95, points=48)
    day = np.full((2, 24), level)
    origins = [job.series.end - timedelta(days=2), job.series.end - timedelta(days=1)]
    incumbent = job.incumbent is not None
    return FitResult(
        circuit=job.circuit,
        forecaster="seasonal_naive",
        algorithm_version=1,
        files={name: f"{name} {level!r} {job.spec.cutoff_date}".encode() for name in MODEL_FILES},
        metrics=metrics,
        floor=floor,
        incumbent=metrics if incumbent else None,
        candidates=[CandidateScore(forecaster="seasonal_naive", mae=0.5, wape=0.5, seconds=0.0)],
        backtest=Backtest(origins, day, day + 0.5, day + 0.6, day + 0.5 if incumbent else None),
        log=[f"level {level!r}"],
        seconds=0.0,
    )


def moody_fit(job: FitJob) -> FitResult:
    """Do what the circuit's name says: fail, break, die, hang, eat memory, or be cheap."""
    match job.circuit.circuit_id:
        case "REFUSES":
            raise ModelError("nothing but gaps")
        case "BREAKS":
            raise ZeroDivisionError("by nothing\nat all")
        case "DIES":
            os._exit(3)
        case "HANGS":
            time.sleep(600)
        case "EATS":
            np.empty(3 * 2**30, np.uint8)  # never touched: only the limit refuses it
        case "LINGERS":
            time.sleep(0.4)
    return cheap_fit(job)


class FakeFittingEngine:
    """Fits in order of size, in this process; ``fitted`` remembers every job."""

    def __init__(self, fit: Callable[[FitJob], FitResult] = cheap_fit, workers: int = 1) -> None:
        self.function = fit
        self.workers = workers
        self.fitted: list[FitJob] = []

    def fit(self, jobs: Sequence[FitJob]) -> Iterator:
        for job in jobs:
            self.fitted.append(job)
            try:
                yield job.circuit, self.function(job)
            except MlopsError as error:
                yield job.circuit, str(error)


class FakeTrainingSlots:
    """As many slots as anyone asks for; ``most`` is how many were held at once."""

    def __init__(self) -> None:
        self.held = self.most = 0

    @contextmanager
    def take(self) -> Iterator[int]:
        self.held += 1
        self.most = max(self.most, self.held)
        try:
            yield self.held - 1
        finally:
            self.held -= 1


class BrokenTrainingSlots:
    """Slots that nobody can take."""

    @contextmanager
    def take(self) -> Iterator[int]:
        raise PermissionError(13, "Permission denied", "locks/training/turn")
        yield 0
