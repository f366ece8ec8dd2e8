"""Orders and outcomes of Azure ML's jobs as blobs, in the container of the workspace of the jobs.

Jobs see the same container as the datastore of its name, so what they are given and what they leave
are addresses in it, and nothing is uploaded by the SDK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.adapters.azure.blobs import open_blobs
from mlops_assets.domain.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.settings.azure import AzureBackend, Role, Workspace

PREFIX = "jobs"


@dataclass(frozen=True, slots=True)
class BlobExchange:
    """Bytes by name below one prefix of a container."""

    blobs: Blobs

    def put(self, name: str, data: bytes) -> None:
        """Write once; the same bytes again change nothing.

        Raises:
            StaleError: other bytes lie there.
        """
        if not self.blobs.put_if_absent(name, data) and self.blobs.get(name) != data:
            raise StaleError(f"{self.blobs.where(name)}: holds other bytes; remove it and repeat")

    def get(self, name: str) -> bytes | None:
        """The bytes, None when there are none."""
        return self.blobs.get(name)

    def remove(self, name: str) -> None:
        """Take something away, if it is there."""
        self.blobs.delete(name)

    def names(self, folder: str) -> Sequence[str]:
        """Everything below a folder, sorted, by whole names."""
        return [blob.name for blob in self.blobs.list(f"{folder}/")]

    def uri(self, name: str) -> str:
        """Where a file or folder lies, as a job is told of it."""
        return f"azureml://datastores/{self.blobs.container}/paths/{self.blobs.path(name)}"

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Hold a name by a lease."""
        return self.blobs.lease(name)


def open_exchange(
    backend: AzureBackend, role: Role, workspace: Workspace, *, environ: Mapping[str, str]
) -> BlobExchange:
    """Return the exchange of a workspace as a role reaches it."""
    return BlobExchange(open_blobs(backend, role, workspace, PREFIX, environ=environ))
