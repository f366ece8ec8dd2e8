"""Long-running operations: accepted at once, done later, asked after until then."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets_tests.control_plane.wire import Answer, Request, not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.control_plane.plane import ControlPlane


@dataclass(slots=True)
class Operation:
    """One operation: done at ``ready``; the first ``polls`` who ask hear that it is in progress."""

    id: str
    ready: datetime
    polls: int
    finish: Callable[[], None]
    error: tuple[str, str] | None = None
    done: bool = False


class Operations:
    """Those of one control plane, by id."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._numbers = itertools.count(1)
        self._all: dict[str, Operation] = {}
        plane.route(
            "GET", r".*/(?:mfeOperationsStatus|mfeOperationResults)/(?P<number>[^/]+)", self.ask
        )

    def start(
        self,
        finish: Callable[[], None],
        seconds: float,
        error: tuple[str, str] | None = None,
    ) -> Operation:
        """Begin an operation whose effect, ``finish``, shows when it is done."""
        operation = Operation(
            f"op-{next(self._numbers):06d}",
            self._plane.clock.now() + timedelta(seconds=seconds),
            self._plane.polls,
            finish,
            error,
        )
        self._all[operation.id] = operation
        return operation

    def settle(self) -> None:
        """Do what time has done, asked or not."""
        now = self._plane.clock.now()
        for operation in self._all.values():
            if not operation.done and now > operation.ready:
                self._end(operation, now)

    def headers(self, operation: Operation, *, location: bool = False) -> dict[str, str]:
        """Where to ask: the status of the operation, or the place of its result."""
        plane = self._plane
        kind = "mfeOperationResults" if location else "mfeOperationsStatus"
        url = (
            f"{plane.address}/subscriptions/{plane.backend.subscription}/providers/"
            f"Microsoft.MachineLearningServices/locations/{plane.backend.location}/{kind}/"
            f"{operation.id}?api-version=2023-10-01"
        )
        return {"Location" if location else "Azure-AsyncOperation": url}

    def ask(self, request: Request, number: str) -> Answer:
        operation = self._all.get(number)
        if operation is None:
            raise not_found(f"Operation {number}")
        operation.polls -= 1
        if operation.polls < 0:
            self._end(operation, self._plane.clock.now())
        result = "mfeOperationResults" in request.path
        if operation.polls >= 0 or not operation.done:
            headers = self.headers(operation, location=True) if result else {}
            return Answer(202 if result else 200, {"status": "InProgress"}, headers)
        if operation.error:
            code, message = operation.error
            failed = {"status": "Failed", "error": {"code": code, "message": message}}
            return Answer(400 if result else 200, failed)
        return Answer(200, None if result else {"status": "Succeeded", "percentComplete": 100})

    def _end(self, operation: Operation, now: datetime) -> None:
        if not operation.done and now >= operation.ready:
            operation.done = True
            operation.finish()
