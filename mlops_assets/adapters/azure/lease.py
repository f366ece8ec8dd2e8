"""A lease on a blob, renewed for as long as its process lives.

Azure ends it by itself `SECONDS` after the last renewal, so it outlives a killed holder by no more.
A holder that was stopped for that long, and goes on, must not write any more: each try of a write
asks `check_leases` first, also one that the SDK sends again by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobLeaseClient

from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECONDS = 30
_RENEWED_EVERY = SECONDS / 3
# A renewal that hangs is given up while there is time for another.
_ASKED_AGAIN_AFTER = 2.0
_HASTE: Mapping[str, Any] = {"connection_timeout": 2, "read_timeout": 5, "retry_total": 0}
# A write that is sent this late might arrive when the lease has ended.
_MARGIN = 5
_logger = logging.getLogger(__name__)
_here = threading.local()


def elapsed() -> float:
    """Seconds that rise also while this machine sleeps, where it has such a clock: a lease ends."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """A lease that is, or is about to be, held by one thread."""

    def __init__(self, client: Any, where: str) -> None:  # noqa: ANN401 the SDK's client
        # Whoever asks again under the same id, because an answer was lost, has what was given.
        self._client = BlobLeaseClient(client, lease_id=str(uuid4()))
        self._where = where
        self._until = 0.0
        self._ended = threading.Event()
        self._lost = False

    def acquire(self) -> bool:
        """Take it; False where somebody else holds it."""
        asked = elapsed()
        try:
            self._client.acquire(lease_duration=SECONDS)
        except HttpResponseError as error:
            if error.error_code != "LeaseAlreadyPresent":
                raise
            return False
        self._until = asked + SECONDS
        return True

    def check(self) -> None:
        """Refuse once the lease is lost, or may be before a write has arrived.

        Raises:
            StaleError: somebody else may hold it by now.
        """
        if self._lost or elapsed() > self._until - _MARGIN:
            raise StaleError(
                f"{self._where}: was held for {SECONDS} s without a renewal, and may be another's "
                "by now; repeat"
            )

    def renew(self) -> None:
        """Renew it until it is released."""
        pause = _RENEWED_EVERY
        while not self._ended.wait(pause):
            asked, pause = elapsed(), _ASKED_AGAIN_AFTER
            try:
                self._client.renew(**_HASTE)
            except HttpResponseError as error:
                if error.status_code == 409:  # noqa: PLR2004 HTTP's own: another holds it
                    self._lost = True
                    return
                _logger.warning("%s: the lease was not renewed: %s", self._where, error.reason)
            except AzureError as error:
                _logger.warning("%s: the lease was not renewed: %s", self._where, type(error))
            else:
                self._until, pause = asked + SECONDS, _RENEWED_EVERY

    def release(self) -> None:
        """Give it back; one that cannot be given back ends by itself."""
        self._ended.set()
        try:
            self._client.release()
        except AzureError as error:
            _logger.info("%s: the lease is left to end: %s", self._where, type(error).__name__)


@contextmanager
def held(lease: Lease) -> Iterator[None]:
    """Renew a lease while it is held, and let this thread's writes ask for it."""
    leases: list[Lease] = _here.__dict__.setdefault("leases", [])
    leases.append(lease)
    threading.Thread(target=lease.renew, name="lease", daemon=True).start()
    try:
        yield
    finally:
        leases.remove(lease)
        lease.release()


def check_leases() -> None:
    """Refuse to write under a lease of this thread that may have ended."""
    for lease in _here.__dict__.get("leases", ()):
        lease.check()


def check_request(request: Any) -> None:  # noqa: ANN401 the SDK's request
    """`check_leases` for a client's ``raw_request_hook``, which is called before each try."""
    sent = request.http_request
    if sent.method in {"PUT", "POST", "DELETE"} and "comp=lease" not in sent.url:
        check_leases()


def check_from_elsewhere() -> Callable[[], None]:
    """Return `check_leases` of this thread, for the threads that work on its behalf."""
    leases = tuple(_here.__dict__.get("leases", ()))

    def check() -> None:
        for lease in leases:
            lease.check()

    return check
