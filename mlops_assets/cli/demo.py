"""The whole loop in a fresh home, with throw-away people; run again, it goes on where it was.

Every step is the one that its own command takes, so the home can be used like any other afterwards.
A step that is done already does nothing, which is what makes the whole of it repeatable.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets import launch
from mlops_assets.domain.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.cli.session import Session
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.release import ReleaseView, Stage, State

ENGINEER = "engineer@demo.example"
MANAGER = "manager@demo.example"
PEOPLE = {ENGINEER: ("ml_engineer",), MANAGER: ("engineering_manager",)}
DAYS = 7
_STAGES: tuple[tuple[Stage, str | None], ...] = (
    ("registry", ENGINEER),
    ("test", None),
    ("production", MANAGER),
)
# What is done already when the demo goes on where it was stopped.
_BEHIND: Mapping[State, tuple[Stage, ...]] = {
    "registered": ("registry",),
    "tested": ("registry", "test"),
    "awaiting_production": ("registry", "test"),
}
# A release that loses circuits to a gate is followed by one without them; each loses at least one.
_ROUNDS = 8


@dataclass
class Demo:
    """One run of the demo in one home."""

    session: Session
    refused: dict[CircuitKey, str] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Do every step and return the document that ``demo`` prints."""
        started = time.monotonic()
        session = self.session
        launch.ingest(session.settings, None, session.progress)
        summary = launch.train(session.settings, None, session.progress)
        self.refused.update(summary.failed)
        self._release()
        days = self._days()
        for day in days:
            launch.predict(session.settings, day, None, session.progress)
        return self._document(days, time.monotonic() - started)

    def _release(self) -> None:
        """Take everything that can be released through its three stages."""
        from mlops_assets.flows.ledger import views
        from mlops_assets.flows.release import create

        platform = self.session.platform
        for _ in range(_ROUNDS):
            now = self.session.now()
            open_releases = [view for view in views(platform, now) if view.open]
            if open_releases:
                self._promote(open_releases[-1])
                continue
            made, _circuits = create(
                platform,
                self.session.desired(),
                None,
                without=tuple(self.refused),
                unhold=(),
                now=now,
                actor="platform",
            )
            if made is None:
                return
        raise MlopsError("demo: releases kept being refused; `mlops release list` shows them")

    def _promote(self, view: ReleaseView) -> None:
        """Sign and do the stages of one release, or leave out the circuits that gates refuse."""
        for stage, principal in _STAGES:
            if stage in _BEHIND.get(self._state(view.release), ()):
                continue
            if principal is not None and self._refuses(view, stage, principal):
                return
            done = launch.promote(self.session.settings, view.release, stage, self.session.progress)
            if done.refused:
                self._leave_out(done.refused)
                return

    def _state(self, release: str) -> State:
        from mlops_assets.domain.lifecycle import find
        from mlops_assets.flows.ledger import views

        return find(views(self.session.platform, self.session.now()), release).state

    def _refuses(self, view: ReleaseView, stage: Stage, principal: str) -> bool:
        """Sign a stage; when gates refuse, reject the release and note its circuits."""
        from mlops_assets.flows.approval import approve, reject, request
        from mlops_assets.flows.gates import circuit_verdicts
        from mlops_assets.flows.ledger import manifest_of

        session, platform, config = self.session, self.session.platform, self.session.desired()
        key = (session.settings.home / "demo_keys" / principal).read_bytes()
        window = request(platform, config, view.release, stage, now=session.now())
        if not window.missing:
            submission = approve(
                platform, config, view.release, stage, key, "the demo", now=session.now()
            )
            if not submission.accepted and submission.code != "E_CONSUMED":
                raise MlopsError(f"demo: {submission.code}: {submission.reason}")
            return False
        verdicts = circuit_verdicts(platform, config, manifest_of(platform.ledger, view))
        self._leave_out(
            {
                str(circuit): "; ".join(one.reason for one in said if one.refuses)
                for circuit, said in verdicts.items()
                if any(one.refuses for one in said)
            }
        )
        if not self.refused:
            raise MlopsError(f"demo: {view.release}: {'; '.join(window.missing)}")
        reject(platform, config, view.release, stage, key, "gates refuse", now=session.now())
        return True

    def _leave_out(self, reasons: Mapping[str, str]) -> None:
        from mlops_assets.domain.identifiers import CircuitKey

        self.refused.update({CircuitKey.parse(key): why for key, why in reasons.items()})

    def _days(self) -> list[date]:
        """Return the seven days before data time and the day of data time itself."""
        from mlops_assets.flows.readings import data_now

        platform = self.session.platform
        present = data_now(platform.kind, platform.lake, self.session.now()).date()
        return [present - timedelta(days=back) for back in range(DAYS, -1, -1)]

    def _document(self, days: Sequence[date], seconds: float) -> dict[str, Any]:
        from mlops_assets.flows.deployment import live_deployments
        from mlops_assets.flows.quality import pooled_skill

        platform = self.session.platform
        predicted = platform.lake.predictions.read(first=days[0], last=days[-1])
        return {
            "circuits": len(self.session.desired().circuits),
            "trained": len(platform.dev.models.circuits()),
            "deployed": len(live_deployments(platform.prod)),
            "predicted": predicted.select("plant_id", "circuit_id").n_unique(),
            "refused": {str(key): reason for key, reason in sorted(self.refused.items())},
            "skill": pooled_skill(platform.lake, first=days[0], last=days[-1]),
            "seconds": round(seconds, 1),
            "home": str(self.session.settings.home),
        }
