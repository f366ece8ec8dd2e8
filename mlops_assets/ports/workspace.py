"""Workspaces and the shared registry: what is trained, proved, deployed and predicted there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date

    import polars as pl

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.evidence import Evidence
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey, DataVersion, EnvironmentRef
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.domain.training_data import TrainingData
    from mlops_assets.ports.engine import BatchEngine


class TrainingDataStore(Protocol):
    """Training-data assets of the dev workspace, MLTable folders."""

    def register(self, data: TrainingData, rows: pl.DataFrame) -> TrainingData:
        """Write the folder and register it; the same content again is the same asset.

        ForeignError when something beside this store gives that version to another thing.
        """

    def show(self, data: TrainingData) -> None:
        """Register what is stored where something beside this store names it, and does not yet.

        ForeignError when that gives the version to another thing.
        """

    def get(self, circuit: CircuitKey, version: DataVersion) -> TrainingData:
        """One asset; DataError when there is none."""

    def versions(self, circuit: CircuitKey) -> Sequence[TrainingData]:
        """All assets, oldest version first."""

    def rows(self, data: TrainingData) -> pl.DataFrame:
        """The rows, after checking them against the content digest."""


class RegisteredModels(Protocol):
    """What serving asks of a registry."""

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        """One version; ModelError when there is none."""

    def files(self, record: ModelRecord) -> Mapping[str, bytes]:
        """The bytes, read once and checked against ``record.digest``."""


class ModelRegistry(RegisteredModels, Protocol):
    """Model versions: the dev workspace's, or the shared registry's."""

    def register(
        self, record: ModelRecord, files: Mapping[str, bytes], proof: bytes = b""
    ) -> ModelRecord:
        """Store under ``record.version``; the same model again returns what is there.

        StaleError when that version is another model, ForeignError when something beside the
        registry gives it to another thing: it is stored then, and named nowhere. ``proof``
        says how the model was chosen: it is kept and checked beside the model's files, and is
        no part of its digest.
        """

    def publish(self, records: Sequence[ModelRecord]) -> Iterator[CircuitKey]:
        """Show registered versions where something beside the registry names them, all together.

        Yields each circuit when it is done, in order; the first that cannot be shown is raised when
        the others are through. Again, it does what is left.
        """

    def next_version(self, circuit: CircuitKey) -> int:
        """One more than the highest integer version."""

    def versions(self, circuit: CircuitKey) -> Sequence[ModelRecord]:
        """All versions, lowest first (10 after 9)."""

    def circuits(self) -> Sequence[CircuitKey]:
        """Every circuit that has a version, sorted."""

    def proof(self, record: ModelRecord) -> bytes:
        """What was registered as proof, checked; empty when there was none."""

    def folder(self, record: ModelRecord) -> str:
        """Where it lies, for people and for notebooks, relative to the home."""


class EnvironmentRegistry(Protocol):
    """Environment versions with their digests."""

    def register(self, environment: Environment) -> Environment:
        """Fix the digest of a version; other content under it is refused."""

    def get(self, ref: EnvironmentRef) -> Environment | None:
        """One version, if registered."""

    def list(self) -> Sequence[Environment]:
        """All versions, sorted."""


class EvidenceStore(Protocol):
    """Evidence bundles of the dev workspace, one folder a model version."""

    def put(
        self, circuit: CircuitKey, model_version: int, files: Mapping[str, bytes], run: bytes
    ) -> Evidence:
        """Store a bundle: digested files by kind and extension, and the undigested ``run.json``."""

    def get(self, circuit: CircuitKey, model_version: int) -> Evidence | None:
        """The bundle, its files checked against its digests."""

    def read(self, circuit: CircuitKey, model_version: int, kind: str) -> bytes:
        """One file's bytes by kind, or by file name, checked."""

    def folder(self, circuit: CircuitKey, model_version: int) -> str:
        """Where it lies, relative to the home."""

    def put_release(self, release: str, kind: str, data: bytes) -> str:
        """Store evidence of a whole release once; returns its SHA-256."""

    def replace_release(self, release: str, kind: str, data: bytes) -> str:
        """Store such evidence in the place of whatever was there; returns its SHA-256.

        For what the ledger names next: nothing that lay there before was ever believed.
        """

    def read_release(self, release: str, kind: str) -> bytes | None:
        """A release's evidence, if there is any."""

    def publish_page(self, release: str, html: bytes) -> str:
        """Replace the page that shows a release to people; returns its path from the home."""

    def page(self, release: str) -> str | None:
        """Where that page lies, from the home; None where there is none."""


class Endpoints(Protocol):
    """Per-plant endpoints of one serving workspace (test or prod)."""

    def live(self, plant_id: str) -> LiveManifest:
        """What the plant serves, generation 0 and empty when nothing was deployed."""

    def plants(self) -> Sequence[str]:
        """Plants with an endpoint, sorted."""

    def room(self, circuits: Collection[CircuitKey]) -> Verdict | None:
        """Whether these fit beside what is live; None where nothing is counted."""

    def prepare(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Make recorded deployments ready to serve; what is live goes on serving meanwhile.

        The caller holds their plants' locks and gives all of them at once, because each may take
        minutes. Again, it does what is left.

        Returns:
            The plants that are not ready, each with the sentence that says why; empty: all are.

        Raises:
            RefusedError: E_QUOTA, where they do not fit; nothing was changed.
        """

    def swap(self, expected: LiveManifest, wanted: LiveManifest) -> None:
        """Replace the whole file if it still is ``expected``, else StaleError.

        Every deployment that comes new must be prepared.
        """

    def announce(self, plants: Collection[str]) -> None:
        """Repeat what is live where something beside the live manifest shows it to people.

        Nothing is served by it: what cannot be told now is logged, and told the next time.
        """

    def differences(self) -> Sequence[str]:
        """Where what serves is not what the live manifests say, a sentence each."""

    def outdated(self) -> Sequence[Deployment]:
        """What is live and served by the code of another version of the platform.

        It serves on; to prepare it makes it anew beside what serves.
        """

    def lock(self, plant_id: str) -> AbstractContextManager[None]:
        """Hold the plant against other writers."""

    def record(self, deployment: Deployment) -> None:
        """Keep a deployment for good (write once), so that rollback finds it."""

    def recorded(self, circuit: CircuitKey, release: str) -> Deployment | None:
        """A deployment that was ever made here."""


class PredictionFiles(Protocol):
    """`workspaces/<name>/predictions/P001/C003/YYYY-MM-DD.parquet`."""

    def write(self, circuit: CircuitKey, issued_for: date, rows: pl.DataFrame) -> str:
        """Write one file, complete or not at all; returns its path relative to the home."""

    def exists(self, circuit: CircuitKey, issued_for: date) -> bool:
        """Whether the file is there."""


class DrillFiles(Protocol):
    """`workspaces/prod/drills/`: one file a rollback drill."""

    def write(self, name: str, data: bytes) -> str:
        """Keep one drill; returns its path relative to the home."""

    def path(self, name: str) -> str:
        """Where a drill lies, relative to the home."""

    def names(self) -> Sequence[str]:
        """The drills that are kept, oldest first."""

    def read(self, name: str) -> bytes:
        """One drill; DataError when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevWorkspace:
    """Where models are trained and proved."""

    training_data: TrainingDataStore
    models: ModelRegistry
    environments: EnvironmentRegistry
    evidence: EvidenceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRegistry:
    """What passed the first approval."""

    models: ModelRegistry
    environments: EnvironmentRegistry


class ProvenModels(Protocol):
    """Digests of models whose golden forecast was reproduced by what runs here."""

    def known(self) -> frozenset[str]:
        """Those remembered; none where anything that computes a forecast is another now."""

    def remember(self, digests: Iterable[str]) -> None:
        """Keep exactly these from now on."""


class PlantModels(Protocol):
    """Copies of the models that a plant serves, to be read together."""

    def listed(self, plant_id: str) -> frozenset[str]:
        """The digests that the copies are said to have; no model is read for it."""

    def read(self, plant_id: str) -> Mapping[str, Mapping[str, bytes]]:
        """The files of models by digest, each checked against it; none where none is kept."""

    def write(self, plant_id: str, models: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep exactly these models of a plant from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWorkspace:
    """Test or prod: endpoints and what they predicted. Nothing here can train.

    Without ``proven`` every process asks every model for its golden forecast, without ``models``
    each is read from the registry. ``batch`` is there where the endpoints apply models themselves.
    """

    endpoints: Endpoints
    predictions: PredictionFiles
    proven: ProvenModels | None = None
    models: PlantModels | None = None
    batch: BatchEngine | None = None
