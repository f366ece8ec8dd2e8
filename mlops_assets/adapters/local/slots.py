"""Training slots as locked files: at most so many circuits train at once over all processes.

A slot is a lock on ``slot-<n>``, so it ends with its process, however that dies. Whoever waits
stands in a queue, the lock on ``turn``: the kernel hands it over in order of arrival.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class LocalTrainingSlots:
    """The slots of one home. ``slots`` may be asked late: reading the policy costs a git call."""

    folder: Path
    slots: int | Callable[[], int]

    def __reduce__(self) -> tuple[type[LocalTrainingSlots], tuple[Path, int]]:
        """Travel to a worker as a plain number."""
        return LocalTrainingSlots, (self.folder, self.limit)

    @property
    def limit(self) -> int:
        """How many there are, at least one."""
        return max(1, self.slots if isinstance(self.slots, int) else self.slots())

    @contextmanager
    def take(self) -> Iterator[int]:
        """Wait for a slot and hold it."""
        with locked(self.folder / "turn"):
            number, descriptor = self._first_free()
        try:
            yield number
        finally:
            os.close(descriptor)

    def _first_free(self) -> tuple[int, int]:
        """Return the number and the locked descriptor of a free slot, waiting for one."""
        wait, limit = _FIRST_WAIT, self.limit
        while True:
            for number in range(limit):
                descriptor = os.open(
                    self.folder / f"slot-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
                )
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                except BaseException:
                    os.close(descriptor)
                    raise
                else:
                    return number, descriptor
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
