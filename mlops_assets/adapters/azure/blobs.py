"""Blobs under one prefix of a container: each request is atomic, and each may be repeated.

A write whose answer was lost is sent again by the SDK and then meets itself. So every write carries
a mark of its own, by which what is there already is known as ours.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobPrefix, ContainerClient, ExponentialRetry

from mlops_assets.adapters.azure.identity import storage_credential
from mlops_assets.adapters.azure.lease import Lease, check_leases, check_request, held
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.settings.access import acting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from azure.core.credentials import TokenCredential

    from mlops_assets.settings.access import Right
    from mlops_assets.settings.azure import AzureBackend, Container, Role

# A block of an append blob, and how many it takes before a new one is begun; Azure's own limit is
# 50,000. One of fewer bytes than the SDK asks for at once is read whole in one request.
MAXIMUM_BLOCK_BYTES = 4 * 2**20
MAXIMUM_BLOCKS = 40_000
MAXIMUM_LOG_BYTES = 24 * 2**20
_MARK = "mlops_write"
# Accounts with a hierarchical namespace list folders among their blobs, marked so.
_FOLDER = "hdi_isfolder"
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
# Whoever waits longer than this for somebody else is told so, once.
_TOLD_AFTER = 10.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob of a listing; ``name`` is relative to what was listed."""

    name: str
    size: int
    etag: str
    at: datetime


class Blobs:
    """Blobs below a prefix, by names relative to it."""

    def __init__(
        self,
        container: ContainerClient,
        prefix: str = "",
        *,
        sleep: Callable[[float], None] = time.sleep,
        check: Callable[[Right, str], None] | None = None,
    ) -> None:
        self._container = container
        self._check = check
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._sleep = sleep

    def inside(self, prefix: str) -> Blobs:
        """Return the blobs of a folder in here."""
        path = f"{self._prefix}{prefix}"
        return Blobs(self._container, path, sleep=self._sleep, check=self._check)

    def require(self, right: Right, name: str = "") -> None:
        """Refuse what no role of this host may do here.

        Raises:
            AbsentRoleError: which role may.
        """
        if self._check is not None:
            self._check(right, self.where(name))

    @property
    def container(self) -> str:
        """The name of the container."""
        return str(self._container.container_name)

    def path(self, name: str = "") -> str:
        """Where a blob lies in its container."""
        return f"{self._prefix}{name}".rstrip("/")

    def where(self, name: str = "") -> str:
        """What people are told: account, container and path, without the address's query."""
        return f"{self._container.account_name}/{self.container}/{self.path(name)}".rstrip("/")

    def get(self, name: str) -> bytes | None:
        """The bytes of a blob, None when there is none."""
        found = self.get_with_etag(name)
        return None if found is None else found[0]

    def get_with_etag(self, name: str, *, again: int = 4) -> tuple[bytes, str] | None:
        """Bytes and ETag of a blob, None when there is none; read ``again`` while it changes."""
        with self._asking(name, "read"):
            try:
                download = self._client(name).download_blob()
                return download.readall(), _etag(download.properties.etag)
            except ResourceNotFoundError as error:
                self._require_container(error)
                return None
            except ResourceModifiedError:
                if not again:
                    raise
        return self.get_with_etag(name, again=again - 1)

    def find(self, name: str) -> Blob | None:
        """Size, ETag and time of a blob, None when there is none."""
        with self._asking(name, "read"):
            try:
                found = self._client(name).get_blob_properties()
            except ResourceNotFoundError as error:
                self._require_container(error)
                return None
            if _is_folder(found.metadata):
                return None
            return Blob(name, found.size, _etag(found.etag), found.last_modified)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write a blob that is not there yet; False, and nothing changed, where it is."""
        mark = _new_mark()
        with self._writing(name):
            try:
                self._client(name).upload_blob(data, overwrite=False, metadata=mark)
            except ResourceExistsError:
                return self._is_ours(name, mark)
        return True

    def put(self, name: str, data: bytes) -> None:
        """Replace a blob, or make it, in one step."""
        with self._writing(name):
            self._client(name).upload_blob(data, overwrite=True, metadata=_new_mark())

    def replace(self, name: str, data: bytes, etag: str) -> str:
        """Replace a blob that still has ``etag``; returns its new one.

        Raises:
            StaleError: it is another one by now, or gone.
        """
        mark = _new_mark()
        with self._writing(name):
            client, unless = self._client(name), _unless_changed(etag)
            try:
                answer = client.upload_blob(data, overwrite=True, metadata=mark, **unless)
                return _etag(answer["etag"])
            except (ResourceModifiedError, ResourceNotFoundError) as error:
                if self._is_ours(name, mark):
                    return _etag(client.get_blob_properties().etag)
                raise StaleError(
                    f"{self.where(name)}: somebody else changed it first; read it again and repeat"
                ) from error

    def append(self, name: str, data: bytes, at: int) -> int:
        """Add one block to an append blob that is ``at`` bytes long, made where there is none.

        Returns:
            How many blocks it has now.

        Raises:
            StaleError: it has another length by now.
        """
        if len(data) > MAXIMUM_BLOCK_BYTES:
            raise DataError(
                f"{self.where(name)}: {len(data)} bytes are more than the {MAXIMUM_BLOCK_BYTES} "
                "that are added at once; add less"
            )
        client = self._client(name)
        with self._writing(name):
            if at == 0:
                # What is there was made by a writer that was killed before its first block.
                with suppress(ResourceExistsError):
                    client.create_append_blob(match_condition=MatchConditions.IfMissing)
            try:
                answer = client.append_block(data, appendpos_condition=at)
                return int(answer["blob_committed_block_count"])
            except HttpResponseError as error:
                if error.error_code != "AppendPositionConditionNotMet":
                    raise
                found = client.get_blob_properties()
                if found.size == at + len(data):
                    tail = client.download_blob(offset=at, length=len(data)).readall()
                    if tail == data:
                        return int(found.append_blob_committed_block_count)
                raise StaleError(
                    f"{self.where(name)}: has {found.size} bytes, not {at}: somebody else wrote "
                    "first; read it again and repeat"
                ) from error

    def blocks(self, name: str) -> int:
        """How many blocks an append blob has."""
        with self._asking(name, "read"):
            return int(self._client(name).get_blob_properties().append_blob_committed_block_count)

    def list(self, prefix: str = "") -> Iterator[Blob]:
        """Every blob whose name starts so, sorted by name."""
        start = f"{self._prefix}{prefix}"
        with self._asking(prefix, "listed"):
            yield from self._blobs(
                self._container.list_blobs(name_starts_with=start, include=["metadata"])
            )

    def files(self, prefix: str = "") -> Iterator[Blob]:
        """Every blob whose name starts so and has no ``/`` after that, sorted by name."""
        start = f"{self._prefix}{prefix}"
        with self._asking(prefix, "listed"):
            found = self._container.walk_blobs(
                name_starts_with=start, include=["metadata"], delimiter="/"
            )
            yield from self._blobs(each for each in found if not isinstance(each, BlobPrefix))

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Names of what has blobs below it, one level below a prefix, sorted."""
        start = f"{self._prefix}{prefix}"
        if start and not start.endswith("/"):
            start += "/"
        with self._asking(prefix, "listed"):
            found = self._container.walk_blobs(name_starts_with=start, delimiter="/")
            names = [str(each.name).removeprefix(start) for each in found]
        return tuple(sorted(name.rstrip("/") for name in names if name.endswith("/")))

    def delete(self, name: str, *, etag: str | None = None) -> None:
        """Remove a blob; one that is gone is no error, nor is one that has another ETag by now."""
        unless = {} if etag is None else _unless_changed(etag)
        with self._writing(name):
            try:
                self._client(name).delete_blob(**unless)
            except (ResourceNotFoundError, ResourceModifiedError) as error:
                self._require_container(error)

    @contextmanager
    def lease(self, name: str, *, wait: bool = True) -> Iterator[Lease]:
        """Hold a blob against every other holder, of this process or another.

        It is renewed for as long as its process lives, and ends by itself soon after. While this
        thread holds it, every write of it here is refused once it may have ended. Not reentrant.

        Raises:
            StaleError: ``wait`` is false and somebody else holds it.
        """
        lease = Lease(self._client(name), self.where(name))
        pause, waited = _FIRST_WAIT, 0.0
        with self._asking(name, "locked"):
            while not self._acquired(lease, name):
                if not wait:
                    raise StaleError(f"{self.where(name)}: somebody else holds it; wait and repeat")
                self._sleep(pause)
                waited += pause
                if waited - pause < _TOLD_AFTER <= waited:
                    _logger.warning("%s: somebody else holds it; waiting", self.where(name))
                pause = min(2 * pause, _LONGEST_WAIT)
        with held(lease):
            yield lease

    def _acquired(self, lease: Lease, name: str) -> bool:
        try:
            return lease.acquire()
        except ResourceNotFoundError as error:
            self._require_container(error)
        with suppress(ResourceExistsError):
            self._client(name).upload_blob(b"", overwrite=False)
        return lease.acquire()

    def _blobs(self, found: Iterable[Any]) -> Iterator[Blob]:
        for each in found:
            if not _is_folder(each.metadata):
                name = str(each.name).removeprefix(self._prefix)
                yield Blob(name, each.size, _etag(each.etag), each.last_modified)

    def _client(self, name: str) -> Any:  # noqa: ANN401 the SDK's client
        return self._container.get_blob_client(f"{self._prefix}{name}")

    @contextmanager
    def _asking(self, name: str, verb: str) -> Iterator[None]:
        self.require("write" if verb in {"written", "locked"} else "read", name)
        with _explained(self.where(name), verb):
            yield

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        check_leases()
        with self._asking(name, "written"):
            yield

    def _is_ours(self, name: str, mark: Mapping[str, str]) -> bool:
        """Whether what is there was written by the very call that met it."""
        try:
            found = self._client(name).get_blob_properties().metadata
        except ResourceNotFoundError:
            return False
        return bool(found) and found.get(_MARK) == mark[_MARK]

    def _require_container(self, error: HttpResponseError) -> None:
        if error.error_code == "ContainerNotFound":
            raise DataError(
                f"{self._container.account_name}/{self.container}: there is no such container; "
                "make it as infra/ does"
            ) from error


def open_blobs(
    backend: AzureBackend,
    role: Role,
    container: Container,
    prefix: str = "",
    *,
    environ: Mapping[str, str],
    credential: TokenCredential | None = None,
) -> Blobs:
    """Return the blobs of a container as a role, or who ``credential`` says, reaches them.

    On a host that lacks the role they are reached as another of the host's own (`access.acting`).
    """
    check: Callable[[Right, str], None] | None = None
    if credential is None and backend.plays is not None:
        role, check = acting(backend, role, container)
    client = ContainerClient(
        backend.blob_url,
        container,
        credential=credential or storage_credential(backend, role, environ),
        retry_policy=ExponentialRetry(
            initial_backoff=1, increment_base=2, retry_total=5, random_jitter_range=1
        ),
        connection_timeout=10,
        read_timeout=60,
        raw_request_hook=check_request,
    )
    return Blobs(client, prefix, check=check)


def _new_mark() -> dict[str, str]:
    return {_MARK: uuid4().hex}


def _etag(text: str) -> str:
    """As HTTP has it: listings leave its quotes out."""
    return '"' + text.strip('"') + '"'


def _unless_changed(etag: str) -> dict[str, Any]:
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _is_folder(metadata: Mapping[str, str] | None) -> bool:
    return (metadata or {}).get(_FOLDER) == "true"


@contextmanager
def _explained(where: str, verb: str) -> Iterator[None]:
    """Turn what Azure says into one line, without its request ids and addresses."""
    try:
        yield
    except ClientAuthenticationError as error:
        raise DataError(
            f"{where}: cannot be {verb}: no identity is accepted ({said(error)}); sign in, or name "
            "the identity of this role in the settings"
        ) from error
    except HttpResponseError as error:
        if error.status_code == 403:  # noqa: PLR2004 HTTP's own
            raise DataError(
                f"{where}: cannot be {verb}: this identity may not ({said(error)}); give it the "
                "role that infra/ gives it"
            ) from error
        raise DataError(
            f"{where}: cannot be {verb}: {said(error)}; check the account, then repeat"
        ) from error
    except AzureError as error:
        raise DataError(
            f"{where}: cannot be {verb}: {said(error)}; check the network, then repeat"
        ) from error


def said(error: AzureError) -> str:
    """What Azure says, in one short line."""
    code = getattr(error, "error_code", None)
    if code:
        return str(getattr(code, "value", code))
    text = re.sub(r"https?://\S+", "...", str(error.message).split("\n", 1)[0])
    return " ".join(text.split())[:200] or type(error).__name__
