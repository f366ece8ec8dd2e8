"""Rollback: one step back in each circuit's deployment history, without approval or network.

The decision is appended to the ledger first, with every plant locked and every target's bytes
checked; then each plant changes by one swap. A rollback that was killed in between is finished by
the next one that names any of its circuits, or by `resume`: finishing takes no further step.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.deployment import RollbackReport, rollback_target
from mlops_assets.domain.errors import DataError, MlopsError, RefusedError, UsageError
from mlops_assets.domain.identifiers import CircuitKey, checked_release
from mlops_assets.flows.deployment import check_bytes, locked_plants, swap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.release import LedgerEntry
    from mlops_assets.ports import Platform

PLATFORM = "platform"


def rollback(
    platform: Platform,
    circuits: Sequence[CircuitKey],
    *,
    operator: str,
    reason: str,
    now: datetime,
    to: str | None = None,
) -> RollbackReport:
    """Return circuits to the deployment before the live one, or to the earlier one named ``to``.

    A circuit that has none is refused and stays live; the others move.

    Raises:
        UsageError: no operator, no reason, no circuit, or ``to`` is no release id.
    """
    started = time.perf_counter()
    _check_words(circuits, operator, reason, to)
    with ExitStack() as held:
        held.enter_context(platform.ledger.lock())
        log = _Log(platform.ledger.entries())
        wanted = {*circuits, *log.companions(circuits)}
        endpoints = platform.prod.endpoints
        held.enter_context(locked_plants(endpoints, {circuit.plant_id for circuit in wanted}))
        live = {plant: endpoints.live(plant) for plant in {c.plant_id for c in wanted}}
        moves = _pending(platform, log, live, circuits)
        if not moves.to:
            moves = _moves(platform, log, live, sorted(set(circuits)), to=to)
            if moves.to:
                platform.ledger.append("rolled_back", operator, moves.data(operator, reason), now)
        _swap_all(platform, live, moves.to.values())
    return RollbackReport(
        circuits=tuple(sorted(moves.to)),
        from_={circuit: before.release for circuit, before in moves.from_.items()},
        to={circuit: target.release for circuit, target in moves.to.items()},
        refused=moves.refused,
        seconds=time.perf_counter() - started,
    )


def resume(platform: Platform) -> tuple[CircuitKey, ...]:
    """Finish what a killed rollback left undone; returns the circuits that moved now."""
    with ExitStack() as held:
        held.enter_context(platform.ledger.lock())
        log = _Log(platform.ledger.entries())
        plants = {circuit.plant_id for circuit in log.steps}
        endpoints = platform.prod.endpoints
        held.enter_context(locked_plants(endpoints, plants))
        live = {plant: endpoints.live(plant) for plant in plants}
        moves = _pending(platform, log, live, log.steps)
        _swap_all(platform, live, moves.to.values())
    return tuple(
        sorted(
            circuit
            for circuit, before in moves.from_.items()
            if live[circuit.plant_id].of(circuit) == before
        )
    )


@dataclass(slots=True)
class _Moves:
    """Where each circuit goes, and why some stay."""

    from_: dict[CircuitKey, Deployment] = field(default_factory=dict)
    to: dict[CircuitKey, Deployment] = field(default_factory=dict)
    refused: dict[CircuitKey, str] = field(default_factory=dict)

    def data(self, operator: str, reason: str) -> dict[str, Any]:
        """The ledger's event: steps, who, why, and the models that are held from now on."""
        return {
            "circuits": {
                str(circuit): {"from": self.from_[circuit].release, "to": target.release}
                for circuit, target in sorted(self.to.items())
            },
            "operator": operator,
            "reason": reason,
            "held": {
                str(circuit): before.model_digest for circuit, before in sorted(self.from_.items())
            },
        }


@dataclass(frozen=True, slots=True)
class _Step:
    """One circuit's part of the newest event about it, where that is a rollback."""

    seq: int
    from_: str
    to: str


class _Log:
    """What the ledger says about deployments: who deployed what, and the newest rollbacks."""

    def __init__(self, entries: Iterable[LedgerEntry]) -> None:
        self.deployed: set[tuple[CircuitKey, str]] = set()
        self.steps: dict[CircuitKey, _Step] = {}
        for entry in entries:
            match entry.event:
                case "deployed":
                    self._deploy(entry.data["circuits"], entry.data["release"])
                case "failed":
                    self._deploy(entry.data.get("deployed", ()), entry.data["release"])
                case "rolled_back":
                    for key, step in entry.data["circuits"].items():
                        circuit = CircuitKey.parse(key)
                        self.steps[circuit] = _Step(entry.seq, step["from"], step["to"])
                case _:
                    pass

    def _deploy(self, keys: Iterable[str], release: str) -> None:
        for key in keys:
            circuit = CircuitKey.parse(key)
            self.deployed.add((circuit, release))
            self.steps.pop(circuit, None)

    def companions(self, circuits: Iterable[CircuitKey]) -> set[CircuitKey]:
        """Circuits whose newest change is a rollback that any of these was part of."""
        events = {self.steps[circuit].seq for circuit in circuits if circuit in self.steps}
        return {circuit for circuit, step in self.steps.items() if step.seq in events}


def _check_words(
    circuits: Sequence[CircuitKey], operator: str, reason: str, to: str | None
) -> None:
    if not circuits:
        raise UsageError("rollback: no circuit is named; say --circuit, --plant or --all")
    if operator != PLATFORM and "@" not in operator.strip("@"):
        raise UsageError(f"rollback: {operator!r} names nobody; say --as with an e-mail address")
    if not reason.strip():
        raise UsageError("rollback: it needs a reason; say --reason TEXT")
    if to is not None:
        checked_release(to)


def _pending(
    platform: Platform,
    log: _Log,
    live: Mapping[str, LiveManifest],
    circuits: Iterable[CircuitKey],
) -> _Moves:
    """The whole of each rollback that is in the ledger and was not finished; empty if none."""
    moves = _Moves()
    undone = {
        log.steps[circuit].seq
        for circuit in log.companions(circuits)
        if _release(live, circuit) == log.steps[circuit].from_
    }
    for circuit, step in log.steps.items():
        if step.seq not in undone or _release(live, circuit) not in {step.from_, step.to}:
            continue
        before, target = (_recorded(platform, circuit, name) for name in (step.from_, step.to))
        moves.from_[circuit], moves.to[circuit] = before, target
    check_bytes(platform.registry, moves.to.values())
    return moves


def _moves(
    platform: Platform,
    log: _Log,
    live: Mapping[str, LiveManifest],
    circuits: Iterable[CircuitKey],
    *,
    to: str | None,
) -> _Moves:
    moves = _Moves()
    environments: set[tuple[str, str]] = set()
    for circuit in circuits:
        now = live[circuit.plant_id].of(circuit)
        try:
            target = rollback_target(now, platform.prod.endpoints.recorded, to=to)
            if now is not None and (circuit, now.release) not in log.deployed:
                raise RefusedError(
                    "E_UNFINISHED",
                    f"its deployment by {now.release} was not finished; finish it first: "
                    f"`mlops release promote {now.release} --stage production`",
                )
            check_bytes(platform.registry, [target], environments)
        except MlopsError as error:
            moves.refused[circuit] = str(error)
            continue
        if now is not None:
            moves.from_[circuit], moves.to[circuit] = now, target
    return moves


def _swap_all(
    platform: Platform, live: Mapping[str, LiveManifest], targets: Iterable[Deployment]
) -> None:
    changes: dict[str, dict[CircuitKey, Deployment | None]] = {}
    for target in targets:
        circuit = target.circuit
        if live[circuit.plant_id].of(circuit) != target:
            changes.setdefault(circuit.plant_id, {})[circuit] = target
    for plant in sorted(changes):
        swap(platform.prod.endpoints, live[plant], changes[plant])


def _release(live: Mapping[str, LiveManifest], circuit: CircuitKey) -> str | None:
    manifest = live.get(circuit.plant_id)
    deployment = None if manifest is None else manifest.of(circuit)
    return None if deployment is None else deployment.release


def _recorded(platform: Platform, circuit: CircuitKey, release: str) -> Deployment:
    found = platform.prod.endpoints.recorded(circuit, release)
    if found is None:
        raise DataError(
            f"{circuit}: the ledger holds a rollback that was not finished, and the deployment by "
            f"{release} is not recorded on the endpoint; restore its file from a copy of the home"
        )
    return found
