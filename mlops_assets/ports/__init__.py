"""What we need from outside, as small Protocols in our own words.

An adapter of the same noun serves each (`adapters/local/<noun>.py`); `resources` alone knows
which. Every write is atomic and may be repeated; every read gives what was written or raises an
`errors.MlopsError` that names the thing.
"""

from mlops_assets.ports.alert import Alerting, AlertLog, Alerts
from mlops_assets.ports.clock import Clock, Progress
from mlops_assets.ports.decision import (
    CommitInfo,
    ConfigRepository,
    HomePlace,
    Ledger,
    Signer,
)
from mlops_assets.ports.engine import (
    Arrived,
    BatchEngine,
    BatchWork,
    FittingEngine,
    Interpreters,
    LakeEngine,
    NotebookRenderer,
    RenderedNotebook,
    SliceRules,
    TrainingSlots,
    TransformEngine,
)
from mlops_assets.ports.historian import Historian
from mlops_assets.ports.lake import (
    IngestJournal,
    Lake,
    LandingZone,
    MergeResult,
    PredictionsTable,
    QualityTable,
    ReadingsTable,
    RowLog,
)
from mlops_assets.ports.monitor import Monitor, Monitoring, SentRows
from mlops_assets.ports.platform import Platform
from mlops_assets.ports.remote import (
    Exchange,
    RemoteFits,
    RemoteScoring,
    RemoteState,
    RemoteWork,
)
from mlops_assets.ports.retention import Storage
from mlops_assets.ports.upkeep import TableUpkeep, Tidied
from mlops_assets.ports.workspace import (
    DevWorkspace,
    DrillFiles,
    Endpoints,
    EnvironmentRegistry,
    EvidenceStore,
    ModelRegistry,
    PlantModels,
    PredictionFiles,
    ProvenModels,
    RegisteredModels,
    ServingWorkspace,
    SharedRegistry,
    TrainingDataStore,
)

__all__ = [
    "AlertLog",
    "Alerting",
    "Alerts",
    "Arrived",
    "BatchEngine",
    "BatchWork",
    "Clock",
    "CommitInfo",
    "ConfigRepository",
    "DevWorkspace",
    "DrillFiles",
    "Endpoints",
    "EnvironmentRegistry",
    "EvidenceStore",
    "Exchange",
    "FittingEngine",
    "Historian",
    "HomePlace",
    "IngestJournal",
    "Interpreters",
    "Lake",
    "LakeEngine",
    "LandingZone",
    "Ledger",
    "MergeResult",
    "ModelRegistry",
    "Monitor",
    "Monitoring",
    "NotebookRenderer",
    "PlantModels",
    "Platform",
    "PredictionFiles",
    "PredictionsTable",
    "Progress",
    "ProvenModels",
    "QualityTable",
    "ReadingsTable",
    "RegisteredModels",
    "RemoteFits",
    "RemoteScoring",
    "RemoteState",
    "RemoteWork",
    "RenderedNotebook",
    "RowLog",
    "SentRows",
    "ServingWorkspace",
    "SharedRegistry",
    "Signer",
    "SliceRules",
    "Storage",
    "TableUpkeep",
    "Tidied",
    "TrainingDataStore",
    "TrainingSlots",
    "TransformEngine",
]
