"""The time of the control plane: the machine's own, or one that only passes while all wait.

Virtual time jumps to the next moment that somebody sleeps for, once nothing works and nobody has
come or gone for a few milliseconds. What runs at the same time therefore waits at the same time,
as it would in reality; a slow machine makes a virtual wait longer, never shorter.
"""

from __future__ import annotations

import heapq
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 3, 2, 6, tzinfo=UTC)


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Nothing to hold: real time passes anyway."""
        yield


class VirtualClock:
    """A clock that whoever sleeps moves on together."""

    def __init__(self, start: datetime = START, quiet: float = 0.004) -> None:
        self._start, self.quiet = start, quiet
        self._elapsed = 0.0
        self._wakes: list[float] = []
        self._busy = 0
        self._stirred = time.monotonic()
        self._changed = threading.Condition()

    def now(self) -> datetime:
        with self._changed:
            self._stirred = time.monotonic()
            return self._start + timedelta(seconds=self._elapsed)

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the start."""
        with self._changed:
            return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Wait until ``seconds`` of virtual time have passed."""
        with self._changed:
            wake = self._elapsed + max(0.0, seconds)
            heapq.heappush(self._wakes, wake)
            self._stirred = time.monotonic()
            try:
                while self._elapsed < wake:
                    quiet = time.monotonic() - self._stirred
                    if quiet >= self.quiet and not self._busy:
                        self._elapsed = max(self._elapsed, self._wakes[0])
                        self._stirred = time.monotonic()
                        self._changed.notify_all()
                    else:
                        self._changed.wait(max(self.quiet - quiet, self.quiet / 4))
            finally:
                self._wakes.remove(wake)
                heapq.heapify(self._wakes)
                self._stirred = time.monotonic()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold virtual time still while something real works."""
        with self._changed:
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._stirred = time.monotonic()
