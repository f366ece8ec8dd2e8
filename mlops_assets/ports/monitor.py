"""Who watches a fleet's figures from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.domain.monitor import Gauge
    from mlops_assets.domain.quality import DayQuality


class Monitor(Protocol):
    """Where rows and gauges are watched: a folder that a collector reads, or a service.

    DataError when it takes nothing now; what it took before that may be sent again.
    """

    def rows(self, days: Sequence[DayQuality]) -> None:
        """Hand exact daily rows over; one that is handed over again counts once."""

    def gauges(self, gauges: Sequence[Gauge]) -> None:
        """Hand the figures of this moment over."""


class SentRows(Protocol):
    """Which rows a monitor has taken; losing it sends them again, which is harmless."""

    def read(self) -> Mapping[str, str]:
        """The id of each row by its key."""

    def write(self, sent: Mapping[str, str]) -> None:
        """Replace all of them in one step."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the sending against other senders of this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """How a home is watched: who takes the figures, and what was taken."""

    monitor: Monitor
    sent: SentRows
