"""The rollback drill: the way back of every live circuit, tried without changing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.canonical import moment_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.identifiers import CircuitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What a rollback of everything would have done at one moment, and how long it took.

    ``targets`` are releases by circuit, their bytes checked against their digests; ``first`` are
    circuits on their first deployment, which have no way back; ``broken`` says why a way back that
    should be there is not.
    """

    at: datetime
    seconds: float
    targets: Mapping[CircuitKey, str] = field(default_factory=dict)
    first: tuple[CircuitKey, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every way back that should be there is there."""
        return not self.broken

    @property
    def name(self) -> str:
        """The drill's file, in order of time."""
        return f"{self.at:%Y-%m-%dT%H%M%S.%f}Z.json"

    def document(self) -> dict[str, Any]:
        """Return the JSON document that is kept."""
        return {
            "format": 1,
            "at": moment_text(self.at),
            "ok": self.ok,
            "seconds": self.seconds,
            "circuits": {str(key): release for key, release in sorted(self.targets.items())},
            "first_deployments": [str(key) for key in self.first],
            "broken": dict(sorted(self.broken.items())),
        }
