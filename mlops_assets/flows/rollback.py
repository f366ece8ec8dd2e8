"""Rollback: one step back in each circuit's deployment history, without approval or network.

The decision is appended to the ledger first, with every plant locked, every target's bytes checked
and made ready; then each plant changes by one swap. A plant that cannot be made ready is refused
whole, with the reason, and the others move. A rollback that was killed in between is finished by
the next one that names any of its circuits, or by `resume`: finishing takes no further step.

Plants are taken before the ledger, and that is held for the decision and the swaps alone: to make
ready may take minutes, in which others decide about other plants.

A rollback that was killed after the last swap, before anybody was told, is told by the same command
again. What makes that sound is no time window but a mark: the request is closed by a write-once
file after its report was shown, so that the worst a kill can do is to show the report twice.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.deployment import RollbackReport, rollback_target
from mlops_assets.domain.errors import DataError, MlopsError, RefusedError, StaleError, UsageError
from mlops_assets.domain.history import History
from mlops_assets.domain.identifiers import (
    CircuitKey,
    canonical_json,
    checked_release,
    digest_of,
)
from mlops_assets.domain.incident import PLATFORM
from mlops_assets.flows.deployment import check_bytes, locked_plants, make_ready, swap, unready

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.release import LedgerEntry
    from mlops_assets.ports import Endpoints, Platform


def rollback(
    platform: Platform,
    circuits: Sequence[CircuitKey],
    *,
    operator: str,
    reason: str,
    now: datetime,
    to: str | None = None,
    only_from: str | None = None,
    told: Callable[[RollbackReport], None] | None = None,
) -> RollbackReport:
    """Return circuits to the deployment before the live one, or to the earlier one named ``to``.

    A circuit that has none is refused and stays live, as are those of a plant that cannot be made
    ready; the others move. With ``only_from`` those that another release serves by now are refused
    too, and one operator goes back from it once.

    The request (who, why, which circuits, where to) is closed once ``told`` has shown its report.
    Asked for again in the same words before that, because the process that did it was killed, it is
    reported again and takes no further step; once it is closed, the same words mean another step.

    Raises:
        UsageError: no operator, no reason, no circuit, or ``to`` is no release id.
        StaleError: the operator went back from ``only_from`` meanwhile; nothing moved.
    """
    started = time.perf_counter()
    _check_words(circuits, operator, reason, to)
    request = _request(circuits, operator, reason, to)
    endpoints = platform.prod.endpoints
    with _held(platform, circuits) as (entries, plants):
        log = History(entries)
        live = {plant: endpoints.live(plant) for plant in plants}
        before, data = _untold(platform, log, live, request), None
        moves, finished = _pending(platform, log, live, circuits), True
        if moves.to:
            finished = _refuse_unready(endpoints, live, moves)
        elif before is not None:
            moves = _told_again(platform, log, live, before, circuits)
        else:
            wished = sorted(set(circuits))
            moves = _moves(platform, log, live, wished, to=to, only_from=only_from)
            _refuse_unready(endpoints, live, moves)
            if moves.to:
                data = {**moves.data(operator, reason), "request": request}
        if moves.to:
            with platform.ledger.lock():
                if data is not None:
                    if len(platform.ledger.entries()) != len(entries):
                        _check_again(platform, moves, operator, only_from)
                    before = platform.ledger.append("rolled_back", operator, data, now)
                _swap_all(platform, live, moves.to.values())
    if moves.to:
        endpoints.announce(sorted({circuit.plant_id for circuit in moves.to}))
    report = _report(moves, started)
    if told is not None:
        told(report)
    if before is not None and finished:
        _close(platform, before)
    return report


def rehearse(platform: Platform, circuits: Sequence[CircuitKey]) -> RollbackReport:
    """What a rollback of these circuits would do now, every byte checked; nothing is changed."""
    started = time.perf_counter()
    log = History(platform.ledger.entries())
    live = {plant: platform.prod.endpoints.live(plant) for plant in {c.plant_id for c in circuits}}
    moves = _moves(platform, log, live, sorted(set(circuits)), to=None)
    return _report(moves, started)


def _check_again(platform: Platform, moves: _Moves, operator: str, only_from: str | None) -> None:
    """Ask again what others may have decided while targets were made ready."""
    # What is to be removed from the registry is written to the ledger before it goes.
    check_bytes(platform.registry, moves.to.values())
    log = History(platform.ledger.entries())
    if only_from is not None and log.rolled_back_by(operator, only_from) is not None:
        raise StaleError(f"{operator} went back from {only_from} meanwhile; nothing was done")


def resume(platform: Platform) -> tuple[CircuitKey, ...]:
    """Finish what killed rollbacks left undone; returns the circuits that moved now."""
    undone = unfinished(platform)
    if not undone:
        return ()
    endpoints = platform.prod.endpoints
    with locked_plants(endpoints, undone):
        log = History(platform.ledger.entries())
        live = {plant: endpoints.live(plant) for plant in undone}
        # One that lives was only on its way: its plants are free by now, and nothing is left.
        moves = _pending(platform, log, live, [c for c in log.steps if c.plant_id in undone])
        make_ready(endpoints, _waiting(live, moves))
        with platform.ledger.lock():
            _swap_all(platform, live, moves.to.values())
    if moves.to:
        endpoints.announce(sorted({circuit.plant_id for circuit in moves.to}))
    return tuple(
        sorted(
            circuit
            for circuit, before in moves.from_.items()
            if live[circuit.plant_id].of(circuit) == before
        )
    )


def unfinished(platform: Platform, plants: Collection[str] | None = None) -> set[str]:
    """The plants, of these or all, that a rollback in the ledger was to change and did not yet."""
    steps = {
        circuit: step
        for circuit, step in History(platform.ledger.entries()).steps.items()
        if plants is None or circuit.plant_id in plants
    }
    endpoints = platform.prod.endpoints
    live = {plant: endpoints.live(plant) for plant in {circuit.plant_id for circuit in steps}}
    return {
        circuit.plant_id for circuit, step in steps.items() if _release(live, circuit) == step.from_
    }


@contextmanager
def _held(
    platform: Platform, circuits: Sequence[CircuitKey]
) -> Iterator[tuple[Sequence[LedgerEntry], set[str]]]:
    """Hold the plants of circuits, and of what a killed rollback of them was to move besides.

    Yields:
        The ledger as it was read then, whole, and the plants.
    """
    plants: set[str] = set()
    while True:
        with locked_plants(platform.prod.endpoints, plants):
            with platform.ledger.lock():
                entries = platform.ledger.entries()
            wanted = {*circuits, *History(entries).companions(circuits)}
            if plants >= (needed := {circuit.plant_id for circuit in wanted}):
                yield entries, plants
                return
        plants |= needed


@dataclass(slots=True)
class _Moves:
    """Where each circuit goes, and why some stay."""

    from_: dict[CircuitKey, Deployment] = field(default_factory=dict)
    to: dict[CircuitKey, Deployment] = field(default_factory=dict)
    refused: dict[CircuitKey, str] = field(default_factory=dict)

    def data(self, operator: str, reason: str) -> dict[str, Any]:
        """The ledger's event: steps, who, why, and the models that are held from now on.

        A model that goes on in another environment is not held.
        """
        return {
            "circuits": {
                str(circuit): {"from": self.from_[circuit].release, "to": target.release}
                for circuit, target in sorted(self.to.items())
            },
            "operator": operator,
            "reason": reason,
            "held": {
                str(circuit): before.model_digest
                for circuit, before in sorted(self.from_.items())
                if not _only_moves(before, self.to[circuit])
            },
        }


def _only_moves(before: Deployment, after: Deployment) -> bool:
    """Whether the same model goes on in another environment."""
    return (
        before.model_digest == after.model_digest
        and before.environment_digest != after.environment_digest
    )


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


def _request(circuits: Sequence[CircuitKey], operator: str, reason: str, to: str | None) -> str:
    """What makes two calls the same request."""
    named = sorted({str(circuit) for circuit in circuits})
    return digest_of({"circuits": named, "operator": operator, "reason": reason, "to": to})


def _closed(entry: LedgerEntry) -> str:
    return f"rollback-{entry.seq}.json"


def _close(platform: Platform, entry: LedgerEntry) -> None:
    data = {"format": 1, "entry": entry.seq, "request": entry.data["request"]}
    platform.ledger.put("consumed", _closed(entry), canonical_json(data))


def _untold(
    platform: Platform, log: History, live: Mapping[str, LiveManifest], request: str
) -> LedgerEntry | None:
    """The entry that did this request, where nobody was told and nothing came after it."""
    entry = log.requests.get(request)
    if entry is None or platform.ledger.get("consumed", _closed(entry)) is not None:
        return None
    newest = all(
        (step := log.steps.get(CircuitKey.parse(key))) is not None and step.seq == entry.seq
        for key in entry.data["circuits"]
    )
    served = {
        (_release(live, CircuitKey.parse(key)) in {step["from"], step["to"]})
        for key, step in entry.data["circuits"].items()
    }
    return entry if newest and served == {True} else None


def _told_again(
    platform: Platform,
    log: History,
    live: Mapping[str, LiveManifest],
    entry: LedgerEntry,
    circuits: Iterable[CircuitKey],
) -> _Moves:
    """What a rollback did that was finished and not told: nothing moves."""
    steps = {CircuitKey.parse(key): step for key, step in entry.data["circuits"].items()}
    others = sorted(set(circuits) - set(steps))
    moves = _Moves(refused=_moves(platform, log, live, others, to=None).refused)
    for circuit, step in steps.items():
        moves.from_[circuit] = _recorded(platform, circuit, step["from"])
        moves.to[circuit] = _recorded(platform, circuit, step["to"])
    return moves


def _pending(
    platform: Platform,
    log: History,
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
    log: History,
    live: Mapping[str, LiveManifest],
    circuits: Iterable[CircuitKey],
    *,
    to: str | None,
    only_from: str | None = None,
) -> _Moves:
    moves = _Moves()
    environments: set[tuple[str, str]] = set()
    for circuit in circuits:
        now = live[circuit.plant_id].of(circuit)
        try:
            if only_from is not None and now is not None and now.release != only_from:
                raise RefusedError(
                    "E_MOVED", f"{now.release} serves it by now, not {only_from}; nothing was done"
                )
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


def _waiting(live: Mapping[str, LiveManifest], moves: _Moves) -> list[Deployment]:
    """The targets that are not live yet."""
    return [
        target
        for circuit, target in moves.to.items()
        if live[circuit.plant_id].of(circuit) != target
    ]


def _refuse_unready(endpoints: Endpoints, live: Mapping[str, LiveManifest], moves: _Moves) -> bool:
    """Make every target ready; plants that cannot be are refused. Returns whether all are."""
    waiting = _waiting(live, moves)
    broken = unready(endpoints, waiting)
    for target in waiting:
        if why := broken.get(target.circuit.plant_id):
            del moves.to[target.circuit], moves.from_[target.circuit]
            moves.refused[target.circuit] = f"{why}; run the same command again"
    return not broken


def _report(moves: _Moves, started: float) -> RollbackReport:
    return RollbackReport(
        circuits=tuple(sorted(moves.to)),
        from_={circuit: before.release for circuit, before in moves.from_.items()},
        to={circuit: target.release for circuit, target in moves.to.items()},
        refused=moves.refused,
        seconds=time.perf_counter() - started,
    )


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
