"""One piece of remote work, in as many attempts as it takes, each under a name of its own.

What is asked for names its folder in the exchange, so whoever asks again, after a crash or beside
us, meets the same attempt: it is followed, or its outcome is taken, and nothing is ordered twice.
An attempt that is ``spent`` counts no more: its outcome was handed on, or it ended without one.

```
FOLDER/order                what is asked
FOLDER/1/job                what the work calls the attempt, where that is not our name
FOLDER/1/outcome/outcome    what came of it
FOLDER/1/spent
```
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mlops_assets.domain.errors import DataError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.ports.remote import Exchange, RemoteWork


_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often remote work is asked after, and for how long; all in seconds.

    Questions come at ``first`` and then ever more rarely. ``queue`` is the longest wait for a
    machine.
    """

    first: float = 2.0
    longest: float = 60.0
    queue: float = 3 * 3600.0

    def after(self, pause: float) -> float:
        """The pause that follows one."""
        return min(self.longest, 1.5 * pause)


@dataclass(slots=True)
class Stop:
    """Says to all threads of one call that nobody listens any more; they sleep by it."""

    sleep: Callable[[float], None] | None = None
    _event: threading.Event = field(default_factory=threading.Event)

    def set(self) -> None:
        """Wake and end what waits."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether nobody listens."""
        return self._event.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, no longer than until `set`."""
        if self.sleep is None:
            self._event.wait(seconds)
        else:
            self.sleep(seconds)


class LostError(Exception):
    """An attempt ended without an outcome; the text says how."""


class PastError(LostError):
    """It had ended so before anybody asked now, and what it left was removed or never there."""


class StoppedError(Exception):
    """Nobody listens any more, and the attempt was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What is asked for, under one folder of the exchange and one first part of a name."""

    exchange: Exchange
    work: RemoteWork
    folder: str
    name: str
    patience: Patience
    seconds: float

    def attempt(self) -> int:
        """The number of the attempt that counts."""
        spent = [each for each in self.exchange.names(self.folder) if each.endswith("/spent")]
        return max((int(each.split("/")[-2]) for each in spent), default=0) + 1

    def spend(self, attempt: int) -> None:
        """Let an attempt count no more."""
        self.exchange.put(f"{self._at(attempt)}/spent", b"")

    def outcome_folder(self, attempt: int) -> str:
        """Where an attempt leaves what came of it."""
        return f"{self._at(attempt)}/outcome"

    def outcome(self, attempt: int) -> bytes | None:
        """What came of an attempt, if anything did yet."""
        return self.exchange.get(f"{self.outcome_folder(attempt)}/outcome")

    def result(
        self,
        begin: Callable[[int, str], str | None],
        read: Callable[[bytes, str], _Read],
        stop: Stop,
        *,
        attempts: int,
    ) -> tuple[_Read, int]:
        """Follow attempts until one leaves something that can be read.

        Args:
            begin: orders an attempt by its number, under a name (`follow`).
            read: reads an outcome that lies in a folder; DataError when it is none.
            stop: ends the wait, and with it the work.
            attempts: how many may be lost now; those lost in the past do not count.

        Returns:
            What was read, and the number of its attempt.

        Raises:
            LostError: all were lost; the text says how the last one was.
            StoppedError: nobody listens any more.
            MlopsError: the work cannot be asked after; it goes on.
        """
        attempt, lost = self.attempt(), 0
        while True:
            try:
                data = self.follow(attempt, partial(begin, attempt), stop)
                return self._read(read, data, attempt), attempt
            except PastError:
                self.spend(attempt)
            except LostError:
                self.spend(attempt)
                lost += 1
                if lost == attempts:
                    raise
            except StoppedError:
                self.spend(attempt)
                raise
            attempt += 1

    def _read(self, read: Callable[[bytes, str], _Read], data: bytes, attempt: int) -> _Read:
        try:
            return read(data, self.outcome_folder(attempt))
        except DataError as error:
            raise LostError(str(error)) from error

    def follow(self, attempt: int, begin: Callable[[str], str | None], stop: Stop) -> bytes:
        """Begin an attempt unless somebody did, wait for its end, and return its outcome.

        Args:
            attempt: its number.
            begin: orders it under a name, and returns what the work calls it if not that.
            stop: ends the wait, and with it the work.

        Raises:
            LostError: it ended without an outcome, or took too long and was cancelled.
            StoppedError: nobody listens any more.
            MlopsError: the work cannot be asked after; it goes on.
        """
        found = self.outcome(attempt)
        if found is not None:
            return found
        name, past = self._begun(attempt, begin)
        ended = self._wait(name, stop)
        found = self.outcome(attempt)
        if found is None:
            raise PastError(ended) if past else LostError(ended)
        return found

    def _begun(self, attempt: int, begin: Callable[[str], str | None]) -> tuple[str, bool]:
        """Return what the attempt is called, and whether it was over when we came."""
        job = f"{self._at(attempt)}/job"
        with self.exchange.lock(f"{self.folder}/lock"):
            known = self.exchange.get(job)
            name = known.decode() if known else f"{self.name}-{attempt}"
            state = self.work.look(name)
            if state is None:
                other = begin(name)
                if other is not None and other != name:
                    self.exchange.put(job, other.encode())
                    name = other
        return name, state is not None and state.over

    def _wait(self, name: str, stop: Stop) -> str:
        """Wait until it is over; returns how it ended."""
        queued = ran = 0.0
        pause = self.patience.first
        while True:
            state = self.work.look(name)
            if state is None:
                raise EngineError(f"{name}: was ordered and is not known; order it again")
            if state.over:
                page = f"; see {state.page}" if state.page else ""
                return f"{name} {_ENDS[state.status]} without an outcome{page}"
            if stop.is_set:
                self.work.cancel(name)
                raise StoppedError(name)
            if ran >= self.seconds or queued >= self.patience.queue:
                self.work.cancel(name)
                what = (
                    f"ran for more than {self.seconds:g} s"
                    if ran >= self.seconds
                    else f"waited {self.patience.queue / 3600:g} hours for a machine"
                )
                return f"{name} {what} and was cancelled"
            asked = time.monotonic()
            stop.pause(pause)
            passed = max(pause, time.monotonic() - asked)
            if state.status == "running":
                ran += passed
            else:
                queued += passed
            pause = self.patience.after(pause)

    def _at(self, attempt: int) -> str:
        return f"{self.folder}/{attempt}"


_ENDS = {"completed": "completed", "failed": "failed", "cancelled": "was cancelled"}
