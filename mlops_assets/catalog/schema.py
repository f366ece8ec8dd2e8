"""What each kind of config file holds, where the domain's own dataclasses do not say it.

The text of each field's metadata is its documentation, and holds its range. `RULES` judge single
values, so that one mistake hides no other; rules between files are in the package itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 annotations are read at run time
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.catalog.reading import Rule, nearest
from mlops_assets.domain.circuit import (
    AlertPolicy,
    GatePolicy,
    Policy,
    QualityPolicy,
    RetentionPolicy,
    Spec,
    StagePolicy,
)

if TYPE_CHECKING:
    from datetime import date

    from mlops_assets.catalog.reading import Document

POLICY = "release_policy.yml"

RESERVED_COLUMNS = frozenset(
    {"plant_id", "circuit_id", "timestamp", "date", "value", "source", "ingested_at"}
)
REGISTRY_ROLES = frozenset({"ml_engineer"})
PRODUCTION_ROLES = frozenset({"ml_engineer", "engineering_manager"})
STRICT_QUORUM = 2


def _doc(text: str) -> dict[str, Any]:
    return {"doc": text}


def _within(text: str, minimum: int, maximum: int) -> dict[str, Any]:
    return {"doc": f"{text}, {minimum} to {maximum}", "minimum": minimum, "maximum": maximum}


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
        default=5,
        metadata=_within(
            "circuits in training at once over all runs and command lines; where no cluster fits, "
            "never more than the machine has cores",
            1,
            1000,
        ),
    )
    timeout_minutes: int = field(
        default=60,
        metadata=_within("minutes until a circuit's fit is stopped, its wait left out", 1, 1440),
    )
    memory_gigabytes: int = field(
        default=4, metadata=_within("memory at which a circuit's fit is stopped", 1, 1024)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsSection:
    """What is expected of the feed."""

    freshness_hours: int = field(
        default=27,
        metadata=_within("age of the newest reading that fails the freshness check", 1, 744),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsSection:
    """What is kept of Dagster's history, which is never evidence."""

    keep_days: int = field(
        default=90, metadata=_within("days until a finished run is pruned", 1, 3650)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """Who signs what, and the limits that a release must hold; it can only be stricter."""

    registry: StagePolicy = field(metadata=_doc("who approves the copy to the shared registry"))
    production: StagePolicy = field(metadata=_doc("who approves the deployment to production"))
    four_eyes: Literal["required", "off"] = field(
        default="required",
        metadata=_doc("off only in a local home that was made so: everything says UNREVIEWED"),
    )
    preset: Literal["standard", "strict"] = field(
        default="standard",
        metadata=_doc(
            "strict: at least two people sign production, too little coverage refuses, and four "
            "eyes are never off, whatever the other fields say"
        ),
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
    alerts: AlertPolicy = field(
        default_factory=AlertPolicy, metadata=_doc("who hears of an incident, and where")
    )
    retention: RetentionPolicy = field(
        default_factory=RetentionPolicy, metadata=_doc("what `mlops gc` may remove")
    )

    def policy(self) -> Policy:
        """Return the policy that the platform works by; a preset only makes it stricter."""
        production, gates = self.production, self.gates
        if self.preset == "strict":
            production = replace(production, quorum=max(STRICT_QUORUM, production.quorum))
            gates = replace(gates, coverage_blocks=True)
        return Policy(
            registry=self.registry,
            production=production,
            gates=gates,
            quality=self.quality,
            four_eyes=self.four_eyes,
            automatic_rollback=self.rollback.automatic,
            maximum_parallel_training=self.training.max_parallel,
            training_timeout_minutes=self.training.timeout_minutes,
            training_memory_gigabytes=self.training.memory_gigabytes,
            freshness_hours=self.readings.freshness_hours,
            keep_runs_days=self.runs.keep_days,
            alerts=self.alerts,
            retention=self.retention,
        )


def check_spec(document: Document, spec: Spec) -> None:
    """Judge what two fields of a spec say together."""
    low, high = spec.limits.minimum, spec.limits.maximum
    if low is not None and high is not None and low >= high:
        document.problem("limits.minimum", f"{low} is not below the maximum {high}: mend one")


def check_policy(document: Document, policy: PolicyFile) -> None:
    """Judge what two fields of the policy say together."""
    warn, fail = policy.quality.warn_wape_ratio, policy.quality.fail_wape_ratio
    if fail < warn:
        document.problem(
            "quality.fail_wape_ratio", f"{fail} is below warn_wape_ratio {warn}: mend one"
        )
    if policy.preset == "strict" and policy.four_eyes == "off":
        document.problem("four_eyes", "off beside preset: strict: take one of them out")
    _check_alerts(document, policy.alerts)
    for stage, roles in (("registry", REGISTRY_ROLES), ("production", PRODUCTION_ROLES)):
        for number, role in enumerate(getattr(policy, stage).roles):
            if role not in roles:
                place = f"{stage}.roles[{number}]"
                document.problem(place, f"{role} may not approve here{nearest(role, roles)}")


def _check_alerts(document: Document, alerts: AlertPolicy) -> None:
    if alerts.smtp and not alerts.sender:
        document.problem("alerts.sender", "missing beside smtp: write who the e-mails are from")
    for owner, addresses in alerts.owners.items():
        for number, address in enumerate(addresses):
            if advice := _mail(address):
                document.problem(f"alerts.owners.{owner}[{number}]", advice)


def matches(pattern: str, advice: str) -> Rule:
    def rule(value: str) -> str | None:
        return None if re.fullmatch(pattern, value, re.ASCII) else f"{value[:60]}: {advice}"

    return rule


_mail = matches(r"[^@\s,<>]+@[^@\s,<>]+", "write an e-mail address")


def _cutoff(day: date) -> str | None:
    if 2000 <= day.year < 2100:  # noqa: PLR2004 the days that can be forecast
        return None
    return f"{day} lies outside the years 2000 to 2099: mend the year"


def zone(name: str) -> str | None:
    return None if name in _zones() else f"{name} is no IANA zone{nearest(name, _zones())}"


def feature(name: str) -> str | None:
    if name.casefold() in RESERVED_COLUMNS:
        return f"{name} is a column of every reading: name another"
    advice = "write a letter, then letters, digits or _"
    return matches("[A-Za-z][A-Za-z0-9_]{0,62}", advice)(name)


@cache
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones() - {"localtime", "Factory"})


# One value of one field, or one item of a list or name of a mapping; the answer is advice.
RULES: Mapping[tuple[type, str], Rule] = {
    (PlantEntry, "owners"): matches(
        r"[^@\s]+@[^@\s]+|team:[a-z0-9][a-z0-9-]{0,62}", "write an e-mail address or team:NAME"
    ),
    (AlertPolicy, "webhook"): matches(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\s?#@]*)?",
        "write https://HOST/PATH, without user, password or query",
    ),
    (AlertPolicy, "smtp"): matches(r"[A-Za-z0-9.-]+:[0-9]{1,5}", "write HOST:PORT"),
    (AlertPolicy, "sender"): _mail,
    (AlertPolicy, "owners"): matches("team:[a-z0-9][a-z0-9-]{0,62}", "write team:NAME"),
    (Spec, "cutoff_date"): _cutoff,
    (Spec, "timezone"): zone,
    (Spec, "features"): feature,
    (EnvironmentFile, "python"): matches(r"3\.[1-9][0-9]?", 'write MAJOR.MINOR, such as "3.11"'),
    (EnvironmentFile, "packages"): matches(
        "[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", "write the package's name in lower case"
    ),
    (PackageEntry, "version"): matches(
        "[0-9][0-9A-Za-z.+!-]{0,63}", "write one version, such as 2.1.1"
    ),
    (PackageEntry, "hashes"): matches(
        "sha256:[0-9a-f]{64}", "write sha256: and 64 hexadecimal digits"
    ),
}
# Lists and mappings that mean nothing when they are empty.
NOT_EMPTY: frozenset[tuple[type, str]] = frozenset(
    {
        (PlantEntry, "owners"),
        (EnvironmentFile, "packages"),
        (PackageEntry, "hashes"),
        (StagePolicy, "roles"),
    }
)
