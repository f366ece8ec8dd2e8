"""What we need from outside, as small Protocols in our own words.

An adapter of the same noun serves each (`adapters/local/<noun>.py`); `resources.py` alone knows
which. Every write is atomic and may be repeated; every read gives what was written or raises an
`errors.MlopsError` that names the thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, datetime

    import polars as pl

    from mlops_assets.domain.alert import Channel, Letter
    from mlops_assets.domain.circuit import AlertPolicy, Environment
    from mlops_assets.domain.deployment import Deployment, LiveManifest
    from mlops_assets.domain.evidence import Evidence
    from mlops_assets.domain.identifiers import CircuitKey, DataVersion, EnvironmentRef
    from mlops_assets.domain.model import FitJob, FitResult, ModelRecord
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.release import LedgerEntry
    from mlops_assets.domain.rollout import Applied, ApplyJob
    from mlops_assets.domain.training_data import TrainingData


class Clock(Protocol):
    """The one source of the present."""

    def now(self) -> datetime:
        """Return the present, aware and UTC."""


class Progress(Protocol):
    """Where long work says how far it is: a terminal bar, a run's log, or nowhere."""

    def begin(self, what: str, total: int) -> None:
        """Start a new count."""

    def advance(self, label: str = "") -> None:
        """One more is done."""

    def say(self, line: str) -> None:
        """One line for whoever watches."""


# --- the lake -------------------------------------------------------------------------------


class LandingZone(Protocol):
    """Raw files as plants sent them (`lake/raw`)."""

    def files(self) -> Sequence[RawFile]:
        """Every file, sorted by path."""

    def read(self, file: RawFile) -> bytes:
        """The bytes; DataError when they are no longer those of ``file``."""

    def put(self, path: str, data: bytes) -> RawFile:
        """Add one file atomically (simulator, init)."""


class IngestJournal(Protocol):
    """Which raw files are in the table: intent before the merge, confirmed by the commit."""

    def confirmed(self) -> frozenset[RawFile]:
        """Files already merged or quarantined whole."""

    def intend(self, slice_id: str, files: Sequence[RawFile]) -> None:
        """Say what the next merge will hold."""

    def pending(self) -> Mapping[str, Sequence[RawFile]]:
        """Intents not yet confirmed, by slice id."""

    def confirm(self, slice_id: str, delta_version: int | None) -> None:
        """Close an intent; repeating it changes nothing."""

    def withdraw(self, slice_id: str) -> None:
        """Forget an intent of which nothing was merged."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ETL against other slices of this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What one merge did. ``changed`` holds key, old and new value of rows that it updated."""

    inserted: int
    updated: int
    unchanged: int
    delta_version: int
    changed: pl.DataFrame


class ReadingsTable(Protocol):
    """`lake/readings`: one Delta table, key (plant_id, circuit_id, timestamp)."""

    def exists(self) -> bool:
        """Whether any slice was ever merged."""

    def version(self) -> int:
        """The newest Delta version."""

    def merge(self, rows: pl.DataFrame, *, slice_id: str) -> MergeResult:
        """Insert and update in one commit, retried on conflict; a merged slice is not repeated."""

    def merged(self, slice_id: str) -> int | None:
        """The Delta version that holds this slice, if any."""

    def read(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        circuits: Iterable[CircuitKey] | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted by key; reads only files of those dates."""

    def columns(self) -> Sequence[str]:
        """Column names in order."""

    def newest(self) -> datetime | None:
        """The newest timestamp with a value."""

    def summary(self) -> pl.DataFrame:
        """Per circuit: plant_id, circuit_id, rows, first_timestamp, last_timestamp."""


class RowLog(Protocol):
    """An append-only Delta table of rows that need no key: quarantine, restatements."""

    def append(self, rows: pl.DataFrame, *, slice_id: str) -> None:
        """Add rows once per slice id."""

    def read(self, circuits: Iterable[CircuitKey] | None = None) -> pl.DataFrame:
        """All rows, sorted; an empty frame when there is none."""


class PredictionsTable(Protocol):
    """`lake/predictions`: key (plant_id, circuit_id, issued_for, timestamp)."""

    def replace(self, rows: pl.DataFrame, *, issued_for: date) -> int:
        """Write the rows' circuits for one day in one commit; returns the rows written."""

    def read(
        self,
        *,
        issued_for: date | None = None,
        first: date | None = None,
        last: date | None = None,
        circuits: Iterable[CircuitKey] | None = None,
    ) -> pl.DataFrame:
        """Rows of a day or of days first..last, sorted by key."""

    def version(self) -> int | None:
        """The newest Delta version, None when nothing was ever predicted."""


class QualityTable(Protocol):
    """`lake/quality`: key (plant_id, circuit_id, issued_for)."""

    def replace(self, rows: pl.DataFrame) -> int:
        """Write rows, replacing those with the same key; returns the rows that changed."""

    def read(
        self, *, first: date | None = None, circuits: Iterable[CircuitKey] | None = None
    ) -> pl.DataFrame:
        """Rows sorted by key."""


# --- workspaces and registry ----------------------------------------------------------------


class TrainingDataStore(Protocol):
    """Training-data assets of the dev workspace, MLTable folders."""

    def register(self, data: TrainingData, rows: pl.DataFrame) -> TrainingData:
        """Write the folder and register it; the same content again is the same asset."""

    def get(self, circuit: CircuitKey, version: DataVersion) -> TrainingData:
        """One asset; DataError when there is none."""

    def versions(self, circuit: CircuitKey) -> Sequence[TrainingData]:
        """All assets, oldest version first."""

    def rows(self, data: TrainingData) -> pl.DataFrame:
        """The rows, after checking them against the content digest."""


class ModelRegistry(Protocol):
    """Model versions: the dev workspace's, or the shared registry's."""

    def register(
        self, record: ModelRecord, files: Mapping[str, bytes], proof: bytes = b""
    ) -> ModelRecord:
        """Store under ``record.version``; the same model again returns what is there.

        StaleError when that version is another model. ``proof`` says how the model was chosen: it
        is kept and checked beside the model's files, and is no part of its digest.
        """

    def next_version(self, circuit: CircuitKey) -> int:
        """One more than the highest integer version."""

    def get(self, circuit: CircuitKey, version: int) -> ModelRecord:
        """One version; ModelError when there is none."""

    def versions(self, circuit: CircuitKey) -> Sequence[ModelRecord]:
        """All versions, lowest first (10 after 9)."""

    def circuits(self) -> Sequence[CircuitKey]:
        """Every circuit that has a version, sorted."""

    def files(self, record: ModelRecord) -> Mapping[str, bytes]:
        """The bytes, read once and checked against ``record.digest``."""

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

    def read_release(self, release: str, kind: str) -> bytes | None:
        """A release's evidence, if there is any."""

    def publish_page(self, release: str, html: bytes) -> str:
        """Replace the page that shows a release to people; returns its path from the home."""


class Endpoints(Protocol):
    """Per-plant endpoints of one serving workspace (test or prod)."""

    def live(self, plant_id: str) -> LiveManifest:
        """What the plant serves, generation 0 and empty when nothing was deployed."""

    def plants(self) -> Sequence[str]:
        """Plants with an endpoint, sorted."""

    def swap(self, expected: LiveManifest, wanted: LiveManifest) -> None:
        """Replace the whole file if it still is ``expected``, else StaleError."""

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

    def names(self) -> Sequence[str]:
        """The drills that are kept, oldest first."""

    def read(self, name: str) -> bytes:
        """One drill; DataError when there is none."""


class FittingEngine(Protocol):
    """Where fits run. One failure never stops another."""

    @property
    def workers(self) -> int:
        """How many fits run at once here, never more than the machine has cores."""

    def fit(self, jobs: Sequence[FitJob]) -> Iterable[tuple[CircuitKey, FitResult | str]]:
        """Yield each circuit's result, or the sentence that says why it failed, as they finish."""


class Interpreters(Protocol):
    """Environments as they run: an interpreter with exactly an environment's packages."""

    def apply(
        self, environment: Environment, jobs: Sequence[ApplyJob]
    ) -> Mapping[CircuitKey, Applied]:
        """Apply models there, without fitting; what one model does stops no other.

        RefusedError when there is no such interpreter; it says how to make one.
        """


class TrainingSlots(Protocol):
    """The limit on circuits in training, over every process of the home."""

    def take(self) -> AbstractContextManager[int]:
        """Wait for a slot and hold it."""


class NotebookRenderer(Protocol):
    """Executes a notebook in a warm kernel and renders it."""

    def render(self, notebook: bytes, parameters: Mapping[str, Any]) -> RenderedNotebook:
        """Run every cell in a clean namespace; the bytes repeat for the same input."""

    def close(self) -> None:
        """Stop the kernel."""


@dataclass(frozen=True, slots=True)
class RenderedNotebook:
    """An executed notebook. ``error`` is the first failing cell's message, if any."""

    ipynb: bytes
    html: bytes
    error: str | None


# --- decisions and desire -------------------------------------------------------------------


class Ledger(Protocol):
    """Write-once files and one hash-chained log."""

    def append(self, event: str, actor: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        """Add one entry under the lock, fsynced and anchored before this returns."""

    def entries(self) -> Sequence[LedgerEntry]:
        """All entries, the chain checked; a broken one raises RefusedError and is named."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ledger over a read and an append; may be nested in one process."""

    def put(self, kind: str, name: str, data: bytes) -> bool:
        """Write ``ledger/<kind>/<name>`` once; False when the same bytes were there already."""

    def get(self, kind: str, name: str) -> bytes | None:
        """Read such a file."""

    def names(self, kind: str) -> Sequence[str]:
        """Names under ``ledger/<kind>``, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """One commit of the config repository. People are e-mail addresses."""

    commit: str
    author: str
    committer: str
    co_authors: tuple[str, ...]
    reviewers: tuple[str, ...]
    subject: str
    committed_at: datetime
    pull_request: str | None


class ConfigRepository(Protocol):
    """The git repository that says what should exist, read at commits, never the work tree."""

    @property
    def ref(self) -> str:
        """The watched ref, such as refs/heads/main."""

    def head(self, ref: str | None = None) -> str:
        """The commit at a ref (the watched one by default)."""

    def root_commit(self) -> str:
        """The first commit."""

    def contains(self, ancestor: str, commit: str) -> bool:
        """Whether ``ancestor`` is ``commit`` or one of its ancestors."""

    def files(self, commit: str) -> Mapping[str, bytes]:
        """Config files at a commit by path (YAML, and everything in trust/)."""

    def working_files(self) -> Mapping[str, bytes]:
        """The same from the work tree, for `plan --working-tree`."""

    def dirty(self) -> bool:
        """Whether the work tree differs from the head commit."""

    def changed(self, before: str, after: str) -> Sequence[str]:
        """Paths that differ between two commits."""

    def log(self, path: str | None, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits in ``since..until`` that touch ``path``, newest first."""

    def commit(
        self, files: Mapping[str, bytes], *, message: str, author: str, branch: str | None
    ) -> str:
        """Commit files on the watched ref's branch, or on a new branch; returns the commit."""

    def anchor(self, text: str) -> None:
        """Write the ledger's head as a git note on the root commit."""

    def anchored(self) -> Sequence[str]:
        """Every text ever anchored, oldest first."""


class HomePlace(Protocol):
    """Where a home lies, while it is made."""

    def begin(self, document: Mapping[str, Any]) -> bool:
        """Claim an empty place for what ``document`` says; True when it is whole already.

        HomeError when something else is there.
        """

    def finish(self) -> None:
        """Say that the home is whole."""


# --- people who are told --------------------------------------------------------------------


class Alerts(Protocol):
    """Where people hear of an incident: terminal and file, a webhook, e-mail."""

    def send(self, letter: Letter, channel: Channel) -> None:
        """Hand one alert over; sending it again is harmless.

        DataError when the receiver takes nothing now, RefusedError when it never takes this one.
        """


class AlertLog(Protocol):
    """What was raised and sent: `alerts/` of the home, each file written once."""

    def put(self, kind: str, name: str, data: bytes) -> bool:
        """Write ``alerts/<kind>/<name>``; False when the name is taken already."""

    def get(self, kind: str, name: str) -> bytes | None:
        """Read such a file."""

    def names(self, kind: str) -> Sequence[str]:
        """Names under ``alerts/<kind>``, sorted."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the sending against other senders of this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """How a home tells people: what was sent, and the receivers that a policy names."""

    log: AlertLog
    receivers: Callable[[AlertPolicy], Alerts]


# --- what serves them -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """The lake's tables and zones.

    ``hindcasts`` has the form of ``quality``: what the deployment before the live one would have
    scored on the same days.
    """

    landing: LandingZone
    journal: IngestJournal
    readings: ReadingsTable
    quarantine: RowLog
    restatements: RowLog
    predictions: PredictionsTable
    quality: QualityTable
    hindcasts: QualityTable


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWorkspace:
    """Test or prod: endpoints and what they predicted. Nothing here can train."""

    endpoints: Endpoints
    predictions: PredictionFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Every port of one home. Flows take the parts they need, serving flows never ``dev``."""

    kind: Literal["init", "demo"]
    clock: Clock
    config: ConfigRepository
    ledger: Ledger
    lake: Lake
    dev: DevWorkspace
    registry: SharedRegistry
    test: ServingWorkspace
    prod: ServingWorkspace
    slots: TrainingSlots
    engine: Callable[[int], FittingEngine]
    renderer: Callable[[], NotebookRenderer]
    interpreters: Interpreters | None = None
