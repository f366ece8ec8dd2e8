"""Removing what nobody needs any more, by the policy's days: shown first, done when asked.

What goes is written to the ledger before the first thing is removed, so that the audit tells what
was removed from what was lost. Each thing goes whole or not at all and the list is made anew each
time, so a run that was killed is finished by the next.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import PLATFORM
from mlops_assets.domain.deployment import history
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import sha256
from mlops_assets.domain.ledger import check_clock
from mlops_assets.domain.retention import (
    EVENT,
    Claims,
    Plan,
    collected_bytes,
    decide,
    model_name,
    named_by,
    served_since,
)
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.model import first_readings
from mlops_assets.flows.readings import data_now
from mlops_assets.flows.upkeep import reopen_lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Manifest
    from mlops_assets.domain.release import LedgerEntry
    from mlops_assets.domain.retention import Stored, Thing
    from mlops_assets.ports import Endpoints, Ledger, Platform, Storage

_AT_ONCE = 100
# Replaced files of the readings table stay so long, for whoever reads an old version.
REPLACED = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed, or would be.

    ``rows`` are of forecasts, ``files`` of the readings table's past; ``swept`` counts what killed
    processes had left.
    """

    plan: Plan
    rows: int = 0
    swept: int = 0
    files: int = 0


def collect(
    platform: Platform, config: Config, storage: Storage, *, now: datetime, remove: bool
) -> Collected:
    """Say what the policy lets go, and with ``remove`` let it go.

    Raises:
        RefusedError: the ledger is broken, or the way back of a live model is: nothing is removed
            from a home that does not hold together.
    """
    if not remove:
        return Collected(plan=plan(platform, config, storage, now=now))
    with storage.lock():
        swept = storage.sweep(now)
        with platform.ledger.lock():
            wanted = plan(platform, config, storage, now=now)
            _record(platform.ledger, wanted.going, now)
            known = len(platform.ledger.entries())
        going = wanted.going
        for several in _parts(wanted.going):
            # Rollbacks and releases come in between; what they need by then is left.
            with platform.ledger.lock():
                if len(platform.ledger.entries()) != known:
                    known = len(platform.ledger.entries())
                    going = plan(platform, config, storage, now=now).going
                names = {each.thing for each in going}
                for item in several:
                    if item.thing in names:
                        storage.remove(item)
        first = first_day(platform, config, now)
        rows = platform.lake.predictions.drop(before=first)
        for table in (platform.lake.quality, platform.lake.hindcasts):
            table.drop(before=first)
        files = _vacuum(platform)
    return Collected(plan=wanted, rows=rows, swept=swept, files=files)


def _vacuum(platform: Platform) -> int:
    """Remove replaced files of the lake's tables, of the readings none that training data need."""
    lake, store = platform.lake, platform.dev.training_data
    with lake.journal.lock():
        # A new commit would hide that one was lost.
        reopen_lost(lake)
        keys = {*platform.dev.models.circuits(), *first_readings(platform)}
        pinned = {data.delta_version for key in keys for data in store.versions(key)}
        files = lake.readings.vacuum(pinned=pinned, older_than=REPLACED)
        # Nothing is pinned to a version of the others.
        others = [table for name, table in lake.upkeep.items() if name != "readings"]
        return files + sum(table.vacuum(keep=(), older_than=REPLACED) for table in others)


def first_day(platform: Platform, config: Config, now: datetime) -> date:
    """Return the oldest day whose forecasts are kept."""
    present = min(now, data_now(platform.kind, platform.lake, now))
    return present.date() - timedelta(days=config.policy.retention.predictions_days)


def plan(platform: Platform, config: Config, storage: Storage, *, now: datetime) -> Plan:
    """Return what goes and why the rest stays; nothing is changed."""
    stored = list(storage.items())
    young = now - timedelta(days=config.policy.retention.unused_days)
    models = {each.thing for each in stored if each.kind == "dev_model" and each.at > young}
    return decide(
        stored,
        claims(platform, config, now=now, young=models),
        config.policy.retention,
        now=now,
        first_day=first_day(platform, config, now),
    )


def claims(
    platform: Platform, config: Config, *, now: datetime, young: Iterable[Thing] = ()
) -> Claims:
    """Ask everybody who may need a thing. ``young`` are models that stay for their age."""
    entries = platform.ledger.entries()
    moment = check_clock(entries, now)
    desk = _Desk(platform, config, entries, moment)
    made = Claims()
    desk.deployments(made)
    desk.releases(made)
    desk.wanted(made)
    desk.newest(made)
    desk.under_models(made, frozenset(young))
    return made


@dataclass
class _Desk:
    """What claims are read from, once."""

    platform: Platform
    config: Config
    entries: Sequence[LedgerEntry]
    now: datetime

    def __post_init__(self) -> None:
        """Read every manifest."""
        self.views = lifecycle.fold(self.entries, self.now)
        self.manifests: dict[str, Manifest] = {
            view.release: manifest_of(self.platform.ledger, view) for view in self.views
        }

    def deployments(self, made: Claims) -> None:
        """What is live on production, every step of its way back, and what is on test."""
        endpoints = self.platform.prod.endpoints
        live = list(_live(self.platform.prod.endpoints))
        for deployment in live:
            self._entry(made, deployment.release, deployment.circuit, "live")
            made.add(_served(deployment), "live")
        for deployment in live:
            for before in history(deployment, endpoints.recorded):
                self._entry(made, before.release, before.circuit, "a step of a way back")
                made.add(_served(before), "a step of a way back")
        for deployment in _live(self.platform.test.endpoints):
            made.add(_served(deployment), "on a test endpoint")

    def releases(self, made: Claims) -> None:
        """Open releases, what was signed within the days of proof, and what has forecast."""
        policy = self.config.policy.retention
        proof = self.now - timedelta(days=policy.proof_days)
        for view in self.views:
            signed = max((each.at for each in view.signed), default=None)
            if view.open:
                self._release(made, view.release, "of an open release")
            elif signed is not None and signed >= proof:
                self._release(made, view.release, f"signed in the last {policy.proof_days} days")
        first = first_day(self.platform, self.config, self.now)
        reason = f"has forecast since {first}"
        for circuit, release in served_since(self.entries, datetime.combine(first, time(), UTC)):
            self._entry(made, release, circuit, reason)
            made.add([("page", release)], reason)

    def wanted(self, made: Claims) -> None:
        """What the config asks for now."""
        from mlops_assets.flows.model import effective, wanted

        firsts = first_readings(self.platform)
        for key, circuit in self.config.circuits.items():
            record = wanted(self.platform.dev.models, effective(circuit, firsts))
            if record is not None:
                made.add([("dev_model", model_name(key, record.version))], "wanted by the config")
            made.add(
                [
                    ("training_data", f"{key}/{data.version}")
                    for data in self.platform.dev.training_data.versions(key)
                    if data.cutoff_date == circuit.spec.cutoff_date
                ],
                "wanted by the config",
            )
        made.add(
            [
                (kind, str(ref))
                for ref in self.config.environments
                for kind in ("dev_environment", "registry_environment", "interpreter")
            ],
            "in the config",
        )

    def newest(self, made: Claims) -> None:
        """The newest model and training data of each circuit: their numbers are used up."""
        platform = self.platform
        for key in platform.dev.models.circuits():
            newest = platform.dev.models.versions(key)[-1]
            made.add([("dev_model", model_name(key, newest.version))], "the newest of its circuit")
            if data := platform.dev.training_data.versions(key):
                name = f"{key}/{data[-1].version}"
                made.add([("training_data", name)], "the newest of its circuit")
        for key in platform.registry.models.circuits():
            newest = platform.registry.models.versions(key)[-1]
            name = model_name(key, newest.version)
            made.add([("registry_model", name)], "the newest of its circuit")

    def under_models(self, made: Claims, young: frozenset[Thing]) -> None:
        """What rests under models that stay: their data, evidence and environment."""
        for key in self.platform.dev.models.circuits():
            for record in self.platform.dev.models.versions(key):
                name = model_name(key, record.version)
                model: Thing = ("dev_model", name)
                if model not in made.reasons and model not in young:
                    continue
                made.add(
                    [
                        ("training_data", f"{key}/{record.data_version}"),
                        ("evidence", name),
                        ("dev_environment", str(record.environment)),
                        ("interpreter", str(record.environment)),
                    ],
                    "under a model that stays",
                )

    def _release(self, made: Claims, release: str, reason: str) -> None:
        made.add([("page", release)], reason)
        for entry in self.manifests[release].entries:
            made.add(named_by(entry), reason)

    def _entry(self, made: Claims, release: str, circuit: CircuitKey, reason: str) -> None:
        if (manifest := self.manifests.get(release)) is None:
            raise RefusedError("E_RELEASE", f"{circuit}: the ledger knows no release {release}")
        made.add([("page", release)], reason)
        if circuit in manifest.circuits:
            made.add(named_by(manifest.entry(circuit)), reason)


def collected(ledger: Ledger) -> frozenset[Thing]:
    """Return everything that was ever removed by policy, as the ledger names it."""
    found: set[Thing] = set()
    for entry in ledger.entries():
        if entry.event == EVENT:
            data = ledger.get(EVENT, f"{entry.data['file']}.json")
            if data is None or sha256(data) != entry.data["file"]:
                raise RefusedError(
                    "E_COLLECTED",
                    f"ledger entry {entry.seq}: its list of what was removed is gone or changed",
                )
            found |= {(kind, name) for kind, name in json.loads(data)["things"]}
    return frozenset(found)


def _record(ledger: Ledger, going: Sequence[Stored], now: datetime) -> None:
    """Say in the ledger what goes, once."""
    if {each.thing for each in going} <= collected(ledger):
        return
    data = collected_bytes(going)
    ledger.put(EVENT, f"{sha256(data)}.json", data)
    ledger.append(EVENT, PLATFORM, {"file": sha256(data), "things": len(going)}, now)


def _parts(going: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
    for start in range(0, len(going), _AT_ONCE):
        yield going[start : start + _AT_ONCE]


def _live(endpoints: Endpoints) -> Iterator[Deployment]:
    for plant in endpoints.plants():
        yield from endpoints.live(plant).live.values()


def _served(deployment: Deployment) -> list[Thing]:
    """What a deployment is served from."""
    key, before = deployment.circuit, deployment.previous_model_version
    things: list[Thing] = [
        ("registry_model", model_name(key, deployment.model_version)),
        ("registry_environment", deployment.environment),
        ("interpreter", deployment.environment),
    ]
    if before is not None:
        things.append(("registry_model", model_name(key, before)))
    return things
