"""Which adapter serves which port of the lake, the workspaces and the registry on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import (
        DevWorkspace,
        Historian,
        Lake,
        LakeEngine,
        ReadingsTable,
        ServingWorkspace,
        SharedRegistry,
        TableUpkeep,
    )
    from mlops_assets.settings import HomeLayout


def upkeep_of(layout: HomeLayout) -> dict[str, TableUpkeep]:
    from mlops_assets.adapters.delta.readings import ORDER
    from mlops_assets.adapters.delta.upkeep import DeltaTableUpkeep
    from mlops_assets.adapters.local.delta import DeltaFolder

    tables = {
        "quarantine": layout.quarantine,
        "restatements": layout.restatements,
        "predictions": layout.predictions,
        "quality": layout.quality,
        "hindcasts": layout.hindcasts,
    }
    found: dict[str, TableUpkeep] = {
        "readings": DeltaTableUpkeep(DeltaFolder(layout.readings), ORDER)
    }
    return found | {name: DeltaTableUpkeep(DeltaFolder(path)) for name, path in tables.items()}


def lake_of(layout: HomeLayout, sessions: SparkSessions | None = None) -> Lake:
    from mlops_assets.adapters.local.forecast import LocalPredictionsTable
    from mlops_assets.adapters.local.journal import LocalIngestJournal
    from mlops_assets.adapters.local.landing import LocalLandingZone
    from mlops_assets.adapters.local.quality import LocalQualityTable
    from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
    from mlops_assets.ports import Lake

    def historian() -> Historian:
        from mlops_assets.adapters.local.historian import SqlHistorian

        return SqlHistorian(os.environ)

    readings: ReadingsTable = LocalReadingsTable(layout.readings)
    engine: LakeEngine
    if sessions is None:
        from mlops_assets.engines.polars import PolarsEngine

        engine = PolarsEngine()
    else:
        from mlops_assets.engines.spark.lake import SparkLakeEngine
        from mlops_assets.engines.spark.readings import SparkReadingsTable

        engine = SparkLakeEngine(sessions)
        uri = layout.readings.as_uri()
        readings = SparkReadingsTable(readings, uri, sessions)
    return Lake(
        landing=LocalLandingZone(layout.raw, seen=layout.ingested / "seen.json"),
        journal=LocalIngestJournal(layout.ingested),
        readings=readings,
        quarantine=LocalRowLog(layout.quarantine, "quarantine"),
        restatements=LocalRowLog(layout.restatements, "restatements"),
        predictions=LocalPredictionsTable(layout.predictions),
        quality=LocalQualityTable(layout.quality),
        hindcasts=LocalQualityTable(layout.hindcasts),
        historian=historian,
        upkeep=upkeep_of(layout),
        engine=engine,
    )


def dev_of(layout: HomeLayout) -> DevWorkspace:
    from mlops_assets.adapters.local.environment import LocalEnvironmentRegistry
    from mlops_assets.adapters.local.evidence import LocalEvidenceStore
    from mlops_assets.adapters.local.model import LocalModelRegistry
    from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
    from mlops_assets.ports import DevWorkspace

    return DevWorkspace(
        training_data=LocalTrainingDataStore(layout.dev_data, layout.root),
        models=LocalModelRegistry(layout.dev_models, layout.root),
        environments=LocalEnvironmentRegistry(layout.dev_environments),
        evidence=LocalEvidenceStore(layout.dev_evidence, layout.root),
    )


def registry_of(layout: HomeLayout) -> SharedRegistry:
    from mlops_assets.adapters.local.environment import LocalEnvironmentRegistry
    from mlops_assets.adapters.local.model import LocalModelRegistry
    from mlops_assets.ports import SharedRegistry

    return SharedRegistry(
        models=LocalModelRegistry(layout.registry_models, layout.root),
        environments=LocalEnvironmentRegistry(layout.registry_environments),
    )


def serving_of(layout: HomeLayout, workspace: Literal["test", "prod"]) -> ServingWorkspace:
    from mlops_assets.adapters.local.deployment import LocalEndpoints
    from mlops_assets.adapters.local.forecast import LocalPredictionFiles
    from mlops_assets.adapters.local.plant_models import LocalPlantModels
    from mlops_assets.adapters.local.proven import LocalProvenModels
    from mlops_assets.ports import ServingWorkspace

    return ServingWorkspace(
        endpoints=LocalEndpoints(layout.endpoints(workspace)),
        predictions=LocalPredictionFiles(layout.prediction_files(workspace), layout.root),
        proven=LocalProvenModels(layout.interpreters / "proven.json"),
        models=LocalPlantModels(layout.plant_models) if workspace == "prod" else None,
    )
