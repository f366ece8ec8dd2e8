"""The history of deployments as the ledger tells it: who deployed what, and what was taken back.

It says what should be live. A rollback that is in the ledger counts from its entry on, also where
the process that wrote it was killed before the last plant changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.ledger import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.release import LedgerEntry


@dataclass(frozen=True, slots=True)
class Step:
    """One circuit's part of the newest event about it, where that is a rollback."""

    seq: int
    from_: str
    to: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What serves a circuit by the ledger, None when retired, and the entry that says so."""

    release: str | None
    seq: int


class History:
    """What the ledger says about deployments.

    ``deployed`` holds every circuit with each release that put it live; ``steps`` the circuits
    whose newest change is a rollback; ``live`` what should serve each circuit; ``requests`` the
    entry of the newest rollback that was asked for in the same words.
    """

    def __init__(self, entries: Iterable[LedgerEntry]) -> None:
        self.deployed: set[tuple[CircuitKey, str]] = set()
        self.steps: dict[CircuitKey, Step] = {}
        self.live: dict[CircuitKey, Standing] = {}
        self.requests: dict[str, LedgerEntry] = {}
        self._rolled_back: dict[tuple[str, str], int] = {}
        for entry in entries:
            with well_formed(entry):
                self._add(entry)

    def rolled_back_by(self, operator: str, release: str) -> int | None:
        """The first entry by which somebody rolled back from a release."""
        return self._rolled_back.get((operator, release))

    def companions(self, circuits: Iterable[CircuitKey]) -> set[CircuitKey]:
        """Circuits whose newest change is a rollback that any of these was part of."""
        events = {self.steps[circuit].seq for circuit in circuits if circuit in self.steps}
        return {circuit for circuit, step in self.steps.items() if step.seq in events}

    def _add(self, entry: LedgerEntry) -> None:
        match entry.event:
            case "deployed":
                self._deploy(entry, entry.data["circuits"])
            case "failed":
                self._deploy(entry, entry.data.get("deployed", ()))
            case "rolled_back":
                self._roll_back(entry)
            case _:
                pass

    def _deploy(self, entry: LedgerEntry, keys: Iterable[str]) -> None:
        release, retired = entry.data["release"], set(entry.data.get("retired", ()))
        for key in keys:
            circuit = CircuitKey.parse(key)
            self.deployed.add((circuit, release))
            self.steps.pop(circuit, None)
            self.live[circuit] = Standing(None if key in retired else release, entry.seq)

    def _roll_back(self, entry: LedgerEntry) -> None:
        for key, step in entry.data["circuits"].items():
            circuit = CircuitKey.parse(key)
            self.steps[circuit] = Step(entry.seq, step["from"], step["to"])
            self.live[circuit] = Standing(step["to"], entry.seq)
            by = (entry.data["operator"], step["from"])
            self._rolled_back.setdefault(by, entry.seq)
        if request := entry.data.get("request"):
            self.requests[request] = entry


def live_difference(
    circuit: CircuitKey, live: Deployment | None, history: History, begun: str | None
) -> str:
    """How what serves a circuit differs from what the ledger says does; empty where it agrees.

    ``begun`` is a release whose production stage has begun and not ended.
    """
    standing, step = history.live.get(circuit), history.steps.get(circuit)
    serves = None if live is None else live.release
    expected = None if standing is None else standing.release
    if serves == expected:
        return ""
    if begun is not None and serves in {begun, None}:
        return (
            f"its deployment by {begun} was not finished; finish it: "
            f"`mlops release promote {begun} --stage production`"
        )
    said = "" if standing is None else f"; ledger entry {standing.seq} says {expected or 'nothing'}"
    if serves is None:
        return f"nothing is live{said}"
    if step is not None and serves == step.from_:
        return (
            f"{serves} is live still: the rollback to {step.to}, ledger entry {step.seq}, was not "
            "finished; run it again"
        )
    if (circuit, serves) not in history.deployed:
        return f"{serves} is live, but the ledger never deployed it{said}"
    return f"{serves} is live{said}"
