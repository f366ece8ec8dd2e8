"""The storage account behind the datastores: a real one over HTTP, such as Azurite's."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from mlops_assets.adapters.azure.identity import STORAGE_KEY
from mlops_assets_tests.control_plane.assets import DATASTORE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from azure.storage.blob import ContainerClient

    from mlops_assets_tests.control_plane.plane import ControlPlane


class Storage:
    """Bytes by the URIs that jobs and assets name."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    @property
    def key(self) -> str:
        """The account's key, empty where this control plane has no storage."""
        return self._plane.node_environment.get(STORAGE_KEY) or os.environ.get(STORAGE_KEY, "")

    @property
    def there(self) -> bool:
        """Whether bytes can be had at all."""
        return bool(self.key and self._plane.backend.cloud.blob)

    def read(self, uri: str) -> dict[str, bytes]:
        """Return every blob of a file's or folder's URI, by the path below it."""
        container, prefix = self._place(uri)
        with self._container(container) as client:
            folder = prefix.rstrip("/") + "/"
            found = {
                name.removeprefix(folder): client.download_blob(name).readall()
                for name in client.list_blob_names(name_starts_with=folder)
            }
            if not found and client.get_blob_client(prefix).exists():
                found = {prefix.rsplit("/", 1)[-1]: client.download_blob(prefix).readall()}
        return found

    def bring(self, uri: str, folder: Path) -> Path:
        """Copy a file or folder to a disk; returns where it lies there."""
        files = self.read(uri)
        place = folder / (self._place(uri)[1].rstrip("/").rsplit("/", 1)[-1] or "root")
        if len(files) == 1 and next(iter(files)) == place.name:
            folder.mkdir(parents=True, exist_ok=True)
            place.write_bytes(files[place.name])
            return place
        place.mkdir(parents=True, exist_ok=True)
        write(files, place)
        return place

    def take(self, folder: Path, uri: str) -> None:
        """Copy a folder of a disk to its URI, over what lies there."""
        container, prefix = self._place(uri)
        with self._container(container) as client:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                name = f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}"
                client.upload_blob(name, path.read_bytes(), overwrite=True)

    def _place(self, uri: str) -> tuple[str, str]:
        """Container and path of a datastore's URI, or of an address in the account."""
        if uri.startswith(account := f"{self._plane.backend.blob_url}/"):
            container, _, path = uri.removeprefix(account).partition("/")
            return container, path
        found = re.fullmatch(DATASTORE, uri)
        if found is None:
            raise ValueError(f"{uri} lies on no datastore")
        return found["name"], found["path"]

    @contextmanager
    def _container(self, name: str) -> Iterator[ContainerClient]:
        backend = self._plane.backend
        credential = AzureNamedKeyCredential(backend.storage_account, self.key)
        with BlobServiceClient(backend.blob_url, credential=credential) as service:
            client = service.get_container_client(
                "azureml-blobstore" if name == "workspaceblobstore" else name
            )
            if name == "workspaceblobstore" and not client.exists():
                with suppress(ResourceExistsError):
                    client.create_container()
            yield client


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
