"""Which adapter serves which port on Azure, each under the identity of the role that it serves.

The ETL's identity writes readings, dev's trains, release's writes the registry and the ledger,
test's and prod's deploy and predict: what a role may not, no port of it can. A host that lacks the
role of a port reaches it as another of its own that may.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.errors import DataError
from mlops_assets.settings.access import may

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.adapters.azure.client import Clients
    from mlops_assets.adapters.azure.config import AzureConfigRepository
    from mlops_assets.adapters.azure.landing import BlobLandingZone
    from mlops_assets.adapters.azure.tree import BlobTree
    from mlops_assets.domain.circuit import Policy
    from mlops_assets.domain.retention import Kind
    from mlops_assets.ports import (
        Clock,
        ConfigRepository,
        DevWorkspace,
        FittingEngine,
        Historian,
        LakeEngine,
        Ledger,
        Monitoring,
        RowLog,
        ServingWorkspace,
        SharedRegistry,
        Storage,
        TrainingSlots,
    )
    from mlops_assets.ports import Lake as LakePorts
    from mlops_assets.ports.remote import Exchange
    from mlops_assets.settings.azure import AzureBackend, Container, Role

    ServingName = Literal["test", "prod"]

GIGABYTE = 1 << 30
# Users of Azure DevOps; the first of this host's asks.
_ASK_REVIEWS: tuple[Role, ...] = ("release", "review", "dev")


class AzureStores:
    """Everything that a home keeps on Azure; clients are made when they are first needed."""

    def __init__(
        self,
        backend: AzureBackend,
        clock: Clock,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.backend = backend
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._clients: dict[Role, Clients] = {}

    def blobs(self, role: Role, container: Container, prefix: str = "") -> Blobs:
        """Blobs of a container, as a role reaches them."""
        from mlops_assets.adapters.azure.blobs import open_blobs

        return open_blobs(self.backend, role, container, prefix, environ=self._environ)

    def tree(self, role: Role, container: Container, prefix: str, home: str) -> BlobTree:
        """A folder of the home's layout."""
        from mlops_assets.adapters.azure.tree import BlobTree

        return BlobTree(self.blobs(role, container, prefix), home)

    def clients(self, role: Role) -> Clients:
        """Clients of Azure ML under a role's identity."""
        from mlops_assets.adapters.azure.client import Clients
        from mlops_assets.adapters.azure.identity import credential

        if role == "dev" and "dev" not in self.backend.roles and "release" in self.backend.roles:
            role = "release"  # It reads dev's assets, which it copies.
        if role not in self._clients:
            self._clients[role] = Clients(self.backend, credential(self.backend, role))
        return self._clients[role]

    def ledger(self, config: ConfigRepository) -> Ledger:
        """The ledger, its heads anchored where nobody can remove them."""
        from mlops_assets.adapters.tree.ledger import TreeLedger

        tree = self.tree("release", "ledger", "ledger", "ledger")
        return TreeLedger(tree, config.anchor, config.anchored, stay=config.anchors_stay)

    def config(self, folder: Path, ref: str) -> AzureConfigRepository:
        """The clone of the config repository, with what its pull requests say."""
        from mlops_assets.adapters.azure.config import AzureConfigRepository
        from mlops_assets.adapters.azure.identity import credential
        from mlops_assets.adapters.azure.pull_request import AzurePullRequests

        devops, pulls = self.backend.devops, None
        if devops is not None:
            asks: Role = next(
                (role for role in _ASK_REVIEWS if role in self.backend.roles), "release"
            )
            pulls = AzurePullRequests(devops, credential(self.backend, asks))
        return AzureConfigRepository(folder, ref, self.blobs("release", "anchors"), pulls)

    @cached_property
    def landing(self) -> BlobLandingZone:
        """Raw files."""
        from mlops_assets.adapters.azure.landing import BlobLandingZone

        seen = self.blobs("etl", "lake", "ingested")
        return BlobLandingZone(self.blobs("etl", "raw"), seen)

    def lake(self) -> LakePorts:
        """The lake's tables and zones."""
        from mlops_assets.adapters.azure.forecast import open_predictions
        from mlops_assets.adapters.azure.quality import open_quality
        from mlops_assets.adapters.azure.readings import open_readings
        from mlops_assets.adapters.azure.upkeep import open_upkeep
        from mlops_assets.adapters.tree.journal import TreeIngestJournal
        from mlops_assets.ports import Lake

        backend, environ = self.backend, self._environ

        def historian() -> Historian:
            from mlops_assets.adapters.azure.identity import credential
            from mlops_assets.adapters.local.historian import SqlHistorian

            return SqlHistorian(environ, credential(backend, "etl"))

        return Lake(
            landing=self.landing,
            journal=TreeIngestJournal(self.tree("etl", "lake", "ingested", "lake/ingested")),
            readings=open_readings(backend, "etl", environ=environ),
            quarantine=self._log("quarantine"),
            restatements=self._log("restatements"),
            predictions=open_predictions(backend, "prod", environ=environ),
            quality=open_quality(backend, "prod", environ=environ),
            hindcasts=open_quality(backend, "prod", "hindcasts", environ=environ),
            historian=historian,
            upkeep=dict(open_upkeep(backend, environ=environ)),
            engine=self._engine(),
        )

    def dev(self) -> DevWorkspace:
        """Where models are trained and proved."""
        from mlops_assets.adapters.azure import environment, model
        from mlops_assets.adapters.azure.training_data import AzureTrainingDataStore
        from mlops_assets.adapters.tree.environment import TreeEnvironmentRegistry
        from mlops_assets.adapters.tree.evidence import TreeEvidenceStore
        from mlops_assets.adapters.tree.model import TreeModelRegistry
        from mlops_assets.adapters.tree.training_data import TreeTrainingDataStore
        from mlops_assets.ports import DevWorkspace

        clients = self.clients("dev")
        models = TreeModelRegistry(self._folder("dev", "models"))
        return DevWorkspace(
            training_data=AzureTrainingDataStore(
                TreeTrainingDataStore(self._folder("dev", "data")), clients
            ),
            models=model.AzureModelRegistry(models, model.in_dev(clients, models)),
            environments=environment.AzureEnvironmentRegistry(
                TreeEnvironmentRegistry(self._folder("dev", "environments")),
                environment.in_dev(
                    clients, environment.Recipes(self._folder("dev", "nodes"), _lock())
                ),
            ),
            evidence=TreeEvidenceStore(self._folder("dev", "evidence")),
        )

    def registry(self) -> SharedRegistry:
        """What passed the first approval."""
        from mlops_assets.adapters.azure import environment, model
        from mlops_assets.adapters.tree.environment import TreeEnvironmentRegistry
        from mlops_assets.adapters.tree.model import TreeModelRegistry
        from mlops_assets.ports import SharedRegistry

        release, dev, lock = self.clients("release"), self.clients("dev"), _lock()
        trained = TreeModelRegistry(self._folder("dev", "models"))
        return SharedRegistry(
            models=model.AzureModelRegistry(
                TreeModelRegistry(self.tree("release", "registry", "models", "registry/models")),
                model.in_registry(release, model.in_dev(dev, trained)),
                gathers=True,
            ),
            environments=environment.AzureEnvironmentRegistry(
                TreeEnvironmentRegistry(
                    self.tree("release", "registry", "environments", "registry/environments")
                ),
                environment.in_registry(
                    release,
                    environment.in_dev(
                        dev, environment.Recipes(self._folder("dev", "nodes"), lock)
                    ),
                    environment.Recipes(
                        self.tree("release", "registry", "nodes", "registry/nodes"), lock
                    ),
                ),
            ),
        )

    def serving(self, workspace: ServingName) -> ServingWorkspace:
        """A workspace that serves: its endpoints apply models themselves."""
        from time import sleep

        from mlops_assets.adapters.azure.code import CodeAsset
        from mlops_assets.adapters.azure.deployment import AzureEndpoints
        from mlops_assets.adapters.azure.endpoint import BatchEndpoints
        from mlops_assets.adapters.azure.scoring import AzureScoring
        from mlops_assets.adapters.tree.deployment import TreeEndpoints
        from mlops_assets.adapters.tree.forecast import TreePredictionFiles
        from mlops_assets.engines.azureml.batch import AzureBatchEngine
        from mlops_assets.ports import ServingWorkspace

        clients = self.clients(workspace)
        code = CodeAsset(clients, workspace, self.blobs(workspace, workspace, "code"))
        endpoints = AzureEndpoints(
            TreeEndpoints(self._folder(workspace, "endpoints")),
            BatchEndpoints(clients, workspace, code.id, sleep),
            self.backend,
            workspace,
            self._clock.now,
        )
        return ServingWorkspace(
            endpoints=endpoints,
            predictions=TreePredictionFiles(self._folder(workspace, "predictions")),
            batch=AzureBatchEngine(
                self._exchange(workspace),
                AzureScoring(clients, workspace, endpoints.served_by),
            ),
        )

    def slots(self, limit: Callable[[], int]) -> TrainingSlots:
        """The limit on circuits in training, over every process of the home."""
        from mlops_assets.adapters.azure.slots import BlobTrainingSlots

        return BlobTrainingSlots(self.blobs("dev", "dev", "locks/training"), limit)

    def fitting(self, workers: int, policy: Policy) -> FittingEngine:
        """Fits as jobs of the dev workspace."""
        from mlops_assets.adapters.azure.code import CodeAsset
        from mlops_assets.adapters.azure.jobs import AzureFits
        from mlops_assets.engines.azureml.fitting import AzureFittingEngine

        clients, limit = self.clients("dev"), policy.maximum_parallel_training
        code = CodeAsset(clients, "dev", self.blobs("dev", "dev", "code"))
        return AzureFittingEngine(
            min(workers, limit),
            self.slots(lambda: limit),
            self._exchange("dev"),
            AzureFits(clients, code),
            timeout_seconds=60.0 * policy.training_timeout_minutes,
            memory_bytes=policy.training_memory_gigabytes * GIGABYTE,
        )

    def storage(self) -> Storage:
        """What a home holds, as things that this host may remove."""
        from mlops_assets.adapters.azure.retention import BlobStorage

        every: dict[Kind, BlobTree] = {
            "training_data": self._folder("dev", "data"),
            "dev_model": self._folder("dev", "models"),
            "evidence": self._folder("dev", "evidence"),
            "dev_environment": self._folder("dev", "environments"),
            "page": self._folder("dev", "evidence/releases"),
            "registry_model": self.tree("release", "registry", "models", "registry/models"),
            "registry_environment": self.tree(
                "release", "registry", "environments", "registry/environments"
            ),
            "drill": self._folder("prod", "drills"),
            "test_predictions": self._folder("test", "predictions"),
            "prod_predictions": self._folder("prod", "predictions"),
        }
        places: dict[str, Container] = {
            "workspaces/dev": "dev",
            "workspaces/test": "test",
            "workspaces/prod": "prod",
            "registry": "registry",
        }
        mine = [home for home, container in places.items() if may(self.backend, container, "write")]
        trees = {kind: tree for kind, tree in every.items() if tree.path().startswith(tuple(mine))}
        return BlobStorage(trees, self.tree("release", "ledger", "locks", "locks"))

    def monitoring(self) -> Monitoring | None:
        """Who takes the figures; nobody where the settings name no monitor."""
        if self.backend.monitor is None:
            return None
        from mlops_assets.adapters.azure.identity import credential
        from mlops_assets.adapters.azure.monitor import AzureSentRows, azure_monitor
        from mlops_assets.ports import Monitoring

        who = credential(self.backend, "prod")
        return Monitoring(
            monitor=azure_monitor(self.backend.monitor, who, self._environ),
            sent=AzureSentRows(self.blobs("prod", "prod", "monitoring")),
        )

    def _folder(self, workspace: Literal["dev", "test", "prod"], name: str) -> BlobTree:
        return self.tree(workspace, workspace, name, f"workspaces/{workspace}/{name}")

    def _log(self, kind: Literal["quarantine", "restatements"]) -> RowLog:
        from mlops_assets.adapters.azure.readings import open_row_log

        return open_row_log(self.backend, "etl", kind, environ=self._environ)

    def _exchange(self, workspace: Literal["dev", "test", "prod"]) -> Exchange:
        from mlops_assets.adapters.azure.exchange import open_exchange

        return open_exchange(self.backend, workspace, workspace, environ=self._environ)

    def _engine(self) -> LakeEngine:
        """The ETL on a pool where the settings name one, else in this process."""
        from mlops_assets.engines.polars import PolarsEngine

        here, synapse = PolarsEngine(), self.backend.synapse
        if synapse is None:
            return here
        from mlops_assets.adapters.azure.identity import credential
        from mlops_assets.adapters.azure.synapse import (
            LivyBatches,
            open_slice_exchange,
            program,
            slice_arguments,
        )
        from mlops_assets.engines.synapse import SynapseEngine

        exchange = open_slice_exchange(self.backend, "etl", environ=self._environ)
        pool = LivyBatches(
            synapse,
            credential(self.backend, "etl"),
            program=lambda: program(exchange),
            arguments=slice_arguments(self.backend),
            address=self.backend.cloud.synapse,
        )
        return SynapseEngine(pool, exchange, here, timeout_seconds=60.0 * synapse.timeout_minutes)


def _lock() -> str:
    """Return what a node installs beside a model's own packages: this program's lock for Azure."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "requirements-azure.lock", package.parent / "requirements-azure.lock"):
        if place.is_file():
            return place.read_text("utf-8")
    raise DataError(
        "requirements-azure.lock: is not installed with this package; install it from its wheel"
    )
