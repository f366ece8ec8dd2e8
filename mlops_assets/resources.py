"""The one place that knows which adapter serves which port.

Adapters load here, inside functions, so that a process which needs no table loads no table library.
Dagster's assets and the command line get the same `Platform` from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from mlops_assets.settings import WATCHED_REF, LocalBackend

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.ports import (
        Clock,
        ConfigRepository,
        DevWorkspace,
        FittingEngine,
        Lake,
        LandingZone,
        NotebookRenderer,
        Platform,
        ServingWorkspace,
        SharedRegistry,
    )
    from mlops_assets.settings import HomeLayout, Settings


def open_platform(settings: Settings, clock: Clock | None = None) -> Platform:
    """Return every port of a home.

    Raises:
        HomeError: there is no home, or it has another format; the line says what to run.
    """
    match settings.backend:
        case LocalBackend():
            return _open_local(settings, clock)
        case other:
            assert_never(other)


def landing_zone(folder: Path) -> LandingZone:
    """Return a landing zone of its own, for `ingest --raw`."""
    from mlops_assets.adapters.local.landing import LocalLandingZone

    return LocalLandingZone(folder)


def config_repository(settings: Settings) -> ConfigRepository:
    """Return the config repository, also where there is no home yet."""
    from mlops_assets.adapters.local.config import GitConfigRepository

    return GitConfigRepository(settings.config, WATCHED_REF)


def _open_local(settings: Settings, clock: Clock | None) -> Platform:
    from mlops_assets.adapters.local.clock import SystemClock
    from mlops_assets.adapters.local.ledger import LocalLedger
    from mlops_assets.adapters.local.slots import LocalTrainingSlots
    from mlops_assets.ports import Platform

    layout = settings.layout
    kind = layout.kind()
    config = config_repository(settings)

    def slots_allowed() -> int:
        from mlops_assets.flows.plan import config_at

        return config_at(platform).policy.maximum_parallel_training

    slots = LocalTrainingSlots(layout.locks / "training", slots_allowed)

    def engine(workers: int) -> FittingEngine:
        from mlops_assets.engines.processes import ProcessEngine

        # Asked once a training, not once a worker: the answer costs a reading of all config.
        return ProcessEngine(workers, LocalTrainingSlots(slots.folder, slots.limit))

    def renderer() -> NotebookRenderer:
        from mlops_assets.adapters.local.notebook import KernelRenderer

        return KernelRenderer(settings.home, settings.config)

    platform = Platform(
        kind=kind,
        clock=clock or SystemClock(),
        config=config,
        ledger=LocalLedger(layout.ledger, config.anchor, config.anchored),
        lake=_lake(layout),
        dev=_dev(layout),
        registry=_registry(layout),
        test=_serving(layout, "test"),
        prod=_serving(layout, "prod"),
        slots=slots,
        engine=engine,
        renderer=renderer,
    )
    return platform


def _lake(layout: HomeLayout) -> Lake:
    from mlops_assets.adapters.local.forecast import LocalPredictionsTable
    from mlops_assets.adapters.local.journal import LocalIngestJournal
    from mlops_assets.adapters.local.quality import LocalQualityTable
    from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
    from mlops_assets.ports import Lake

    return Lake(
        landing=landing_zone(layout.raw),
        journal=LocalIngestJournal(layout.ingested),
        readings=LocalReadingsTable(layout.readings),
        quarantine=LocalRowLog(layout.quarantine, "quarantine"),
        restatements=LocalRowLog(layout.restatements, "restatements"),
        predictions=LocalPredictionsTable(layout.predictions),
        quality=LocalQualityTable(layout.quality),
    )


def _dev(layout: HomeLayout) -> DevWorkspace:
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


def _registry(layout: HomeLayout) -> SharedRegistry:
    from mlops_assets.adapters.local.environment import LocalEnvironmentRegistry
    from mlops_assets.adapters.local.model import LocalModelRegistry
    from mlops_assets.ports import SharedRegistry

    return SharedRegistry(
        models=LocalModelRegistry(layout.registry_models, layout.root),
        environments=LocalEnvironmentRegistry(layout.registry_environments),
    )


def _serving(layout: HomeLayout, workspace: Literal["test", "prod"]) -> ServingWorkspace:
    from mlops_assets.adapters.local.deployment import LocalEndpoints
    from mlops_assets.adapters.local.forecast import LocalPredictionFiles
    from mlops_assets.ports import ServingWorkspace

    return ServingWorkspace(
        endpoints=LocalEndpoints(layout.endpoints(workspace)),
        predictions=LocalPredictionFiles(layout.prediction_files(workspace), layout.root),
    )
