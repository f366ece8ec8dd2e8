"""The machine's clock, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The present, as this machine tells it."""

    def now(self) -> datetime:
        """Return the present, aware and UTC."""
        return datetime.now(UTC)
