"""How long the service takes: nothing by default, its own times on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets_tests.control_plane.clock import RealClock, VirtualClock
    from mlops_assets_tests.control_plane.wire import Request


@dataclass(slots=True)
class Latency:
    """Seconds of each kind.

    Attributes:
        call: every request.
        update: an endpoint or a deployment, created, changed or deleted, at least.
        spread: by how much an update may take longer than that.
        copy: an asset brought to the registry.
        job_start: from the submission of a job until its command runs.
        cancel: from the cancelling of a job until it is over and its node free.
    """

    call: float = 0.0
    update: float = 0.0
    spread: float = 0.0
    copy: float = 0.0
    job_start: float = 0.0
    cancel: float = 0.0
    _updates: int = 0

    @classmethod
    def of_the_service(cls) -> Latency:
        """What people see: 30 to 120 seconds an update, minutes until a node is there."""
        return cls(call=0.3, update=30.0, spread=90.0, copy=20.0, job_start=180.0, cancel=60.0)

    def wait(self, clock: RealClock | VirtualClock, request: Request) -> None:
        if self.call:
            clock.sleep(self.call)

    def of_update(self) -> float:
        """Seconds of the next update: spread evenly, the same in every run."""
        self._updates += 1
        return self.update + self.spread * ((self._updates * 7) % 11) / 10
