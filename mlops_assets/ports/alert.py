"""Who is told of an incident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.domain.alert import Channel, Letter
    from mlops_assets.domain.circuit import AlertPolicy


class Alerts(Protocol):
    """Where people hear of an incident: terminal and file, a webhook, e-mail."""

    def send(self, letter: Letter, channel: Channel) -> None:
        """Hand one alert over; sending it again is harmless.

        DataError when the receiver takes nothing now, RefusedError when it never takes this one.
        """


class AlertLog(Protocol):
    """What was raised and sent: `alerts/` of the home, each file written once."""

    def put(self, kind: str, name: str, data: bytes) -> bool:
        """Write ``alerts/<kind>/<name>``; False when the name is taken already."""

    def get(self, kind: str, name: str) -> bytes | None:
        """Read such a file."""

    def names(self, kind: str) -> Sequence[str]:
        """Names under ``alerts/<kind>``, sorted."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the sending against other senders of this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """How a home tells people: what was sent, and the receivers that a policy names."""

    log: AlertLog
    receivers: Callable[[AlertPolicy], Alerts]
