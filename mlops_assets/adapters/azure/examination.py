"""Examination of Azure: what would go wrong there, asked before anything is changed.

Every question only reads. What an identity may do is asked of the service itself, under that
identity: too little and too much are both told, each with what mends it.
"""

from __future__ import annotations

import base64
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

from azure.core import PipelineClient
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy, RetryPolicy
from azure.core.rest import HttpRequest

from mlops_assets.adapters.azure.blobs import open_blobs, said
from mlops_assets.adapters.azure.client import Clients, explained
from mlops_assets.adapters.azure.identity import credential, emulator_key
from mlops_assets.adapters.azure.names import endpoint_name
from mlops_assets.adapters.azure.permission import NOT_HERE, WORK, Permissions
from mlops_assets.domain.errors import EngineError, MlopsError
from mlops_assets.domain.gates import Verdict
from mlops_assets.settings.access import ACCESS
from mlops_assets.settings.azure import CONTAINERS, WORKSPACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport

    from mlops_assets.settings.azure import AzureBackend, Role, Workspace

# What is imported, and the version that the calls of these adapters were recorded with.
PACKAGES: Mapping[str, str] = {
    "azure-ai-ml": "1.35.",
    "azure-identity": "1.",
    "azure-storage-blob": "12.",
    "azure-monitor-ingestion": "1.",
    "azure-monitor-opentelemetry-exporter": "1.",
}


class Examination:
    """The questions about one backend."""

    def __init__(
        self,
        backend: AzureBackend,
        environ: Mapping[str, str],
        *,
        credentials: Callable[[Role], TokenCredential] | None = None,
        transport: HttpTransport[Any, Any] | None = None,
    ) -> None:
        self._backend = backend
        self._environ = environ
        self._transport = transport
        self._credential = credentials or (lambda role: credential(backend, role))
        # A host that has one identity alone is asked about nothing that others do.
        self._roles = backend.roles
        self._permissions = Permissions(backend, self._get)
        self._clients = {
            role: Clients(backend, self._credential(role), transport) for role in self._roles
        }

    def ask(self, circuits: Mapping[str, int]) -> tuple[Verdict, ...]:
        """Ask every question, also after one that fails; ``circuits`` are counted by plant."""
        questions: dict[str, Callable[[], str]] = {
            "versions": _versions,
            "identities": self._identities,
            "workspaces": self._workspaces,
            "clusters": self._clusters,
            "registry": self._registry,
            "containers": self._containers,
            "access": self._permissions.access,
            "serving": self._permissions.serving,
            "work": self._permissions.work,
            "synapse": self._synapse,
            "names": lambda: self._names(circuits),
            "monitor": self._monitor,
            "reviews": self._reviews,
        }
        return tuple(ask(f"azure: {name}", question) for name, question in questions.items())

    def _identities(self) -> str:
        """Who each role is to Azure, by what its token says."""
        people: dict[str, list[str]] = {}
        problems = []
        for role in self._roles:
            claims = self._claims(role)
            named, found = self._backend.identities.get(role), str(claims.get("appid", ""))
            if named and found != named:
                problems.append(
                    f"{role} is {found or claims.get('oid', 'unknown')} here, not the identity "
                    f"{named} that the settings name: run it on a host that has that identity, or "
                    "say by MLOPS_ROLE which one this host has"
                )
            people.setdefault(str(claims.get("oid", found)), []).append(role)
        if problems:
            raise EngineError("; ".join(problems))
        if len(self._roles) == 1:
            return f"this host is {self._roles[0]}, and nothing else"
        if len(people) == 1:
            return "one identity for every role: name one each in the settings to keep them apart"
        shared = [", ".join(roles) for roles in people.values() if len(roles) > 1]
        return f"{len(people)} identities" + (
            f"; one for {'; one for '.join(shared)}" * bool(shared)
        )

    def _claims(self, role: Role) -> dict[str, Any]:
        try:
            token = self._credential(role).get_token(f"{self._manager}/.default").token
        except AzureError as error:
            raise EngineError(
                f"identity {role}: no token: {said(error)}; sign in with `az login`, or run on a "
                "host that has the identity"
            ) from error
        try:
            body = token.split(".")[1]
            return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
        except (ValueError, IndexError) as error:
            raise EngineError(f"identity {role}: its token is none that can be read") from error

    @property
    def _mine(self) -> tuple[Workspace, ...]:
        """Workspaces that a role of this host works in."""
        return tuple(each for each in WORKSPACES if each in self._roles)

    def _workspaces(self) -> str:
        for workspace in self._mine:
            name = self._backend.workspaces[workspace]
            with explained(f"workspace {name}, as {workspace}"):
                self._clients[workspace].workspace(workspace).workspaces.get(name)
        return _listed(self._backend.workspaces[each] for each in self._mine)

    def _clusters(self) -> str:
        found, problems = [], []
        for workspace in self._mine:
            name = str(getattr(self._backend.compute, workspace))
            place = f"cluster {name} of {self._backend.workspaces[workspace]}"
            with explained(f"{place}, as {workspace}"):
                cluster = self._clients[workspace].workspace(workspace).compute.get(name)
            least, most = int(cluster.min_instances or 0), int(cluster.max_instances or 0)
            found.append(f"{name} {least}-{most} {cluster.size}")
            if least:
                problems.append(f"{place} never goes below {least} nodes, which cost by the hour")
            if workspace == "dev" and most != self._backend.compute.dev_nodes:
                problems.append(
                    f"{place} has {most} nodes, the settings say dev_nodes: "
                    f"{self._backend.compute.dev_nodes}"
                )
        if problems:
            raise EngineError("; ".join(problems))
        return _listed(found)

    def _registry(self) -> str:
        name = self._backend.registry
        readers = [role for role in self._roles if "registry" in WORK.get(role, {})]
        for role in readers[:1]:
            with explained(f"registry {name}, as {role}"):
                self._clients[role].registry()
        return name if readers else NOT_HERE

    def _containers(self) -> str:
        """Each container, as the first role that may read it."""
        asked = {
            container: role
            for role in reversed(self._roles)
            for container in CONTAINERS
            if container in ACCESS[role]
        }
        for container, role in asked.items():
            blobs = open_blobs(
                self._backend,
                role,
                container,
                environ=self._environ,
                credential=None if self._emulated else self._credential(role),
            )
            blobs.find("home.json")
        return f"{len(asked)} containers of {self._backend.storage_account}"

    @property
    def _emulated(self) -> bool:
        return emulator_key(self._backend, self._environ) is not None

    def _get(self, role: Role, url: str, what: str, scope: str = "") -> dict[str, Any]:
        more: dict[str, Any] = {"transport": self._transport} if self._transport else {}
        asked = scope or f"{self._manager}/.default"
        client: PipelineClient[HttpRequest, Any] = PipelineClient(
            self._manager,
            policies=[
                HeadersPolicy({"Accept": "application/json"}),
                RetryPolicy(retry_total=4, retry_backoff_factor=0.5),
                BearerTokenCredentialPolicy(self._credential(role), asked),
            ],
            **more,
        )
        with explained(f"{what} cannot be asked"):
            response = client.send_request(HttpRequest("GET", url))
            response.raise_for_status()
            return dict(response.json())

    @property
    def _manager(self) -> str:
        return self._backend.cloud.resource_manager.rstrip("/")

    def _names(self, circuits: Mapping[str, int]) -> str:
        """Whether the endpoints of all plants get names of their own that Azure takes."""
        names = [
            endpoint_name(self._backend, workspace, plant)
            for plant in circuits
            for workspace in WORKSPACES[1:]
        ]
        longest = max(map(len, names), default=0)
        if len(set(names)) < len(names):
            raise EngineError("two plants would share an endpoint: rename one of them in config")
        return f"{len(names)} endpoints, names of at most {longest} characters"

    def _synapse(self) -> str:
        from mlops_assets.adapters.azure.synapse import API, SCOPE

        settings = self._backend.synapse
        if settings is None:
            return "not asked: slices of the ETL run in the platform's own process"
        if "etl" not in self._roles:
            return NOT_HERE
        base = self._backend.cloud.synapse or f"https://{settings.workspace}.dev.azuresynapse.net"
        pool = f"{base.rstrip('/')}/livyApi/versions/{API}/sparkPools/{settings.pool}"
        what = f"Synapse pool {settings.workspace}/{settings.pool}, as etl,"
        self._get("etl", f"{pool}/batches?from=0&size=1", what, SCOPE)
        return f"{settings.workspace}/{settings.pool}"

    def _monitor(self) -> str:
        from mlops_assets.adapters.azure.monitor import azure_monitor

        settings = self._backend.monitor
        if settings is None:
            return "not asked: the settings name no monitor"
        if "prod" not in self._roles:
            return NOT_HERE
        azure_monitor(settings, self._credential("prod"), self._environ, transport=self._transport)
        if not self._environ.get(settings.connection):
            raise EngineError(
                f"${settings.connection} is not set: no gauges are sent from this host; it is the "
                "output `connection` of infra/monitor.json"
            )
        # The settings know the rule by an id that no question takes; only a row that is sent shows.
        return (
            f"rows to {settings.stream}, gauges to Application Insights; whether prod may send is "
            "not asked: the run of `quality` says so"
        )

    def _reviews(self) -> str:
        from mlops_assets.adapters.azure.pull_request import AzurePullRequests

        settings = self._backend.devops
        if settings is None:
            raise EngineError(
                "the settings name no repository of Azure DevOps, so nothing counts as reviewed: "
                "write `devops` as docs/azure.md shows"
            )
        readers = [role for role in self._roles if role in ("dev", "release", "review")]
        if not readers:
            return NOT_HERE
        lacks = tuple[str, ...]()
        for role in readers:
            who = self._credential(role)
            pulls = AzurePullRequests(settings, who, transport=self._transport)
            lacks = lacks or tuple(pulls.policy_problems("refs/heads/main"))
        if lacks:
            raise EngineError(
                f"{'; '.join(lacks)}: set the branch policy of refs/heads/main in Azure DevOps"
            )
        return "pull requests, whose approvals end with the next push"


def ask(name: str, question: Callable[[], str]) -> Verdict:
    """Ask one question; what cannot be answered is a no with its reason."""
    try:
        return Verdict(name, passed=True, reason=question())
    except (MlopsError, OSError) as error:
        return Verdict(name, passed=False, reason=str(error))


def _listed(found: Iterable[str]) -> str:
    return ", ".join(found) or NOT_HERE


def _versions() -> str:
    found, problems = [], []
    for package, wanted in PACKAGES.items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            problems.append(f"{package} is not installed")
            continue
        found.append(f"{package} {version}")
        if not version.startswith(wanted):
            problems.append(f"{package} is {version}, not {wanted}*")
    if problems:
        raise EngineError(
            f"{'; '.join(problems)}: pip install --require-hashes -r requirements-azure.lock"
        )
    return ", ".join(found)
