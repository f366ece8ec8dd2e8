"""What should exist: plants, circuits, their specs, and the policy for releasing them.

These dataclasses are the config schema. `catalog.py` reads files into them; the text of each
field's metadata is the documentation that people see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from mlops_assets.domain.contract import CONTRACT_FIELDS, ReadingLimits
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef, decimal_text, digest_of
from mlops_assets.domain.model import COLD_START_DAYS
from mlops_assets.domain.source import Sources

Interval = Literal["15min", "30min", "1h"]
Effort = Literal["fast", "balanced", "best"]
Severity = Literal["notice", "warning", "critical"]
Hyperparameter = bool | int | float | str

STEP: Mapping[Interval, timedelta] = {
    "15min": timedelta(minutes=15),
    "30min": timedelta(minutes=30),
    "1h": timedelta(hours=1),
}

# Changing the default of any field below changes what old specs mean: raise the epoch with it,
# so that their digests change too.
SCHEMA_EPOCH = 1

MAXIMUM_HORIZON_HOURS = 14 * 24


def _doc(text: str) -> dict[str, Any]:
    return {"doc": text}


def _within(text: str, minimum: float, maximum: float) -> dict[str, Any]:
    return {"doc": f"{text}, {minimum} to {maximum}", "minimum": minimum, "maximum": maximum}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What one circuit's config asks for."""

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
    horizon: int = field(
        default=24,
        metadata=_within("hours forecast from 00:00 of a day", 1, MAXIMUM_HORIZON_HOURS),
    )
    interval: Interval = field(default="1h", metadata=_doc("15min, 30min or 1h between readings"))
    timezone: str = field(default="UTC", metadata=_doc("IANA zone whose midnight begins a day"))
    unit: str = field(default="", metadata=_doc("unit of the readings, for people"))
    features: tuple[str, ...] = field(
        default=(), metadata=_doc("columns of the readings or of the calendar, for ridge and auto")
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

    roles: tuple[str, ...] = field(metadata=_doc("roles whose approval counts"))
    quorum: int = field(default=1, metadata=_within("different people who must approve", 1, 10))
    expires_hours: int = field(default=24, metadata=_within("hours until a request expires", 1, 24))


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Limits that a release must hold before people can sign it."""

    minimum_skill: float = field(
        default=0.0, metadata=_within("least 1 - error / error of the seasonal-naive floor", 0, 1)
    )
    champion_margin: float = field(
        default=0.02,
        metadata=_within("tolerated share by which error may exceed the live model's", 0, 0.2),
    )
    minimum_coverage_95: float = field(
        default=0.80, metadata=_within("least share of actuals inside the 95 % interval", 0, 1)
    )
    coverage_blocks: bool = field(
        default=False, metadata=_doc("whether too little coverage refuses instead of warns")
    )
    maximum_latency_seconds: float = field(
        default=30.0,
        metadata=_within("longest that a circuit's forecast may take in test", 0.001, 3600),
    )
    range_tolerance: float = field(
        default=1.0,
        metadata=_within("how far outside the known range a forecast may lie, in ranges", 0, 10),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPolicy:
    """When forecasts of a live model warn or fail, by rolling 7 days against its backtest."""

    warn_wape_ratio: float = field(
        default=1.5, metadata=_within("warn when WAPE is this many times the backtest's", 1, 100)
    )
    fail_wape_ratio: float = field(
        default=2.5,
        metadata=_within("degraded when WAPE is this many times the backtest's", 1, 100),
    )
    minimum_days: int = field(
        default=3, metadata=_within("scored days before a circuit is judged", 1, 7)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """Who hears of an incident, and where; never a secret, those are in the environment."""

    webhook: str = field(
        default="",
        metadata=_doc(
            "URL that gets each alert as JSON; a bearer token for it is read from "
            "MLOPS_ALERT_TOKEN, never from here"
        ),
    )
    webhook_severity: Severity = field(
        default="notice", metadata=_doc("least severity that the webhook gets")
    )
    smtp: str = field(
        default="",
        metadata=_doc(
            "HOST:PORT of the server that takes e-mail; MLOPS_ALERT_SMTP_USER and "
            "MLOPS_ALERT_SMTP_PASSWORD log in to it, over TLS only"
        ),
    )
    sender: str = field(default="", metadata=_doc("address that the e-mails are from"))
    mail_severity: Severity = field(
        default="notice", metadata=_doc("least severity that is sent by e-mail")
    )
    owners: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict, metadata=_doc("e-mail addresses of team:NAME, an owner of plants")
    )
    forecast_deadline_hours: int = field(
        default=2,
        metadata=_within("hours after 00:00 UTC when every live circuit has its forecast", 1, 23),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long what nobody needs any more is kept; what is live stays, whatever its age."""

    unused_days: int = field(
        default=180,
        metadata=_within("days that models, data and evidence stay that nothing names", 7, 3650),
    )
    proof_days: int = field(
        default=1095, metadata=_within("days that everything stays that people signed", 30, 36500)
    )
    predictions_days: int = field(
        default=1095,
        metadata=_within("days that forecasts stay, with all that they are traced by", 30, 36500),
    )
    automatic: bool = field(
        default=False, metadata=_doc("whether the daily upkeep removes by itself, as `mlops gc`")
    )


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
    training_timeout_minutes: int = 60
    training_memory_gigabytes: int = 4
    freshness_hours: int = 27
    keep_runs_days: int = 90
    alerts: AlertPolicy = field(default_factory=AlertPolicy)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)

    def stage(self, name: str) -> StagePolicy:
        """Who may open a stage that people open."""
        return self.registry if name == "registry" else self.production


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the config repository says at one commit."""

    commit: str
    plants: Mapping[str, Plant]
    circuits: Mapping[CircuitKey, Circuit]
    environments: Mapping[EnvironmentRef, Environment]
    policy: Policy
    feature_columns: tuple[str, ...] = ()
    sources: Sources = field(default_factory=Sources)


def spec_digest(spec: Spec, algorithm: Algorithm) -> str:
    """Return what decides whether a circuit must be trained again.

    It covers the fields that differ from the schema's defaults, so that a new field with a default
    changes no digest; hyperparameters likewise against the algorithm's. Of the environment only
    the name and MAJOR count.
    """
    environment = spec.environment_ref
    stated = {"cutoff_date", "forecaster", "hyperparameters", "environment"}
    document = {
        "schema_epoch": SCHEMA_EPOCH,
        "cutoff_date": spec.cutoff_date.isoformat(),
        "forecaster": spec.forecaster,
        "algorithm_version": algorithm.version,
        "environment": f"{environment.name}:{environment.version.major}",
        "fields": {
            name: value
            for name, value in changed_fields(_without_contract(spec)).items()
            if name not in stated
        },
        "hyperparameters": _changed_hyperparameters(spec, algorithm),
    }
    return digest_of(_canonical(document))


def changed_fields(spec: Spec) -> dict[str, Any]:
    """Return the fields of a spec that differ from the schema's defaults, by name."""
    return _differing(spec, Spec(cutoff_date=date.min))


def effective_spec(
    spec: Spec, first_reading: datetime | None, *, cold_start_days: int = COLD_START_DAYS
) -> Spec:
    """Return the spec to train by: `cold_start` where the readings up to the cutoff are too few.

    It reads no features. Without any reading the spec stays as it is: that is refused by name.
    """
    from mlops_assets.domain.readings import window_end

    if first_reading is None:
        return spec
    end = window_end(spec.cutoff_date + timedelta(days=1), spec.timezone)
    if end - first_reading >= timedelta(days=cold_start_days):
        return spec
    spec = replace(spec, effort="balanced", features=())
    return replace(spec, forecaster="cold_start", hyperparameters={})


def effective_circuit(
    circuit: Circuit, first_reading: datetime | None, algorithms: Mapping[str, Algorithm]
) -> Circuit:
    """Return the circuit with the spec to train by, and that spec's digest."""
    spec = effective_spec(circuit.spec, first_reading)
    if spec == circuit.spec:
        return circuit
    return replace(circuit, spec=spec, spec_digest=spec_digest(spec, algorithms[spec.forecaster]))


def environment_digest(environment: Environment) -> str:
    """Return the digest of what an environment installs; its summary is for people."""
    return digest_of(
        {
            "environment": str(environment.ref),
            "python": environment.python,
            "packages": [
                {"name": each.name, "version": each.version, "hashes": sorted(each.hashes)}
                for each in sorted(environment.packages, key=lambda each: each.name)
            ],
        }
    )


def _without_contract(spec: Spec) -> Spec:
    values = {name: getattr(ReadingLimits(), name) for name in CONTRACT_FIELDS}
    return replace(spec, limits=replace(spec.limits, **values))


def _differing(value: Any, default: Any) -> dict[str, Any]:  # noqa: ANN401 two equal dataclasses
    pairs = {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: item for name, item in pairs.items() if item != getattr(default, name)}


def _changed_hyperparameters(spec: Spec, algorithm: Algorithm) -> dict[str, Any]:
    default = algorithm.hyperparameters()
    return {
        name: value
        for name, value in spec.hyperparameters.items()
        if getattr(default, name, None) != value
    }


def _canonical(value: Any) -> Any:  # noqa: ANN401 any value of a spec
    match value:
        case ReadingLimits():
            return _canonical(_differing(value, ReadingLimits()))
        case float():
            return decimal_text(value)
        case tuple() | list():
            return [_canonical(item) for item in value]
        case Mapping():
            return {name: _canonical(item) for name, item in value.items()}
        case _:
            return value
