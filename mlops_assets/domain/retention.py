"""Retention: what may be removed, and why the rest stays.

A thing goes when nothing claims it and it is older than the policy keeps it. Who claims is asked of
the ledger, the endpoints and the config, never of a name or an age: what is live, every step of its
way back, open releases, what was signed or has forecast within the policy's days, what the config
wants, and the newest of each circuit, so that no number is given twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.identifiers import CircuitKey, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import RetentionPolicy
    from mlops_assets.domain.manifest import Entry
    from mlops_assets.domain.release import LedgerEntry

Kind = Literal[
    "training_data",
    "dev_model",
    "evidence",
    "registry_model",
    "dev_environment",
    "registry_environment",
    "interpreter",
    "test_predictions",
    "prod_predictions",
    "page",
    "drill",
]
# These go by the day in their name; nothing else rests on them.
PREDICTIONS: frozenset[Kind] = frozenset({"test_predictions", "prod_predictions"})
FORMAT = 1
EVENT = "collected"
# A forecast for a day may be issued this long before the day begins in UTC.
_AHEAD = timedelta(days=2)

Thing = tuple[Kind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One thing in storage. ``name`` is PLANT/CIRCUIT/VERSION, NAME:VERSION, or the like."""

    kind: Kind
    name: str
    at: datetime
    bytes: int

    @property
    def thing(self) -> Thing:
        """What it is called in claims and in the ledger."""
        return self.kind, self.name


@dataclass(slots=True)
class Claims:
    """Things that stay, each with the first reason that was given."""

    reasons: dict[Thing, str] = field(default_factory=dict)

    def add(self, things: Iterable[Thing], reason: str) -> None:
        """Claim things; an earlier reason stands."""
        for thing in things:
            self.reasons.setdefault(thing, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes, and how many things of each kind stay for which reason."""

    going: tuple[Stored, ...]
    staying: Mapping[tuple[Kind, str], int]

    @property
    def bytes(self) -> int:
        """How much room that makes."""
        return sum(each.bytes for each in self.going)


def named_by(entry: Entry) -> list[Thing]:
    """Everything that an entry of a release names: what serves it, and what proves it."""
    if entry.action != "deploy":
        return []
    version = model_name(entry.circuit, entry.model_version)
    things: list[Thing] = [
        ("dev_model", version),
        ("registry_model", version),
        ("evidence", version),
        ("training_data", f"{entry.circuit}/{entry.data_version}"),
        ("dev_environment", entry.environment),
        ("registry_environment", entry.environment),
        ("interpreter", entry.environment),
    ]
    if entry.previous_model_version is not None:
        things.append(("registry_model", model_name(entry.circuit, entry.previous_model_version)))
    return things


def model_name(circuit: CircuitKey, version: int) -> str:
    """Return the name of a model version, and of its evidence."""
    return f"{circuit}/{version}"


def decide(
    stored: Iterable[Stored],
    claims: Claims,
    policy: RetentionPolicy,
    *,
    now: datetime,
    first_day: date,
) -> Plan:
    """Part what goes from what stays. ``first_day`` is the oldest day whose forecasts are kept."""
    young = now - timedelta(days=policy.unused_days)
    proof = now - timedelta(days=policy.proof_days)
    going: list[Stored] = []
    staying: Counter[tuple[Kind, str]] = Counter()
    for each in stored:
        reason = claims.reasons.get(each.thing, "")
        if each.kind in PREDICTIONS:
            day = date.fromisoformat(each.name.rpartition("/")[2])
            reason = f"for a day since {first_day}" if day >= first_day else ""
        elif each.kind == "drill" and each.at > proof:
            reason = f"younger than {policy.proof_days} days"
        elif not reason and each.at > young:
            reason = f"younger than {policy.unused_days} days"
        if reason:
            staying[each.kind, reason] += 1
        else:
            going.append(each)
    going.sort(key=lambda one: one.thing)
    return Plan(going=tuple(going), staying=dict(sorted(staying.items())))


def served_since(
    entries: Iterable[LedgerEntry], moment: datetime
) -> frozenset[tuple[CircuitKey, str]]:
    """Return which releases served a circuit at any time since a moment, by the ledger."""
    serving: dict[str, str | None] = {}
    found: set[tuple[str, str]] = set()
    since = moment - _AHEAD

    def change(key: str, release: str | None, at: datetime) -> None:
        before = serving.get(key)
        if before is not None and at >= since:
            found.add((key, before))
        serving[key] = release

    for entry in entries:
        data = entry.data
        match entry.event:
            case "deployed":
                retired = set(data.get("retired", ()))
                for key in data["circuits"]:
                    change(key, None if key in retired else data["release"], entry.at)
            case "failed":
                for key in data.get("deployed", ()):
                    change(key, data["release"], entry.at)
            case "rolled_back":
                for key, step in data["circuits"].items():
                    change(key, step["to"], entry.at)
            case _:
                pass
    found |= {(key, release) for key, release in serving.items() if release is not None}
    return frozenset((CircuitKey.parse(key), release) for key, release in found)


def collected_bytes(going: Iterable[Stored]) -> bytes:
    """Return the list of what goes, as the ledger keeps it before anything is removed."""
    return canonical_json({"format": FORMAT, "things": sorted(list(each.thing) for each in going)})
