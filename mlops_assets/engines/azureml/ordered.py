"""One piece of remote work, in as many attempts as it takes, each under a name of its own.

What is asked for names its folder in the exchange, so whoever asks again, after a crash or beside
us, meets the same attempt: it is followed, or its outcome is taken, and nothing is ordered twice.
An attempt that is ``spent`` counts no more: its outcome was handed on, or it ended without one.
Where the work knows its jobs for good, an outcome counts only beside one that it says has ended:
whoever may write to the exchange may lay anything there.

```
FOLDER/order                what is asked
FOLDER/1/job                what the work calls the attempt, where it takes no names of ours
FOLDER/1/outcome/outcome    what came of it
FOLDER/1/spent
```
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mlops_assets.domain.errors import DataError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.ports.remote import Exchange, RemoteState, RemoteWork

_LOG = logging.getLogger(__name__)
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often remote work is asked after, and for how long; all in seconds.

    Questions come at ``first`` and then ever more rarely. ``queue`` is the longest wait for a
    machine, and people are told of it every ``word``; ``cancel`` is the longest wait for the end of
    what was cancelled.
    """

    first: float = 2.0
    longest: float = 60.0
    queue: float = 3 * 3600.0
    word: float = 1800.0
    cancel: float = 1800.0

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

    # Whether another attempt may do better.
    again = True


class NoMachineError(LostError):
    """It never got a machine, and was cancelled: nor would the next one."""

    again = False


class StuckError(LostError):
    """It was cancelled and goes on: another beside it would be one too many."""

    again = False


class SlowError(LostError):
    """It ran for too long, and was cancelled."""


class PastError(LostError):
    """It had ended so before anybody asked now, and what it left was removed or never there."""


class StoppedError(Exception):
    """Nobody listens any more, and the attempt was cancelled."""


def watch(
    work: RemoteWork, name: str, patience: Patience, seconds: float, stop: Stop
) -> RemoteState:
    """Wait until work is over, and cancel it when that takes too long.

    Args:
        work: what runs it.
        name: what it is called there.
        patience: how often it is asked after, and how long it may wait for a machine.
        seconds: how long it may run.
        stop: ends the wait, and with it the work.

    Raises:
        SlowError: it took too long; it was cancelled, and is over.
        NoMachineError: it waited too long; it was cancelled, and is over.
        StuckError: it took too long; it was cancelled, and goes on.
        StoppedError: nobody listens any more; it was cancelled.
        EngineError: it is not known, or cannot be asked after.
    """
    queued = ran = told = 0.0
    pause = patience.first
    while True:
        state = work.look(name)
        if state is None:
            raise EngineError(f"{name}: was ordered and is not known; order it again")
        if state.over:
            return state
        if stop.is_set:
            work.cancel(name)
            raise StoppedError(name)
        if ran >= seconds:
            why = f"{name} ran for more than {seconds:g} s and was cancelled"
            _cancel(work, name, patience, stop, why)
            raise SlowError(why)
        if queued >= patience.queue:
            hours = patience.queue / 3600
            why = f"{name} waited {hours:g} hours for a machine and was cancelled"
            _cancel(work, name, patience, stop, why)
            raise NoMachineError(f"{why}; look at the nodes and the quota of its cluster")
        if queued >= told + patience.word:
            told = queued
            _LOG.warning(
                "%s has waited %d minutes for a machine; it is cancelled after %g hours",
                name,
                queued // 60,
                patience.queue / 3600,
            )
        passed = _paused(stop, pause)
        if state.status == "running":
            ran += passed
        else:
            queued += passed
        pause = patience.after(pause)


def _cancel(work: RemoteWork, name: str, patience: Patience, stop: Stop, why: str) -> None:
    """Cancel work and wait for its end: a cancelled job keeps its machine for a while."""
    work.cancel(name)
    waited, pause = 0.0, patience.first
    while (state := work.look(name)) is not None and not state.over:
        if stop.is_set:
            raise StoppedError(name)
        if waited >= patience.cancel:
            minutes = patience.cancel / 60
            page = f"; see {state.page}" if state.page else ""
            raise StuckError(f"{why}, but goes on {minutes:g} minutes later{page}")
        waited += _paused(stop, pause)
        pause = patience.after(pause)


def _paused(stop: Stop, seconds: float) -> float:
    """Wait; returns how long that took."""
    asked = time.monotonic()
    stop.pause(seconds)
    return max(seconds, time.monotonic() - asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What is asked for, under one folder of the exchange and one first part of a name.

    ``remembers`` says that the work knows its jobs for good, under the names that we give them.
    """

    exchange: Exchange
    work: RemoteWork
    folder: str
    name: str
    patience: Patience
    seconds: float
    remembers: bool = True

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
            except LostError as error:
                self.spend(attempt)
                lost += 1
                if lost == attempts or not error.again:
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
        if not self.remembers and (found := self.outcome(attempt)) is not None:
            return found
        name, past = self._begun(attempt, begin)
        state: RemoteState | None
        try:
            state = watch(self.work, name, self.patience, self.seconds, stop)
        except StuckError:
            raise
        except LostError as error:
            # It may have ended by itself while we cancelled it.
            state, ended = self.work.look(name), error
        else:
            page = f"; see {state.page}" if state.page else ""
            kind = PastError if past else LostError
            ended = kind(f"{name} {_ENDS[state.status]} without an outcome{page}")
        # One that failed may have left an outcome, which says why; one that was cancelled has none.
        if state is not None and (state.status != "cancelled" or not self.remembers):
            found = self.outcome(attempt)
            if found is not None:
                return found
        raise ended

    def _begun(self, attempt: int, begin: Callable[[str], str | None]) -> tuple[str, bool]:
        """Return what the attempt is called, and whether it was over when we came.

        Raises:
            PastError: there is an outcome that no job has left.
        """
        job, ours = f"{self._at(attempt)}/job", f"{self.name}-{attempt}"
        with self.exchange.lock(f"{self.folder}/lock"):
            known = None if self.remembers else self.exchange.get(job)
            name = ours if known is None else known.decode()
            state = self.work.look(name)
            if state is None and name != ours:
                # What it was called is forgotten; it may still be found by our name.
                name, state = ours, self.work.look(ours)
            if state is None:
                if self.remembers and self.outcome(attempt) is not None:
                    raise PastError(f"{name} is no job, but an outcome lies there")
                other = begin(ours)
                if other is not None and other != ours:
                    name = other
                    if not self.remembers:
                        # Whoever is killed between the two finds the job by our name.
                        if known is not None:
                            self.exchange.remove(job)
                        self.exchange.put(job, name.encode())
        return name, state is not None and state.over

    def _at(self, attempt: int) -> str:
        return f"{self.folder}/{attempt}"


_ENDS = {"completed": "completed", "failed": "failed", "cancelled": "was cancelled"}
