"""Clients of Azure ML: one a workspace, one for the registry, all with the same patience.

The SDK keeps clouds by name in a table of its process and the current one in a variable of its
environment. A cloud it knows is taken by that name; any other gets a name made from its addresses,
and the variable is put back, because a process that is started with a name it does not know cannot
even import the SDK.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from azure.ai.ml import MLClient
from azure.ai.ml._azure_environments import _environments
from azure.ai.ml._utils._azureml_polling import AzureMLPolling
from azure.ai.ml.entities._assets.workspace_asset_reference import WorkspaceAssetReference
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.core.polling.arm_polling import ARMPolling
from requests import Session
from requests.adapters import HTTPAdapter

from mlops_assets.domain.errors import EngineError, MlopsError, RefusedError, StaleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.ai.ml.entities import Environment, Model
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport

    from mlops_assets.settings.azure import AzureBackend, Cloud, Workspace

_CURRENT = "AZUREML_CURRENT_CLOUD"
_OURS = "mlops-"
# Waits of 0, 1.6, 3.2, ... seconds, at most 30, or what Retry-After says: over two minutes in all.
_PATIENCE = {
    "retry_total": 8,
    "retry_status": 8,
    "retry_connect": 5,
    "retry_read": 5,
    "retry_backoff_factor": 0.8,
    "retry_backoff_max": 30,
}
_POLLING_SECONDS = 5.0
_CONNECT_SECONDS, _READ_SECONDS = 20, 120
# As many as anything here asks at once: more are opened and thrown away, with a line each time.
_CONNECTIONS = 64
_LOCK = threading.Lock()
_SECRET = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=sig=)[^&\s]+")
# Its words on standard error: classes nobody chose, and MLTables that it does not read back.
for _name in ("_utils._experimental", "operations._data_operations"):
    logging.getLogger(f"azure.ai.ml.{_name}").setLevel(logging.ERROR)
# It prints a dot each time it asks after a deletion, to standard output, where our JSON goes.
AzureMLPolling.update_status = ARMPolling.update_status
_FORBIDDEN, _CONFLICT, _TOO_MANY, _SERVER_ERRORS = 403, 409, 429, 500


@dataclass(slots=True)
class Clients:
    """The clients of one backend under one identity. Each is made once, when it is first wanted.

    Args:
        backend: names and addresses.
        credential: who we are.
        transport: what carries requests, and sleeps between them; HTTPS where None.
        polling_interval: seconds between two questions about a long-running operation.
    """

    backend: AzureBackend
    credential: TokenCredential
    transport: HttpTransport[Any, Any] | None = None
    polling_interval: float = _POLLING_SECONDS
    _made: dict[str, MLClient] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def workspace(self, name: Workspace) -> MLClient:
        """The client of the dev, test or prod workspace."""
        return self._client(f"workspace {name}", workspace_name=self.backend.workspaces[name])

    def registry(self) -> MLClient:
        """The client of the shared registry; the first one asks where the registry answers."""
        return self._client("registry", registry_name=self.backend.registry)

    def share_model(self, name: str, version: str, source: Workspace = "dev") -> Model:
        """Copy a model to the registry under its name and version.

        These are the calls of `models.share`. That method makes clients of its own, which know
        neither our transport nor our patience and ask for the operation every 30 seconds.

        Raises:
            azure.ai.ml.exceptions.ValidationException: the registry holds that version already.
        """
        reference = self._reference("models", name, version, source)
        return self.registry().models.create_or_update(reference)

    def share_environment(self, name: str, version: str, source: Workspace = "dev") -> Environment:
        """Copy an environment to the registry under its name and version, as `share_model` does."""
        reference = self._reference("environments", name, version, source)
        return self.registry().environments.create_or_update(reference)

    def _reference(
        self, kind: str, name: str, version: str, source: Workspace
    ) -> WorkspaceAssetReference:
        workspace = self.workspace(source).workspaces.get(self.backend.workspaces[source])
        guid = workspace._workspace_id  # noqa: SLF001 - the SDK's own share reads it there
        return WorkspaceAssetReference(
            name=name,
            version=version,
            asset_id=(
                f"azureml://locations/{workspace.location}/workspaces/{guid}/"
                f"{kind}/{name}/versions/{version}"
            ),
        )

    def _client(self, key: str, **where: str) -> MLClient:
        with self._lock:
            if key not in self._made:
                self._made[key] = self._new(where)
            return self._made[key]

    def _new(self, where: dict[str, str]) -> MLClient:
        if self.transport is None:
            self.transport = _transport()
        options: dict[str, Any] = {**_PATIENCE, "transport": self.transport}
        with _cloud(self.backend.cloud) as cloud:
            client = MLClient(
                self.credential,
                self.backend.subscription,
                self.backend.resource_group,
                enable_telemetry=False,
                show_progress=False,
                polling_interval=self.polling_interval,
                **cloud,
                **where,
                **options,
            )
        # It would read back each MLTable that is registered, by storage clients of its own, and ask
        # the internet for a schema; without, it skips what we have checked. Nothing is uploaded.
        client.data._datastore_operation = None  # noqa: SLF001
        # With a credential, each update of a deployment asks the registry, by a client of the
        # SDK's own, for a template whose name it would write to the log, and hides that it failed.
        client.batch_deployments._credentials = None  # noqa: SLF001
        return client


def _transport() -> HttpTransport[Any, Any]:
    """Return one set of connections for all the clients, of which the SDK makes a dozen each.

    An address that swallows packets is given up after seconds, not after the SDK's five minutes.
    """
    session = Session()
    session.mount("https://", HTTPAdapter(pool_connections=16, pool_maxsize=_CONNECTIONS))
    return RequestsTransport(
        session=session,
        session_owner=False,
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
    )


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Say in one line what Azure refused or could not do.

    Args:
        doing: what was tried, of what and where: `registering model p001-c001:7 in workspace dev`.

    Raises:
        RefusedError: the identity may not (`E_FORBIDDEN`), or a limit is reached (`E_QUOTA`).
        StaleError: something of that name is there already, with other content.
        EngineError: anything else.
    """
    try:
        yield
    except (AzureError, MlException) as error:
        raise _said(error, doing) from error


def _said(error: AzureError | MlException, doing: str) -> MlopsError:
    reason = one_line(error)
    status = (error.status_code or 0) if isinstance(error, HttpResponseError) else 0
    if status == _FORBIDDEN:
        return RefusedError(
            "E_FORBIDDEN",
            f"{doing}: this identity may not: {reason}; `mlops doctor` says which role lacks what",
        )
    if "quota" in reason.lower():
        return RefusedError("E_QUOTA", f"{doing}: {reason}; docs/azure.md says how to serve more")
    if status == _CONFLICT:
        return StaleError(f"{doing}: {reason}")
    if isinstance(error, ClientAuthenticationError):
        reason = (
            f"Azure does not accept who we are: {reason}; sign in, or name the role's identity in "
            "settings.yml"
        )
    elif isinstance(error, (ServiceRequestError, ServiceResponseError)):
        reason = f"Azure cannot be reached: {reason}; run it again"
    elif status == _TOO_MANY or status >= _SERVER_ERRORS:
        reason = f"Azure is too busy or broken: {reason}; run it again later"
    return EngineError(f"{doing}: {reason}")


def one_line(error: BaseException) -> str:
    """Return what an error of the SDK says, in one line and without a token."""
    text = str(getattr(error, "message", "") or error).strip() or type(error).__name__
    return _SECRET.sub("***", _sentence(text)).rstrip(".")


def _sentence(text: str) -> str:
    """The first line; of what the SDK found wrong itself, which is JSON, each message."""
    try:
        errors = json.loads(text)["errors"]
        said = "; ".join(f"{each['path']}: {each['message']}" for each in errors)
    except (ValueError, KeyError, TypeError):
        said = next(line for line in text.splitlines() if line.strip())
    return " ".join(said.split())


@contextmanager
def _cloud(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """Give what the SDK is to be told of a cloud, and put its variable back afterwards.

    The variable stays where it names a sovereign cloud that the SDK knows: it reads it again when
    it asks for tokens to invoke an endpoint.
    """
    wanted = {
        "azure_portal": "https://portal.azure.com/",
        "resource_manager": cloud.resource_manager,
        "active_directory": "https://login.microsoftonline.com/",
        "aml_resource_id": "https://ml.azure.com/",
        "storage_endpoint": cloud.storage_suffix,
        "registry_discovery_endpoint": cloud.registry_discovery,
    }
    asked = ("resource_manager", "storage_endpoint", "registry_discovery_endpoint")
    with _LOCK:
        before = os.environ.get(_CURRENT)
        name = next(
            (
                name
                for name, known in _environments.items()
                if all(known[each] == wanted[each] for each in asked)
            ),
            "",
        )
        try:
            if name:
                yield {"cloud": name}
            else:
                digest = hashlib.sha256("\n".join(wanted.values()).encode()).hexdigest()[:12]
                yield {"cloud": f"{_OURS}{digest}", "cloud_metadata": wanted}
        finally:
            if before is not None:
                os.environ[_CURRENT] = before
            elif not name or name == "AzureCloud" or name.startswith(_OURS):
                os.environ.pop(_CURRENT, None)
