"""A real Azurite for the suite: blobs over real HTTP, in memory, stopped by its process id.

`make azurite` installs it from the lock beside this file. Every test gets an account of its own,
so that containers have the names that they have on Azure.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient

from mlops_assets.adapters.azure.blobs import Blobs
from mlops_assets.adapters.azure.identity import STORAGE_KEY
from mlops_assets.adapters.azure.lease import check_request
from mlops_assets.adapters.azure.tree import BlobTree
from mlops_assets.settings.azure import CONTAINERS, AzureBackend, Cloud

ACCOUNTS = 500
_KEY = b64encode(b"a key that opens an emulator only").decode()
_SECONDS = 60
_PLACE = Path(__file__).resolve().parents[2] / ".azurite"


@dataclass(frozen=True)
class Account:
    """A storage account of one test, with every container that `infra/` makes."""

    name: str
    url: str
    key: str

    @property
    def environ(self):
        """What opens it, for processes too."""
        return {STORAGE_KEY: self.key}

    def backend(self, **changes):
        """Settings whose blobs are these; every other address leads nowhere."""
        names = {
            "subscription": "00000000-0000-0000-0000-000000000001",
            "resource_group": "rg-mlops",
            "location": "westeurope",
            "storage_account": self.name,
            "registry": "mlops-registry",
            "workspaces": {"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
            "cloud": Cloud(blob=self.url),
        }
        return AzureBackend(**{**names, **changes})

    def service(self, **settings):
        """The SDK's client of the account, which asks for leases as ours do."""
        settings = {"raw_request_hook": check_request, **settings}
        credential = AzureNamedKeyCredential(self.name, self.key)
        return BlobServiceClient(self.url, credential=credential, **settings)

    def blobs(self, container, prefix="", **settings):
        """Blobs of a container, below a prefix."""
        return Blobs(self.service(**settings).get_container_client(container), prefix)


@dataclass(frozen=True)
class Azurite:
    """A running server; ``account()`` is fresh each time, and so is every ``tree()``."""

    port: int
    pid: int
    _numbers: itertools.count = field(default_factory=itertools.count)

    @cached_property
    def shared(self):
        """The account of tests that need no more than a prefix of their own."""
        return self.account()

    def blobs(self):
        """Blobs below a prefix of their own."""
        return self._container.inside(f"{next(self._numbers)}")

    def tree(self, home="somewhere"):
        """A tree of its own, which is ``home`` to a layout."""
        return BlobTree(self.blobs(), home)

    @cached_property
    def _container(self):
        return self.shared.blobs("dev")

    def account(self):
        name = f"mlops{next(self._numbers):03d}"
        made = Account(name, f"http://127.0.0.1:{self.port}/{name}", _KEY)
        with made.service() as service:
            for container in CONTAINERS:
                service.create_container(container)
        return made


def program():
    """Where Azurite is installed; the test fails where it is not, and says how to install it."""
    found = _PLACE / "node_modules/azurite/dist/src/blob/main.js"
    if not found.is_file() or shutil.which("node") is None:
        pytest.fail("Azurite is not installed: `make azurite` (it needs node 18 or newer)")
    return found


@contextmanager
def running():
    """Start a server on a free port, and stop it with all that it holds."""
    script, port = program(), free_port()
    keys = ";".join(f"mlops{number:03d}:{_KEY}" for number in range(ACCOUNTS))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["node", script, "--blobHost", "127.0.0.1", "--blobPort", str(port),
             "--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck"],
            stdout=log,
            stderr=log,
            cwd=tempfile.gettempdir(),
            env=os.environ | {"AZURITE_ACCOUNTS": keys},
        )  # fmt: skip
        try:
            awaited(port, process, log)
            yield Azurite(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                # It waits for connections that nobody has closed; nothing of it is to be kept.
                process.kill()
                process.wait(_SECONDS)


def awaited(port, process, log):
    for _ in range(_SECONDS * 20):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    log.seek(0)
    raise AssertionError(log.read().decode(errors="replace"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
