"""Models: what a forecaster must offer, and what the registry remembers of a fitted one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    import numpy as np

    from mlops_assets.domain.circuit import Spec
    from mlops_assets.domain.evaluation import Backtest, Metrics
    from mlops_assets.domain.identifiers import CircuitKey, DataVersion, EnvironmentRef
    from mlops_assets.domain.readings import Series
    from mlops_assets.domain.warm_start import Learned, WarmStart

MODEL_FORMAT = 1
# The files a model consists of; any other file beside them is refused.
MODEL_FILES = ("model.json", "arrays.npz", "golden.json")
# Tags that a second run of the same training would not repeat; digested content never holds them.
RUN_TAGS = ("trained_at", "seconds")
# How many days a plan wants before it trains anything else than `cold_start`.
COLD_START_DAYS = 14


@dataclass(frozen=True, slots=True)
class ForecastValues:
    """A forecast on a regular grid from ``start``: arrays of one length, intervals included.

    ``approximate`` says that the intervals were pooled over neighbouring steps because the
    backtest had too few origins.
    """

    start: datetime
    step: timedelta
    value: np.ndarray
    lo_80: np.ndarray
    hi_80: np.ndarray
    lo_95: np.ndarray
    hi_95: np.ndarray
    approximate: bool


class FittedModel(Protocol):
    """A model that can be applied to newer readings without fitting again."""

    @property
    def forecaster(self) -> str:
        """Name in the catalogue."""

    @property
    def context_steps(self) -> int:
        """How many steps before the forecast `apply` looks at, at most."""

    def apply(self, series: Series, steps: int) -> ForecastValues:
        """Forecast the ``steps`` that follow the last value of ``series``.

        Raises ModelError when the series is too short or holds nothing but gaps.
        """

    def reproduces_golden(self) -> bool:
        """Whether this environment gives the forecast stored at fit time, bit for bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """Everything one fit needs; picklable, so an engine may send it to a worker.

    ``series`` ends with the cutoff date's last step. ``incumbent`` is the live model's files, to be
    scored on the same origins, and ``warm_start`` what it learned, to begin from. ``data`` is the
    version of the registered training data that the series was read from, where it is one.
    """

    circuit: CircuitKey
    spec: Spec
    series: Series
    incumbent: Mapping[str, bytes] | None = None
    warm_start: WarmStart | None = None
    seed: int = 0
    data: DataVersion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateScore:
    """How one forecaster of the catalogue did in the backtest."""

    forecaster: str
    mae: float
    wape: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """A fitted model with its proof. Everything but ``seconds`` repeats on the same job.

    ``warm_start`` is the job's where the training began from it, ``learned`` what the next one may
    begin from. ``candidates`` are scored on all origins, with the winner known.
    """

    circuit: CircuitKey
    forecaster: str
    algorithm_version: int
    files: Mapping[str, bytes]
    metrics: Metrics
    floor: Metrics
    incumbent: Metrics | None
    candidates: Sequence[CandidateScore]
    backtest: Backtest
    log: Sequence[str]
    seconds: float
    warm_start: WarmStart | None = None
    learned: Learned | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """One registered model version, in dev or in the shared registry.

    ``digest`` is `identifiers.digest_of_files` of its files. ``tags`` are texts for people and
    lookups (design section 5); only what they repeat of digests is evidence.
    """

    circuit: CircuitKey
    version: int
    digest: str
    spec_digest: str
    data_version: DataVersion
    data_digest: str
    environment: EnvironmentRef
    environment_digest: str
    config_commit: str
    tags: Mapping[str, str]
