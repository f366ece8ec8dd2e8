"""The Azure backend by settings alone: `settings.yml` of a home, or the file $MLOPS_SETTINGS names.

It holds names and addresses and never a secret: who we are is asked of Azure's own chain of
credentials, one identity a role where the file names them. Containers are fixed, so that a role
can be given one and not the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from mlops_assets.domain.errors import UsageError
from mlops_assets.domain.quota import Quota, Serves

Role = Literal["etl", "dev", "release", "test", "prod", "review"]
Workspace = Literal["dev", "test", "prod"]
# What each container holds, by the names of a local home; `docs/azure.md` says who may write where.
Container = Literal[
    "raw",  # lake/raw
    "lake",  # lake/{ingested,readings,quarantine,restatements}
    "forecasts",  # lake/{predictions,quality,hindcasts}
    "dev",  # workspaces/dev
    "registry",  # registry, as far as the registry itself holds no bytes
    "test",  # workspaces/test
    "prod",  # workspaces/prod
    "ledger",  # ledger, alerts, locks
    "anchors",  # the ledger's heads, under an immutability policy
]
ROLES: tuple[Role, ...] = get_args(Role)
WORKSPACES: tuple[Workspace, ...] = get_args(Workspace)
CONTAINERS: tuple[Container, ...] = get_args(Container)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where Azure's own services answer; the public cloud by default.

    ``blob`` replaces ``https://ACCOUNT.blob.STORAGE_SUFFIX``, as an emulator needs it.
    """

    resource_manager: str = "https://management.azure.com/"
    registry_discovery: str = "https://eastus.api.azureml.ms/"
    storage_suffix: str = "core.windows.net"
    synapse: str = ""
    blob: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Clusters by workspace, each scaling from nothing to its number of nodes."""

    dev: str = "train-cluster"
    test: str = "test-cluster"
    prod: str = "score-cluster"
    dev_nodes: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Synapse:
    """Where the ETL runs, when it is to run on a Spark pool."""

    workspace: str
    pool: str
    node_memory: str = "28g"
    node_cores: int = 4
    executors: int = 2
    timeout_minutes: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Where figures go: metrics by connection string, exact rows by the Logs Ingestion API.

    ``connection`` names the environment variable that holds the connection string.
    """

    connection: str = "APPLICATIONINSIGHTS_CONNECTION_STRING"
    ingestion: str = ""
    rule: str = ""
    stream: str = "Custom-CircuitMetrics_CL"


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOps:
    """The Azure DevOps repository whose pull requests are review evidence."""

    organization: str
    project: str
    repository: str
    address: str = "https://dev.azure.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureBackend:
    """The names of everything that `infra/` makes.

    ``serves`` says what one deployment of a batch endpoint serves, ``quota`` what the region allows
    of them: Azure's own numbers, unless a support request raised them. ``plays`` are the roles that
    this host has, as $MLOPS_ROLE names them; without it a host has all.
    """

    subscription: str
    resource_group: str
    location: str
    storage_account: str
    registry: str
    workspaces: Mapping[Workspace, str]
    compute: Compute = field(default_factory=Compute)
    serves: Serves = "circuit"
    quota: Quota = field(default_factory=Quota)
    identities: Mapping[Role, str] = field(default_factory=dict)
    synapse: Synapse | None = None
    monitor: Monitor | None = None
    devops: DevOps | None = None
    cloud: Cloud = field(default_factory=Cloud)
    plays: tuple[Role, ...] | None = None
    kind: Literal["azure"] = "azure"

    @classmethod
    def of_storage(
        cls, account: str, cloud: Cloud, identities: Mapping[Role, str] | None = None
    ) -> AzureBackend:
        """Return what a job knows: an account, no resource manager to ask and none of its names."""
        return cls(
            subscription="",
            resource_group="",
            location="",
            storage_account=account,
            registry="",
            workspaces={},
            identities=identities or {},
            cloud=cloud,
        )

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of this host."""
        return ROLES if self.plays is None else self.plays

    @property
    def blob_url(self) -> str:
        """The address of the account's blobs."""
        return self.cloud.blob or (
            f"https://{self.storage_account}.blob.{self.cloud.storage_suffix}"
        )

    def as_roles(self, text: str) -> AzureBackend:
        """Return the backend as a host sees it that has these roles alone, commas between them.

        Raises:
            UsageError: there is no such role, or no identity of it is named.
        """
        names = [name.strip() for name in text.split(",")]
        plays = tuple(role for role in ROLES if role in names)
        for name in names:
            if name not in ROLES:
                raise UsageError(f"MLOPS_ROLE: {name!r} is none of {', '.join(ROLES)}")
            if name not in self.identities:
                raise UsageError(
                    f"MLOPS_ROLE is {text!r}: identities of the settings name no {name}, but "
                    f"{', '.join(sorted(self.identities)) or 'none'}"
                )
        return replace(self, plays=plays)

    def table_uri(self, container: Container, name: str) -> str:
        """Where a Delta table lies, as Azure's readers and ours name it."""
        host = f"{self.storage_account}.dfs.{self.cloud.storage_suffix}"
        return f"abfss://{container}@{host}/{name}"


def read_azure(data: bytes, where: str) -> AzureBackend:
    """Return the backend that a settings file asks for.

    Raises:
        UsageError: in one line, naming the file and the field.
    """
    import yaml

    try:
        document = yaml.safe_load(data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{where}{line}: is no YAML; write it as docs/azure.md shows") from error
    if not isinstance(document, dict) or document.get("backend") != "azure":
        raise UsageError(f"{where}: backend is not azure, the only one that needs a file")
    known = {each.name for each in fields(AzureBackend)} - {"kind", "plays"}
    given = {name: value for name, value in document.items() if name != "backend"}
    return _checked(_made(AzureBackend, given, where, known), where)


def _made(kind: type[Any], given: object, where: str, known: set[str] | None = None) -> Any:  # noqa: ANN401
    """Return a dataclass from a mapping of its fields, nested ones made likewise."""
    nested: dict[str, type[Any]] = {
        "compute": Compute,
        "quota": Quota,
        "synapse": Synapse,
        "monitor": Monitor,
        "devops": DevOps,
        "cloud": Cloud,
    }
    if not isinstance(given, dict):
        raise UsageError(f"{where}: is no mapping of names to values")
    names = known or {each.name for each in fields(kind)}
    if odd := sorted(map(str, set(given) - names)):
        raise UsageError(f"{where}: {odd[0]} is no setting; known: {', '.join(sorted(names))}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name in nested and kind is AzureBackend:
            values[name] = _made(nested[name], value, f"{where}: {name}")
        elif name in {"workspaces", "identities"}:
            values[name] = _texts(value, f"{where}: {name}")
        else:
            wanted = next(each.type for each in fields(kind) if each.name == name)
            right = type(value) is (int if wanted == "int" else str)
            if not right:
                what = "a whole number" if wanted == "int" else "text, in quotes if need be"
                raise UsageError(f"{where}: {name} is {value!r}, not {what}")
            values[name] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{where}: {str(error).split(')', 1)[-1].strip()}") from error


def _texts(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(text, str) for name, text in value.items()
    ):
        raise UsageError(f"{where}: is no mapping of names to texts")
    return dict(value)


def _checked(backend: AzureBackend, where: str) -> AzureBackend:
    """Refuse what Azure would refuse much later."""
    if missing := [name for name in WORKSPACES if not backend.workspaces.get(name)]:
        raise UsageError(f"{where}: workspaces names no {missing[0]}; write dev, test and prod")
    for name, given, known in (
        ("workspaces", set(map(str, backend.workspaces)), WORKSPACES),
        ("identities", set(map(str, backend.identities)), ROLES),
    ):
        if odd := sorted(given - set(known)):
            raise UsageError(f"{where}: {name}: {odd[0]} is none of {', '.join(known)}")
    for each in fields(Quota):
        if (number := getattr(backend.quota, each.name)) < 1:
            raise UsageError(f"{where}: quota: {each.name} is {number}; write at least 1")
    if backend.serves not in (known := get_args(Serves)):
        raise UsageError(f"{where}: serves is {backend.serves!r}, none of {', '.join(known)}")
    if not re.fullmatch(r"[a-z0-9]{3,24}", backend.storage_account):
        raise UsageError(
            f"{where}: storage_account is {backend.storage_account!r}: 3 to 24 small letters and "
            "digits"
        )
    return backend
