"""Training slots as leases: at most so many circuits train at once over all processes.

A slot is a lease on ``slot-<n>``, so it ends soon after its process, however that dies. Whoever
waits for one holds ``turn``, so that one asks and the others wait behind it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_assets.adapters.azure.blobs import Blobs

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0


class BlobTrainingSlots:
    """The slots of one home. ``slots`` may be asked late: reading the policy costs a git call."""

    def __init__(
        self,
        blobs: Blobs,
        slots: int | Callable[[], int],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._blobs = blobs
        self._slots = slots
        self._sleep = sleep

    @property
    def limit(self) -> int:
        """How many there are, at least one."""
        return max(1, self._slots if isinstance(self._slots, int) else self._slots())

    @contextmanager
    def take(self) -> Iterator[int]:
        """Wait for a slot and hold it."""
        with ExitStack() as held:
            with self._blobs.lease("turn"):
                number = self._first_free(held)
            yield number

    def _first_free(self, held: ExitStack) -> int:
        wait, limit = _FIRST_WAIT, self.limit
        while True:
            for number in range(limit):
                try:
                    held.enter_context(self._blobs.lease(f"slot-{number}", wait=False))
                except StaleError:
                    continue
                return number
            self._sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
