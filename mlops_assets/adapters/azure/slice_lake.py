"""The parts of a lake that a slice's job needs, by their addresses, as the job itself reaches them.

A job on a Synapse pool knows nothing but addresses, and the pool is who hands it tokens. Its
executors have no pool to ask: to them the driver's token of the moment travels along, which the
service accepts for about an hour.
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from mlops_assets.adapters.azure.blobs import open_blobs
from mlops_assets.adapters.azure.delta import open_table
from mlops_assets.adapters.azure.landing import BlobLandingZone
from mlops_assets.adapters.delta.readings import DeltaReadingsTable
from mlops_assets.adapters.delta.row_log import DeltaRowLog
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.settings.azure import CONTAINERS, AzureBackend, Cloud

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.credentials import TokenCredential

    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.settings.azure import Container

_POOL = "notebookutils"
_ADDRESS = re.compile(
    r"abfss://(?P<container>[a-z0-9-]+)@(?P<account>[a-z0-9]+)\.dfs\.(?P<suffix>[a-z0-9.:]+)"
    r"/(?P<path>[^?#]*)"
)


@dataclass(frozen=True, slots=True)
class Lent:
    """A token that another process lent; when it ends, whoever has it ends too."""

    token: str
    expires_on: int

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # noqa: ANN401 the SDK's
        """The token, whatever it is for."""
        return AccessToken(self.token, self.expires_on)


@dataclass(frozen=True, slots=True)
class PoolCredential:
    """Who a job on a pool is, as the pool says. ``ask`` asks it for a token by what it is for."""

    ask: Callable[[str], str]

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # noqa: ANN401 the SDK's
        """A token for the storage account."""
        try:
            token = self.ask("Storage")
        except Exception as error:
            line = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ClientAuthenticationError(f"the pool gives no token: {line[0]}") from error
        return AccessToken(token, _end_of(token))

    def __reduce__(self) -> tuple[type[Lent], tuple[str, int]]:
        """Travel as a token of the moment."""
        lent = self.get_token()
        return Lent, (lent.token, lent.expires_on)


@dataclass(frozen=True)
class Place:
    """Something in a container, by its address; it travels."""

    address: str
    backend: AzureBackend
    container: Container
    path: str
    credential: TokenCredential | None

    @cached_property
    def blobs(self) -> Blobs:
        """The blobs of its container."""
        return open_blobs(
            self.backend, "etl", self.container, environ=os.environ, credential=self.credential
        )

    def __reduce__(self) -> tuple[type[Place], tuple[Any, ...]]:
        """Travel without what was opened."""
        told = (self.address, self.backend, self.container, self.path, self.credential)
        return Place, told

    @property
    def inside(self) -> Blobs:
        """The blobs of a folder."""
        return self.blobs.inside(self.path)

    def sibling(self, name: str) -> Place:
        """Another thing in the same folder."""
        folder, _, own = self.path.rpartition("/")
        path = f"{folder}/{name}".lstrip("/")
        address = f"{self.address.rstrip('/').removesuffix(own)}{name}"
        return replace(self, address=address, path=path)

    def read(self) -> bytes:
        """The bytes of a file; DataError when there is none."""
        data = self.blobs.get(self.path)
        if data is None:
            raise DataError(f"{self.address}: no such file; whoever ordered this writes it first")
        return data

    def write(self, data: bytes) -> None:
        """Replace a file, or make it."""
        self.blobs.put(self.path, data)

    def readings(self) -> DeltaReadingsTable:
        """The readings table here."""
        return DeltaReadingsTable(self._table())

    def quarantine(self) -> DeltaRowLog:
        """The quarantine here."""
        return DeltaRowLog(self._table(), "quarantine")

    def _table(self) -> Any:  # noqa: ANN401
        return open_table(
            self.backend, "etl", self.container, self.path, credential=self.credential
        )


@dataclass(frozen=True)
class SentFiles:
    """Raw files at a place, as a job reads them; what listings saw is remembered in ``beside``."""

    place: Place
    beside: Place

    def files(self) -> tuple[RawFile, ...]:
        """Every file, sorted by path."""
        return self._zone.files()

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""
        return self._zone.read(file)

    def put(self, path: str, data: bytes) -> RawFile:
        """Nothing: a job sends no files."""
        raise DataError(
            f"{path}: a job of a slice only reads raw files; send its {len(data)} bytes to the "
            "landing zone itself"
        )

    def __reduce__(self) -> tuple[type[SentFiles], tuple[Place, Place]]:
        """Travel without what was opened."""
        return SentFiles, (self.place, self.beside)

    @cached_property
    def _zone(self) -> BlobLandingZone:
        return BlobLandingZone(self.place.inside, self.beside.inside)


def place_of(address: str, blob: str = "") -> Place:
    """Return what an ``abfss://`` address names.

    Args:
        address: of a file, a folder or a table.
        blob: where an emulator of its account answers.

    Raises:
        UsageError: it is no such address, or of no container of a lake.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or found["container"] not in CONTAINERS:
        raise UsageError(
            f"{address}: is no abfss://CONTAINER@ACCOUNT.dfs.SUFFIX/PATH in one of the containers "
            f"{', '.join(CONTAINERS)}"
        )
    cloud = Cloud(blob=blob, storage_suffix=found["suffix"])
    backend = AzureBackend.of_storage(found["account"], cloud)
    container = cast("Container", found["container"])
    credential = None if blob else _pool()
    return Place(address, backend, container, found["path"].strip("/"), credential)


def _pool() -> TokenCredential | None:
    """Who the pool says that this job is; None where there is no pool."""
    if find_spec(_POOL) is None:
        return None
    return PoolCredential(partial(_asked, _POOL))


def _asked(pool: str, audience: str) -> str:
    return str(import_module(pool).mssparkutils.credentials.getToken(audience))


def _end_of(token: str) -> int:
    """When a token ends, in seconds since 1970; at once where it does not say."""
    try:
        claims = token.split(".")[1]
        return int(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0
