"""Alerts: one for each incident, sent to the owners of its plants, by its severity.

An incident is known by its kind and its cause. What was raised for it is written once, so it is
raised once however often it is found again. An incident of a kind in `RECURRING` may end and come
back: then it is another occurrence, and is raised again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.canonical import moment_text, read_moment
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import IdentifierError, canonical_json, sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import AlertPolicy, Plant, Severity

Kind = Literal[
    "release_failed",
    "release_errored",
    "release_rejected",
    "config_refused",
    "run_failed",
    "approval_requested",
    "approval_reminder",
    "approval_expired",
    "degraded",
    "plant_silent",
    "circuits_silent",
    "no_forecast",
    "restated",
    "cold_start_over",
]
Channel = Literal["file", "webhook", "mail"]

SEVERITY: Mapping[Kind, Severity] = {
    "release_failed": "critical",
    "release_errored": "critical",
    "release_rejected": "warning",
    "config_refused": "critical",
    "run_failed": "critical",
    "approval_requested": "notice",
    "approval_reminder": "warning",
    "approval_expired": "warning",
    "degraded": "critical",
    "plant_silent": "critical",
    "circuits_silent": "warning",
    "no_forecast": "critical",
    "restated": "warning",
    "cold_start_over": "notice",
}
RECURRING: frozenset[Kind] = frozenset({"config_refused", "degraded", "plant_silent"})
# A receiver that takes nothing for so long gets no more of what was raised before.
GIVE_UP = timedelta(days=7)
FORMAT = 1

SEVERITIES: tuple[Severity, ...] = ("notice", "warning", "critical")
_SUBJECT = 150
_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What people should know of one incident, and the command that mends it.

    ``owners`` are e-mail addresses and ``team:NAME``; ``cause`` tells this incident from every
    other of its kind.
    """

    kind: Kind
    cause: str
    plants: tuple[str, ...]
    owners: tuple[str, ...]
    subject: str
    says: str
    command: str

    @property
    def severity(self) -> Severity:
        """How much it hurts."""
        return SEVERITY[self.kind]

    @property
    def text(self) -> str:
        """What happened, and the exact command."""
        return f"{self.says}\n\nWhat to do:\n\n    {self.command}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who gets an alert besides the terminal and the file.

    ``unreached`` are owners that no address is known of.
    """

    webhook: bool = False
    mail: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel that it takes, the file first: it is always there."""
        channels: list[Channel] = ["file"]
        if self.webhook:
            channels.append("webhook")
        if self.mail:
            channels.append("mail")
        return tuple(channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One alert on its way: ``name`` is the incident's for good, ``at`` when it was raised."""

    name: str
    at: datetime
    alert: Alert
    route: Route

    def document(self) -> dict[str, Any]:
        """What a webhook gets and the file holds."""
        alert = self.alert
        return {
            "format": FORMAT,
            "incident": self.name,
            "at": moment_text(self.at),
            "kind": alert.kind,
            "cause": alert.cause,
            "severity": alert.severity,
            "plants": list(alert.plants),
            "owners": list(alert.owners),
            "subject": alert.subject,
            "says": alert.says,
            "command": alert.command,
            "text": alert.text,
            "webhook": self.route.webhook,
            "mail": list(self.route.mail),
            "unreached": list(self.route.unreached),
        }

    def to_bytes(self) -> bytes:
        """Return one line without its end."""
        return canonical_json(self.document())

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Letter:
        """Read what `to_bytes` wrote; DataError when it is anything else."""
        try:
            read = json.loads(data)
            letter = cls(
                name=read["incident"],
                at=read_moment(read["at"]),
                alert=Alert(
                    kind=read["kind"],
                    cause=read["cause"],
                    plants=tuple(read["plants"]),
                    owners=tuple(read["owners"]),
                    subject=read["subject"],
                    says=read["says"],
                    command=read["command"],
                ),
                route=Route(
                    webhook=read["webhook"],
                    mail=tuple(read["mail"]),
                    unreached=tuple(read["unreached"]),
                ),
            )
            whole = letter.to_bytes() == data
        except (ValueError, KeyError, TypeError, AttributeError, IdentifierError) as error:
            raise _damaged(name) from error
        if not whole or letter.name != name:
            raise _damaged(name)
        return letter


def _damaged(name: str) -> DataError:
    return DataError(f"alerts/raised/{name}: is not what was raised; restore or delete it")


def subject_of(text: str) -> str:
    """Return a text as one line that a subject can hold."""
    line = " ".join(text.split())
    return line if len(line) <= _SUBJECT else f"{line[: _SUBJECT - 3]}..."


def some(names: Collection[str]) -> str:
    """Return the first names of many, and how many more there are."""
    more = len(names) - _NAMED
    shown = ", ".join(sorted(names)[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def owners_of(plants: Mapping[str, Plant], of: Iterable[str]) -> tuple[str, ...]:
    """Return who owns any of the plants; everybody where one of them is nobody's, or none is named.

    An alert that reaches too many is better than one that reaches nobody.
    """
    wanted = set(of)
    chosen = wanted if wanted and wanted <= set(plants) else set(plants)
    return tuple(sorted({owner for plant in chosen for owner in plants[plant].owners}))


def route(alert: Alert, policy: AlertPolicy) -> Route:
    """Return who gets an alert: the webhook and its owners' addresses, each by severity."""
    addresses: set[str] = set()
    unreached: set[str] = set()
    for owner in alert.owners:
        known = (owner,) if "@" in owner else policy.owners.get(owner, ())
        addresses.update(known)
        if not known:
            unreached.add(owner)
    mailed = bool(policy.smtp) and _reaches(alert.severity, policy.mail_severity)
    return Route(
        webhook=bool(policy.webhook) and _reaches(alert.severity, policy.webhook_severity),
        mail=tuple(sorted(addresses)) if mailed else (),
        unreached=tuple(sorted(unreached)) if mailed else (),
    )


def _reaches(severity: Severity, least: Severity) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def name_of(alert: Alert, over: Collection[str]) -> str:
    """Return the name of an incident's present occurrence; ``over`` names those that ended."""
    stem = f"{alert.kind}.{sha256(alert.cause.encode())[:32]}"
    number = 0
    while f"{stem}.{number}" in over:
        number += 1
    return f"{stem}.{number}"


def news(
    found: Iterable[Alert], *, raised: Collection[str], over: Collection[str]
) -> dict[str, Alert]:
    """Return by name what was found and never raised; of two about one incident the first."""
    fresh: dict[str, Alert] = {}
    for alert in found:
        name = name_of(alert, over)
        if name not in raised:
            fresh.setdefault(name, alert)
    return fresh


def ended(
    found: Iterable[Alert],
    *,
    asked: Collection[Kind],
    raised: Collection[str],
    over: Collection[str],
) -> tuple[str, ...]:
    """Return the names of recurring incidents that were raised and are there no longer.

    Only kinds in ``asked`` were looked for: of the others nothing is known.
    """
    there = {name_of(alert, over) for alert in found}
    return tuple(
        sorted(
            name
            for name in set(raised) - set(over) - there
            if (kind := name.partition(".")[0]) in RECURRING and kind in asked
        )
    )
