"""Failure on demand: throttling, server errors, timeouts, and updates that end badly."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets_tests.control_plane.wire import Answer, LostError, RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.control_plane.clock import RealClock, VirtualClock
    from mlops_assets_tests.control_plane.wire import Request


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next ``times`` requests that fit, after ``skip`` that go well."""

    method: str
    path: re.Pattern[str]
    act: Callable[[Request], None]
    after: bool
    times: int
    skip: int = 0
    met: int = 0

    def fits(self, request: Request) -> bool:
        """Whether this request is one that goes wrong; counts."""
        if self.method not in {"*", request.method} or not self.path.search(request.path):
            return False
        self.met += 1
        return self.skip < self.met <= self.skip + self.times


@dataclass(slots=True)
class Faults:
    """What was ordered to go wrong. Patterns are searched in the path."""

    clock: RealClock | VirtualClock
    _all: list[Fault] = field(default_factory=list)
    _updates: list[tuple[re.Pattern[str], int, list[int]]] = field(default_factory=list)
    _hanging: list[re.Pattern[str]] = field(default_factory=list)

    def throttle(
        self, method: str, path: str, *, times: int = 1, skip: int = 0, seconds: int = 1
    ) -> Fault:
        """Answer 429 with ``Retry-After: seconds``."""

        def act(request: Request) -> None:
            message = f"The request is throttled; try again in {seconds} s."
            raise RefusalError(429, "TooManyRequests", message, Retry_After=str(seconds))

        return self._add(method, path, act, times=times, skip=skip)

    def fail(
        self, method: str, path: str, *, status: int = 503, times: int = 1, skip: int = 0
    ) -> Fault:
        """Answer a server error, nothing done."""

        def act(request: Request) -> None:
            raise RefusalError(status, "ServiceError", "InternalServerError: try again later.")

        return self._add(method, path, act, times=times, skip=skip)

    def lose_request(self, method: str, path: str, *, times: int = 1, skip: int = 0) -> Fault:
        """Break the connection before the request arrives."""

        def act(request: Request) -> None:
            raise LostError(sent=False)

        return self._add(method, path, act, times=times, skip=skip)

    def lose_answer(self, method: str, path: str, *, times: int = 1, skip: int = 0) -> Fault:
        """Do the work, then break the connection before anybody hears of it."""

        def act(request: Request) -> None:
            raise LostError(sent=True)

        return self._add(method, path, act, times=times, skip=skip, after=True)

    def fail_after(
        self, method: str, path: str, *, status: int = 504, times: int = 1, skip: int = 0
    ) -> Fault:
        """Do the work, then answer a server error."""

        def act(request: Request) -> None:
            raise RefusalError(status, "GatewayTimeout", "The gateway did not receive a response.")

        return self._add(method, path, act, times=times, skip=skip, after=True)

    def fail_update(self, path: str, number: int) -> None:
        """Let the ``number``-th update (1 is the next) whose path fits end as Failed."""
        self._updates.append((re.compile(path), number, [0]))

    def hang_update(self, path: str) -> None:
        """Let each update whose path fits go on for ever."""
        self._hanging.append(re.compile(path))

    def clear(self) -> None:
        """Let everything go well from here on."""
        self._all.clear()
        self._updates.clear()
        self._hanging.clear()

    def before(self, request: Request) -> None:
        self._meet(request, after=False)

    def after(self, request: Request, answer: Answer) -> None:
        if answer.status < 400:
            self._meet(request, after=True)

    def update_fails(self, path: str) -> bool:
        """Whether this update was ordered to fail."""
        fails = False
        for pattern, number, met in self._updates:
            if pattern.search(path):
                met[0] += 1
                fails |= met[0] == number
        return fails

    def update_hangs(self, path: str) -> bool:
        """Whether this update was ordered never to end."""
        return any(pattern.search(path) for pattern in self._hanging)

    def _meet(self, request: Request, *, after: bool) -> None:
        for fault in self._all:
            if fault.after is after and fault.fits(request):
                fault.act(request)

    def _add(
        self,
        method: str,
        path: str,
        act: Callable[[Request], None],
        *,
        times: int,
        skip: int,
        after: bool = False,
    ) -> Fault:
        fault = Fault(method, re.compile(path), act, after, times, skip)
        self._all.append(fault)
        return fault
