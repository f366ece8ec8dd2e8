"""The present, and where long work says how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """The one source of the present."""

    def now(self) -> datetime:
        """Return the present, aware and UTC."""


class Progress(Protocol):
    """Where long work says how far it is: a terminal bar, a run's log, or nowhere."""

    def begin(self, what: str, total: int) -> None:
        """Start a new count."""

    def advance(self, label: str = "") -> None:
        """One more is done."""

    def say(self, line: str) -> None:
        """One line for whoever watches."""
