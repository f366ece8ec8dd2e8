"""A Synapse Spark pool by its Livy API: three calls, and a search by name.

The service gives every order a number of its own and takes the same order twice. So an order is
never sent again by itself: when no answer comes, the pool is searched for its name first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from azure.core import PipelineClient
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RetryPolicy,
)
from azure.core.rest import HttpRequest

from mlops_assets.adapters.azure.blobs import open_blobs, said
from mlops_assets.adapters.azure.exchange import BlobExchange
from mlops_assets.domain.errors import EngineError
from mlops_assets.ports.remote import RemoteState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport

    from mlops_assets.ports.remote import RemoteStatus
    from mlops_assets.settings.azure import AzureBackend, Role, Synapse

API = "2019-11-01-preview"
SCOPE = "https://dev.azuresynapse.net/.default"
PREFIX = "jobs/slices"
LAUNCHER = b"""\
import sys

from mlops_assets.slice_job import main

sys.exit(main())
"""
# The most that the service gives at once; what it calls ``total`` is of the page alone.
_PAGE = 20
_TRIES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0
_NOT_FOUND, _THROTTLED, _BROKEN = 404, 429, 500
_STATES: Mapping[str, RemoteStatus] = {
    "not_started": "waiting",
    "starting": "waiting",
    "recovering": "waiting",
    "idle": "running",
    "running": "running",
    "busy": "running",
    "shutting_down": "running",
    "success": "completed",
    "error": "failed",
    "dead": "failed",
    "killed": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Program:
    """What a job runs, by URI: a script, and this package as the archive that it finds first."""

    script: str
    package: str


class LivyBatches:
    """The batch jobs of one pool.

    Args:
        settings: workspace, pool and sizes.
        credential: of the identity that orders.
        program: gives what a job runs, once there is a job.
        arguments: what every job is told beside its own order and outcome.
        address: where the workspace answers, if not at its own host.
        transport: instead of the network's.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        settings: Synapse,
        credential: TokenCredential,
        *,
        program: Callable[[], Program],
        arguments: Sequence[str] = (),
        address: str = "",
        transport: HttpTransport[Any, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._program = program
        self._arguments = list(arguments)
        self._sleep = sleep
        base = (address or f"https://{settings.workspace}.dev.azuresynapse.net").rstrip("/")
        self._batches = f"{base}/livyApi/versions/{API}/sparkPools/{settings.pool}/batches"
        given = {} if transport is None else {"transport": transport}
        self._client: PipelineClient[Any, Any] = PipelineClient(
            base,
            policies=[
                HeadersPolicy({"Accept": "application/json"}),
                RetryPolicy(retry_total=_TRIES, retry_backoff_max=int(_LONGEST_PAUSE)),
                BearerTokenCredentialPolicy(credential, SCOPE),
            ],
            **given,
        )

    def submit(self, name: str, *, order: str, outcome: str) -> str:
        """Order one slice; a name that was ordered before is left as it is.

        Returns:
            Our name and the number that the pool gave it: a pool that is made anew counts anew.

        Raises:
            EngineError: the pool does not take it.
        """
        settings, program = self._settings, self._program()
        body = {
            "name": name,
            "file": program.script,
            "pyFiles": [program.package],
            "args": [*self._arguments, "--slice", order, "--outcome", outcome],
            "driverMemory": settings.node_memory,
            "driverCores": settings.node_cores,
            "executorMemory": settings.node_memory,
            "executorCores": settings.node_cores,
            "numExecutors": settings.executors,
        }
        request = HttpRequest("POST", f"{self._batches}?detailed=true", json=body)
        pause = _FIRST_PAUSE
        for last in (*[False] * (_TRIES - 1), True):
            try:
                taken = self._sent(request, "take a job", retry_total=0)
                return f"{name}@{taken['id']}"
            except EngineError as error:
                if last or not _passing(error.__cause__):
                    raise
                self._sleep(_asked_for(error.__cause__) or pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            if (found := self._find(name)) is not None:
                return f"{name}@{found['id']}"
        raise AssertionError("the last try returns or raises")

    def look(self, name: str) -> RemoteState | None:
        """How far a job is, by what `submit` returned or by our name; None when none is known."""
        found = self._get(name)
        if found is None:
            return None
        page = (found.get("appInfo") or {}).get("sparkUiUrl") or ""
        return RemoteState(status=_STATES.get(str(found.get("state")), "running"), page=page)

    def cancel(self, name: str) -> None:
        """End a job; one that is over or gone stays as it is."""
        found = self._get(name)
        if found is not None:
            self._sent(HttpRequest("DELETE", f"{self._batches}/{found['id']}"), "end a job")

    def log(self, name: str) -> str:
        """What the pool said of a job; empty where it knows it no more."""
        found = self._get(name)
        if found is None:
            return ""
        told = [f"{name}: {found.get('state')}, application {found.get('appId') or 'none'}"]
        told += [str(each.get("message") or each) for each in found.get("errorInfo") or []]
        told += [f"driver log: {url}" for url in [_driver_log(found)] if url]
        return "\n".join([*told, *map(str, found.get("log") or [])]) + "\n"

    def _get(self, name: str) -> dict[str, Any] | None:
        ours, _, number = name.partition("@")
        if not number:
            return self._find(ours)
        request = HttpRequest("GET", f"{self._batches}/{number}?detailed=true")
        found = self._sent(request, "tell of a job")
        return found if found.get("name") == ours else None

    def _find(self, name: str) -> dict[str, Any] | None:
        """The newest job of a name."""
        named = [each for each in self._list() if each.get("name") == name]
        return max(named, key=lambda each: int(each["id"]), default=None)

    def _list(self) -> Iterator[dict[str, Any]]:
        first, seen = 0, set[int]()
        while True:
            address = f"{self._batches}?from={first}&size={_PAGE}&detailed=true"
            page = self._sent(HttpRequest("GET", address), "tell its jobs").get("sessions") or []
            new = [each for each in page if int(each["id"]) not in seen]
            if not new:
                return
            yield from new
            seen |= {int(each["id"]) for each in new}
            first += len(page)

    def _sent(self, request: HttpRequest, what: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return what the pool answers; nothing where it knows no such job."""
        where = f"Synapse pool {self._settings.workspace}/{self._settings.pool}"
        try:
            response = self._client.send_request(request, **options)
            if response.status_code == _NOT_FOUND and request.method != "POST":
                return {}
            response.raise_for_status()
        except AzureError as error:
            raise EngineError(
                f"{where}: does not {what}: {said(error)}; check pool and identity, then run it "
                "again"
            ) from error
        try:
            answer: dict[str, Any] = response.json() if response.content else {}
        except ValueError as error:
            raise EngineError(
                f"{where}: does not {what}: its answer is no JSON; check its address"
            ) from error
        return answer


@dataclass(frozen=True, slots=True)
class SliceExchange(BlobExchange):
    """Orders and outcomes of slices, by addresses that Spark reads."""

    address: Callable[[str], str] = field(default=str)

    def uri(self, name: str) -> str:
        """Where a file lies, as Spark is told of it."""
        return self.address(self.blobs.path(name))


def open_slice_exchange(
    backend: AzureBackend, role: Role, *, environ: Mapping[str, str]
) -> SliceExchange:
    """Return where slices of a lake are ordered, as a role reaches it."""
    blobs = open_blobs(backend, role, "lake", PREFIX, environ=environ)
    return SliceExchange(blobs, lambda path: backend.table_uri("lake", path))


def program(exchange: SliceExchange) -> Program:
    """Put beside the orders, once, what a job runs: so it runs the very code that orders it."""
    from mlops_assets.adapters.azure.code import ARCHIVE, code_files

    package = code_files()[ARCHIVE]
    places = {}
    for data, suffix in ((LAUNCHER, ".py"), (package, ".zip")):
        places[suffix] = f"code/{sha256(data).hexdigest()[:16]}{suffix}"
        exchange.put(places[suffix], data)
    return Program(exchange.uri(places[".py"]), exchange.uri(places[".zip"]))


def slice_arguments(backend: AzureBackend) -> list[str]:
    """What every slice's job is told of the lake."""
    told = {
        "--raw": backend.table_uri("raw", ""),
        "--readings": backend.table_uri("lake", "readings"),
        "--quarantine": backend.table_uri("lake", "quarantine"),
    }
    if backend.cloud.blob:
        told["--blob"] = backend.cloud.blob
    return [word for pair in told.items() for word in pair]


def _passing(error: BaseException | None) -> bool:
    """Whether the same request may be answered later, or was and nobody heard of it."""
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return isinstance(error, AzureError)
    return bool(error.status_code == _THROTTLED or error.status_code >= _BROKEN)


def _asked_for(error: BaseException | None) -> float | None:
    """How many seconds the service wants us to wait, if it says."""
    response = getattr(error, "response", None)
    told = response.headers.get("Retry-After", "") if response is not None else ""
    return float(told) if told.isdecimal() else None


def _driver_log(found: Mapping[str, Any]) -> str:
    return str((found.get("appInfo") or {}).get("driverLogUrl") or "")
