"""What should exist: plants, circuits, their specs, and the policy for releasing them.

These dataclasses are the config schema. `catalog.py` reads files into them; the text of each
field's metadata is the documentation that people see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar, Literal

from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef

Interval = Literal["15min", "30min", "1h"]
Effort = Literal["fast", "balanced", "best"]
Hyperparameter = bool | int | float | str

STEP: Mapping[Interval, timedelta] = {
    "15min": timedelta(minutes=15),
    "30min": timedelta(minutes=30),
    "1h": timedelta(hours=1),
}

# Changing the default of any field below changes what old specs mean: raise the epoch with it,
# so that their digests change too.
SCHEMA_EPOCH = 1


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingLimits:
    """What a believable reading of this circuit is, in the circuit's unit."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    minimum: float | None = field(default=None, metadata=_doc("lowest believable value"))
    maximum: float | None = field(default=None, metadata=_doc("highest believable value"))
    maximum_gap_hours: int = field(
        default=24,
        metadata=_doc("longer silence before a forecast day makes that day's forecast a fallback"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What one circuit's config asks for."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    cutoff_date: date = field(metadata=_doc("last whole local day a model may learn from"))
    forecaster: str = field(
        default="auto",
        metadata=_doc("a forecaster of the catalogue, or auto to choose by backtest"),
    )
    hyperparameters: Mapping[str, Hyperparameter] = field(
        default_factory=dict, metadata=_doc("settings of that forecaster; none with auto")
    )
    environment: str = field(
        default="forecasting:1.0.0", metadata=_doc("NAME:MAJOR.MINOR.PATCH of config/environments")
    )
    horizon: int = field(default=24, metadata=_doc("hours forecast from 00:00 of a day"))
    interval: Interval = field(default="1h", metadata=_doc("15min, 30min or 1h between readings"))
    timezone: str = field(default="UTC", metadata=_doc("IANA zone whose midnight begins a day"))
    unit: str = field(default="", metadata=_doc("unit of the readings, for people"))
    features: tuple[str, ...] = field(
        default=(), metadata=_doc("feature columns of the readings, or calendar features")
    )
    effort: Effort = field(
        default="balanced", metadata=_doc("fast, balanced or best; read with forecaster: auto")
    )
    limits: ReadingLimits = field(
        default_factory=ReadingLimits, metadata=_doc("what a believable reading is")
    )

    @property
    def step(self) -> timedelta:
        """Time between two readings."""
        return STEP[self.interval]

    @property
    def steps_per_day(self) -> int:
        """Readings in 24 hours."""
        return timedelta(days=1) // self.step

    @property
    def horizon_steps(self) -> int:
        """Forecast rows from 00:00 of a day."""
        return timedelta(hours=self.horizon) // self.step

    @property
    def environment_ref(self) -> EnvironmentRef:
        """The environment version this spec names."""
        return EnvironmentRef.parse(self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What config needs to know of a forecaster without loading it.

    ``version`` rises whenever the same hyperparameters on the same data would give another model.
    ``hyperparameters`` is a dataclass type: its fields are the settings that a spec may give.
    """

    name: str
    version: int
    hyperparameters: type


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A site. ``owners`` are e-mail addresses or ``team:name``; they get its alerts."""

    plant_id: str
    name: str
    owners: tuple[str, ...]
    circuits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """One sensor loop of a plant, which gets one model.

    ``spec_digest`` is what decides whether it must be trained again; ``file`` is its spec's path
    inside the config repository.
    """

    key: CircuitKey
    spec: Spec
    spec_digest: str
    owners: tuple[str, ...]
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One pinned package of an environment, with the SHA-256 of its allowed files."""

    name: str
    version: str
    hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The software a model needs; ``digest`` covers Python, packages and their hashes."""

    ref: EnvironmentRef
    python: str
    packages: tuple[Package, ...]
    summary: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePolicy:
    """Who may open one stage."""

    roles: tuple[str, ...]
    quorum: int = 1
    expires_hours: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Limits that a release must hold before people can sign it."""

    minimum_skill: float = 0.0
    champion_margin: float = 0.02
    minimum_coverage_95: float = 0.80
    coverage_blocks: bool = False
    maximum_latency_seconds: float = 30.0
    range_tolerance: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPolicy:
    """When forecasts of a live model warn or fail, by rolling 7 days against its backtest."""

    warn_wape_ratio: float = 1.5
    fail_wape_ratio: float = 2.5
    minimum_days: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`config/release_policy.yml`: stricter than the platform's own rules, never laxer."""

    registry: StagePolicy
    production: StagePolicy
    gates: GatePolicy = field(default_factory=GatePolicy)
    quality: QualityPolicy = field(default_factory=QualityPolicy)
    four_eyes: Literal["required", "off"] = "required"
    automatic_rollback: bool = False
    maximum_parallel_training: int = 5
    freshness_hours: int = 27
    keep_runs_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the config repository says at one commit."""

    commit: str
    plants: Mapping[str, Plant]
    circuits: Mapping[CircuitKey, Circuit]
    environments: Mapping[EnvironmentRef, Environment]
    policy: Policy
    feature_columns: tuple[str, ...] = ()
