"""What each kind of config file holds, where the domain's own dataclasses do not say it.

The text of each field's metadata is its documentation. Rules about single values stand here too;
rules between files are in the package itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 annotations are read at run time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from mlops_assets.catalog.reading import nearest
from mlops_assets.domain.circuit import GatePolicy, Policy, QualityPolicy, Spec, StagePolicy

if TYPE_CHECKING:
    from mlops_assets.catalog.reading import Document

MASTER = "plants_circuits.yml"
POLICY = "release_policy.yml"
MAXIMUM_HORIZON_HOURS = 14 * 24

# Computed from the timestamp, so they need no column and are known ahead.
CALENDAR_FEATURES = frozenset({"hour_of_day", "day_of_week", "day_of_year", "month", "weekend"})
RESERVED_COLUMNS = frozenset(
    {"plant_id", "circuit_id", "timestamp", "date", "value", "source", "ingested_at"}
)
REGISTRY_ROLES = frozenset({"ml_engineer"})
PRODUCTION_ROLES = frozenset({"ml_engineer", "engineering_manager"})

_FEATURE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_OWNER = re.compile(r"[^@\s]+@[^@\s]+|team:[a-z0-9][a-z0-9-]{0,62}")
_PACKAGE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_PACKAGE_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,63}")
_PYTHON = re.compile(r"3\.[1-9][0-9]?")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantEntry:
    """One plant of the master file."""

    name: str = field(metadata=_doc("what people call the site"))
    owners: tuple[str, ...] = field(
        metadata=_doc("who gets its alerts: e-mail addresses or team:NAME, at least one")
    )
    circuits: tuple[str, ...] = field(
        metadata=_doc("its circuits; each has a file plants/PLANT/CIRCUIT.yml")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterFile:
    """The list of what exists: a circuit that is taken out of it is retired."""

    plants: Mapping[str, PlantEntry] = field(metadata=_doc("plant id to plant"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageEntry:
    """One pinned package."""

    version: str = field(metadata=_doc("its exact version"))
    hashes: tuple[str, ...] = field(
        metadata=_doc("sha256:DIGEST of each file that may be installed, at least one")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFile:
    """One version of one environment; registered, its content never changes."""

    summary: str = field(metadata=_doc("what it is for and what changed, for people"))
    python: str = field(metadata=_doc('MAJOR.MINOR of Python, quoted: "3.11"'))
    packages: Mapping[str, PackageEntry] = field(metadata=_doc("package name to pinned package"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackSection:
    """What happens when a live model degrades."""

    automatic: bool = field(
        default=False, metadata=_doc("whether the platform rolls back a degraded model by itself")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """How training uses the machine."""

    max_parallel: int = field(
        default=5, metadata=_doc("circuits in training at once, over all runs together")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsSection:
    """What is expected of the feed."""

    freshness_hours: int = field(
        default=27, metadata=_doc("age of the newest reading that fails the freshness check")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsSection:
    """What is kept of Dagster's history, which is never evidence."""

    keep_days: int = field(default=90, metadata=_doc("days until a finished run is pruned"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """Who signs what, and the limits that a release must hold; it can only be stricter."""

    registry: StagePolicy = field(metadata=_doc("who approves the copy to the shared registry"))
    production: StagePolicy = field(metadata=_doc("who approves the deployment to production"))
    four_eyes: Literal["required", "off"] = field(
        default="required",
        metadata=_doc("off only in a local home that was made so: everything says UNREVIEWED"),
    )
    gates: GatePolicy = field(default_factory=GatePolicy, metadata=_doc("limits of a release"))
    quality: QualityPolicy = field(
        default_factory=QualityPolicy, metadata=_doc("limits of a live model")
    )
    rollback: RollbackSection = field(
        default_factory=RollbackSection, metadata=_doc("degraded models")
    )
    training: TrainingSection = field(
        default_factory=TrainingSection, metadata=_doc("training at once")
    )
    readings: ReadingsSection = field(default_factory=ReadingsSection, metadata=_doc("the feed"))
    runs: RunsSection = field(default_factory=RunsSection, metadata=_doc("Dagster's history"))

    def policy(self) -> Policy:
        """Return the policy that the platform works by."""
        return Policy(
            registry=self.registry,
            production=self.production,
            gates=self.gates,
            quality=self.quality,
            four_eyes=self.four_eyes,
            automatic_rollback=self.rollback.automatic,
            maximum_parallel_training=self.training.max_parallel,
            freshness_hours=self.readings.freshness_hours,
            keep_runs_days=self.runs.keep_days,
        )


def check_plant(document: Document, plant_id: str, plant: PlantEntry) -> None:
    """Judge one plant of the master file."""
    place = f"plants.{plant_id}"
    if not plant.owners:
        document.problem(f"{place}.owners", "empty: write at least one e-mail address or team:NAME")
    for number, owner in enumerate(plant.owners):
        if not _OWNER.fullmatch(owner):
            document.problem(
                f"{place}.owners[{number}]", f"{owner}: write an e-mail address or team:NAME"
            )


def check_spec(document: Document, spec: Spec) -> None:
    """Judge the values of one spec."""
    if not 2000 <= spec.cutoff_date.year < 2100:  # noqa: PLR2004 the days that can be forecast
        document.problem(
            "cutoff_date", f"{spec.cutoff_date} lies outside the years 2000 to 2099: mend the year"
        )
    if not 1 <= spec.horizon <= MAXIMUM_HORIZON_HOURS:
        document.problem(
            "horizon", f"{spec.horizon}: write 1 to {MAXIMUM_HORIZON_HOURS} (14 days of hours)"
        )
    if spec.timezone not in _zones():
        document.problem(
            "timezone",
            f"{spec.timezone} is no IANA zone{nearest(spec.timezone, _zones())}",
        )
    for number, name in enumerate(spec.features):
        if not _FEATURE.fullmatch(name):
            document.problem(
                f"features[{number}]", f"{name}: write a letter, then letters, digits or _"
            )
        elif name.casefold() in RESERVED_COLUMNS:
            document.problem(
                f"features[{number}]", f"{name} is a column of every reading: name another"
            )
    limits = spec.limits
    if None not in (limits.minimum, limits.maximum) and not limits.minimum < limits.maximum:  # type: ignore[operator]
        document.problem(
            "limits.minimum", f"{limits.minimum} is not below maximum {limits.maximum}: mend one"
        )
    if not 1 <= limits.maximum_gap_hours <= 24 * 14:
        document.problem(
            "limits.maximum_gap_hours", f"{limits.maximum_gap_hours}: write 1 to {24 * 14}"
        )


def check_environment(document: Document, content: EnvironmentFile) -> None:
    """Judge one environment file."""
    if not _PYTHON.fullmatch(content.python):
        document.problem("python", f'{content.python}: write MAJOR.MINOR, such as "3.11"')
    if not content.packages:
        document.problem("packages", "empty: write at least one package")
    for name, package in content.packages.items():
        place = f"packages.{name}"
        if not _PACKAGE.fullmatch(name):
            document.problem(place, f"{name}: write the package's normal name in lower case")
        if not _PACKAGE_VERSION.fullmatch(package.version):
            document.problem(
                f"{place}.version", f"{package.version}: write one version, such as 2.1.1"
            )
        if not package.hashes:
            document.problem(f"{place}.hashes", "empty: write at least one sha256:DIGEST")
        for number, digest in enumerate(package.hashes):
            if not _HASH.fullmatch(digest):
                document.problem(
                    f"{place}.hashes[{number}]",
                    f"{digest[:20]}: write sha256: and 64 hexadecimal digits",
                )


def check_policy(document: Document, policy: PolicyFile) -> None:
    """Judge the policy: nothing in it may be laxer than the platform's own rules."""
    stages = (
        ("registry", policy.registry, REGISTRY_ROLES),
        ("production", policy.production, PRODUCTION_ROLES),
    )
    for name, stage, roles in stages:
        if not stage.roles:
            document.problem(f"{name}.roles", f"empty: write [{', '.join(sorted(roles))}]")
        for number, role in enumerate(stage.roles):
            if role not in roles:
                document.problem(
                    f"{name}.roles[{number}]", f"{role} is laxer{nearest(role, roles)}"
                )
    gates, quality = policy.gates, policy.quality
    ranges: tuple[tuple[str, float, float, float], ...] = (
        ("registry.quorum", policy.registry.quorum, 1, 10),
        ("registry.expires_hours", policy.registry.expires_hours, 1, 24),
        ("production.quorum", policy.production.quorum, 1, 10),
        ("production.expires_hours", policy.production.expires_hours, 1, 24),
        ("gates.minimum_skill", gates.minimum_skill, 0, 1),
        ("gates.champion_margin", gates.champion_margin, 0, 0.2),
        ("gates.minimum_coverage_95", gates.minimum_coverage_95, 0, 1),
        ("gates.maximum_latency_seconds", gates.maximum_latency_seconds, 0.001, 3600),
        ("gates.range_tolerance", gates.range_tolerance, 0, 10),
        ("quality.warn_wape_ratio", quality.warn_wape_ratio, 1, 100),
        ("quality.fail_wape_ratio", quality.fail_wape_ratio, quality.warn_wape_ratio, 100),
        ("quality.minimum_days", quality.minimum_days, 1, 7),
        ("training.max_parallel", policy.training.max_parallel, 1, 1000),
        ("readings.freshness_hours", policy.readings.freshness_hours, 1, 24 * 31),
        ("runs.keep_days", policy.runs.keep_days, 1, 3650),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            document.problem(name, f"{value}: write {least} to {most}")


@cache
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones() - {"localtime", "Factory"})
