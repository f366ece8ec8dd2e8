"""Incidents: a live release that is clearly worse than people were told, and whether to go back.

One incident has one cause, the release: its circuits that degrade together are one incident. Each
circuit shows what the live model and the one before it missed by on the same hours of the same
days. The way back is a command only for circuits whose previous deployment did better; it names the
target, so that two people who run it do not go two steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.identifiers import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from mlops_assets.domain.history import History
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.quality import QualityReport

PLATFORM = "platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The live deployment and the one before it over the same hours, pooled.

    ``previous`` is None where there is none; ``obstacle`` says why there are no figures.
    """

    previous: str | None = None
    days: int = 0
    live_wape: float | None = None
    previous_wape: float | None = None
    obstacle: str = ""

    def better_by(self, margin: float) -> bool:
        """Whether the live error exceeds the previous one by more than this share of it."""
        if self.live_wape is None or self.previous_wape is None:
            return False
        return self.live_wape > self.previous_wape * (1 + margin)


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedCircuit:
    """One circuit of an incident: its rolling days against the signed backtest, and the other."""

    circuit: CircuitKey
    release: str
    model_version: int
    report: QualityReport
    comparison: Comparison

    @property
    def obstacle(self) -> str:
        """Why going one step back is not proposed; empty where it is."""
        known = self.comparison
        if known.obstacle:
            return known.obstacle
        if known.live_wape is None or known.previous_wape is None:
            return f"{known.previous} has no figure to compare"
        if known.previous_wape >= known.live_wape:
            did = "no better" if known.previous_wape == known.live_wape else "worse"
            return (
                f"{known.previous} did {did} on the same {known.days} days: WAPE "
                f"{known.previous_wape:.1%} against {known.live_wape:.1%}"
            )
        return ""

    @property
    def says(self) -> str:
        """Both figures in one sentence, with what follows from them."""
        known = self.comparison
        if self.obstacle:
            return f"{self.circuit}: {self.report.reason}; no rollback: {self.obstacle}"
        return (
            f"{self.circuit}: {self.report.reason}; on the same {known.days} days "
            f"{known.previous} would have had WAPE {known.previous_wape:.1%} against "
            f"{known.live_wape:.1%}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One release's circuits that degraded, judged by the 7 days that end with ``up_to``."""

    release: str
    up_to: date
    circuits: tuple[DegradedCircuit, ...]

    @property
    def incident(self) -> str:
        """Its name, the same for as long as its cause is live, so that it is told once."""
        return "i-" + digest_of({"kind": "degraded", "release": self.release})[:12]

    @property
    def keys(self) -> tuple[CircuitKey, ...]:
        """The circuits that degraded."""
        return tuple(each.circuit for each in self.circuits)

    @property
    def movable(self) -> tuple[DegradedCircuit, ...]:
        """Those whose previous deployment did better."""
        return tuple(each for each in self.circuits if not each.obstacle)

    @property
    def commands(self) -> tuple[str, ...]:
        """What takes those circuits one step back, a command for each target."""
        targets: dict[str, list[CircuitKey]] = {}
        for each in self.movable:
            targets.setdefault(str(each.comparison.previous), []).append(each.circuit)
        return tuple(
            f"mlops rollback {' '.join(f'--circuit {key}' for key in keys)} --to {target} "
            f'--as YOU --reason "{self.release} is degraded"'
            for target, keys in sorted(targets.items())
        )

    @property
    def advice(self) -> str:
        """The exact way out: the rollback, or a refresh of what has no better past."""
        if self.commands:
            return " && ".join(self.commands)
        named = " ".join(f"--circuit {key}" for key in self.keys)
        return f"mlops refresh --cutoff DATE {named}"

    @property
    def summary(self) -> str:
        """One line for whoever is woken by it."""
        count = len(self.circuits)
        circuits = "1 circuit" if count == 1 else f"{count} circuits"
        return f"{self.release} is degraded in {circuits}, {len(self.movable)} did better before"

    @property
    def lines(self) -> tuple[str, ...]:
        """The whole of it for people, the way out last."""
        return (self.summary, *(each.says for each in self.circuits), self.advice)


def incidents_of(degraded: Iterable[DegradedCircuit], up_to: date) -> tuple[Incident, ...]:
    """One incident for each release, circuits in order."""
    by_release: dict[str, list[DegradedCircuit]] = {}
    for each in sorted(degraded, key=lambda one: one.circuit):
        by_release.setdefault(each.release, []).append(each)
    return tuple(
        Incident(release=release, up_to=up_to, circuits=tuple(circuits))
        for release, circuits in sorted(by_release.items())
    )


def automatic_moves(
    incident: Incident, history: History, *, margin: float
) -> tuple[tuple[CircuitKey, ...], Mapping[CircuitKey, str]]:
    """Which circuits the platform may take one step back by itself, and why the others stay.

    Once a release, one step: a release it rolled back from before, and a circuit that a rollback
    has brought to where it is, are left to people. So is a past that was better by less than
    ``margin``, the share of its error by which the live one's may exceed it.
    """
    refused = {each.circuit: each.obstacle for each in incident.circuits if each.obstacle}
    moves = []
    for each in incident.movable:
        step = history.steps.get(each.circuit)
        if (acted := history.rolled_back_by(PLATFORM, incident.release)) is not None:
            refused[each.circuit] = (
                f"the platform rolled back from {incident.release} once, ledger entry {acted}; "
                "whether others follow is for people to decide"
            )
        elif step is not None:
            refused[each.circuit] = (
                f"it was rolled back to {step.to} before, ledger entry {step.seq}; a further step "
                "is for people to decide"
            )
        elif not each.comparison.better_by(margin):
            known = each.comparison
            refused[each.circuit] = (
                f"{known.previous} would have had WAPE {known.previous_wape:.2%} against "
                f"{known.live_wape:.2%} on the same {known.days} days, which is not better by the "
                f"margin {margin:.1%} of gates.champion_margin; whether to go back is for people "
                "to decide"
            )
        else:
            moves.append(each.circuit)
    return tuple(moves), refused
