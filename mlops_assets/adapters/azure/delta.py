"""Delta tables on `abfss://`: the service's conditional put makes each commit once.

Of two writers of one version it refuses the second, so no lock is needed, and what it has taken is
there to stay, so nothing is flushed. A commit whose answer was lost is met again as another
writer's, and then known by its slice or by its rows.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError

from mlops_assets.adapters.azure.blobs import open_blobs, said
from mlops_assets.adapters.azure.delta_log import BlobLog
from mlops_assets.adapters.azure.identity import storage_credential
from mlops_assets.adapters.azure.lease import check_leases
from mlops_assets.adapters.delta.table import StoredTable
from mlops_assets.domain.errors import DataError
from mlops_assets.settings.access import acting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from azure.core.credentials import TokenCredential
    from deltalake import DeltaTable

    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.settings.azure import AzureBackend, Container, Role

_SCOPE = "https://storage.azure.com/.default"
_PUBLIC = "core.windows.net"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST_LINE = 300


class TableAccess:
    """How one identity reaches the tables of a storage account.

    A token is asked for at each opening: whoever gives it keeps it, and brings another five minutes
    before it ends.
    """

    def __init__(
        self, backend: AzureBackend, credential: TokenCredential | AzureNamedKeyCredential
    ) -> None:
        self._backend = backend
        self._credential = credential

    def options(self) -> dict[str, str]:
        """What delta-rs and polars need to reach the account, good for the next minutes.

        Raises:
            DataError: no identity is accepted.
        """
        found = {"account_name": self._backend.storage_account}
        if self._backend.cloud.blob or self._backend.cloud.storage_suffix != _PUBLIC:
            found["azure_storage_endpoint"] = self._backend.blob_url
        if isinstance(self._credential, AzureNamedKeyCredential):
            # An emulator, which alone has a key here.
            found["account_key"] = self._credential.named_key.key
            found["azure_allow_http"] = "true"
            return found
        try:
            found["bearer_token"] = self._credential.get_token(_SCOPE).token
        except AzureError as error:
            raise DataError(
                f"{self._backend.storage_account}: no identity is accepted ({said(error)}); sign "
                "in, or name the identity of this role in the settings"
            ) from error
        return found


class BlobTable(StoredTable):
    """One Delta table in one container.

    Args:
        address: as Azure's readers and ours name it.
        blobs: where it lies; the table is the folder ``name`` of it.
        access: gives what the library needs to reach it.
        again: opens the same table in another process, as that process may.
    """

    def __init__(
        self,
        address: str,
        blobs: Blobs,
        name: str,
        access: Callable[[], dict[str, str]],
        *,
        again: Callable[[], BlobTable] | None = None,
        **others: Any,  # noqa: ANN401 as `StoredTable` has them
    ) -> None:
        self._blobs = blobs.inside(name)
        super().__init__(address, BlobLog(self._blobs), **others)
        self._beside = blobs
        self._access = access
        self._again = again
        self._looked_with: dict[str, str] = {}
        if f".dfs.{_PUBLIC}/" not in address:
            # The library knows addresses of the public cloud alone; others it finds by container.
            self.address = f"az://{blobs.container}/{blobs.path(name)}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the table's name: who arrives asks for an identity, or has one that travels."""
        if self._again is None:
            raise TypeError(f"{self.place}: was opened for this process alone")
        return self._again, ()

    def look(self) -> DeltaTable | None:
        """The newest version, for reading alone, opened with a token that is good for minutes."""
        options = self.options()
        if options != self._looked_with:
            self._looked, self._looked_with = (None, None), options
        return super().look()

    def options(self) -> dict[str, str]:
        """What the library needs to reach the container."""
        self._blobs.require("read")
        return self._access()

    def step(self, name: str) -> None:
        """Say so to Python's audit events; under a lease that may have ended, refuse to go on."""
        check_leases()
        self._blobs.require("write")
        sys.audit("mlops_assets.step", name, self.place)

    def made(self, table: DeltaTable, slice_id: str | None) -> int:
        """The version that holds the slice, without one the newest: the service keeps both."""
        newest = int(table.version())
        made = None if slice_id is None else self.log.find("slice", slice_id, newest)
        return newest if made is None else made

    def alone(self) -> AbstractContextManager[None]:
        """Nothing: a lease would outlive its killed holder, and conflicts do."""
        return nullcontext()

    def queue(self) -> AbstractContextManager[None]:
        """Nothing, likewise."""
        return nullcontext()

    def prepare(self) -> None:
        """Nothing: a container has no folders."""

    def frame(self, file: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read one data file by its name in the table."""
        return pl.read_parquet(
            f"{self.address}/{file}",
            columns=None if columns is None else list(columns),
            storage_options=self.options(),
            credential_provider=None,
        )

    def present(self, files: Sequence[str]) -> Sequence[str]:
        """Those of the files that are there."""
        there = {blob.name for blob in self._blobs.list()} if files else set()
        return [name for name in files if name in there]

    def hint(self, name: str) -> bytes | None:
        """What was kept in a hidden blob beside the table."""
        return self._beside.get(f".{self.name}.{name}.parquet")

    def keep_hint(self, name: str, data: bytes) -> None:
        """Keep something in a hidden blob beside the table."""
        self._beside.put(f".{self.name}.{name}.parquet", data)

    def sweep(self, before: datetime) -> int:  # noqa: ARG002 as the disk needs it
        """Nothing: what a killed writer did not finish has no name."""
        return 0

    def line(self, error: BaseException) -> str:
        """What the library says, without colours and addresses, in one line."""
        text = re.sub(r"https?://\S+", "...", _COLOURS.sub("", str(error)))
        parts = [part.strip(" \u21b3") for part in text.splitlines()]
        said = ": ".join(part for part in parts if part)
        return said[:_LONGEST_LINE] or type(error).__name__

    def advice(self, verb: Literal["read", "written"]) -> str:
        """What to look at when the account gives or takes nothing."""
        where = "check the network and what this identity may"
        if verb == "read":
            return f"{where}; where both are right, restore the table from a backup"
        return f"{where}, then run it again, which does nothing twice"


def open_table(
    backend: AzureBackend,
    role: Role,
    container: Container,
    name: str,
    *,
    environ: Mapping[str, str] = os.environ,
    credential: TokenCredential | None = None,
) -> BlobTable:
    """Return a table of a container as a role, or who ``credential`` says, reaches it."""
    acts, _ = acting(backend, role, container)
    access = TableAccess(backend, credential or storage_credential(backend, acts, environ))
    return BlobTable(
        backend.table_uri(container, name),
        open_blobs(backend, role, container, environ=environ, credential=credential),
        name,
        access.options,
        again=partial(open_table, backend, role, container, name, credential=credential),
    )
