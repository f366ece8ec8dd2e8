"""The one place that knows which adapter serves which port.

Adapters load here, inside functions, so that a process which needs no table loads no table library.
Dagster's assets and the command line get the same `Platform` from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from mlops_assets.domain.errors import HomeError, UsageError
from mlops_assets.settings import WATCHED_REF, HomeLayout, LocalBackend, LocalEngine, SparkEngine
from mlops_assets.stores.local import dev_of, lake_of, registry_of, serving_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import SparkSession

    from mlops_assets.adapters.local.backup import LocalBackup
    from mlops_assets.adapters.local.config import GitConfigRepository
    from mlops_assets.domain.circuit import Policy
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import (
        Alerting,
        Clock,
        DrillFiles,
        FittingEngine,
        LandingZone,
        Monitoring,
        NotebookRenderer,
        Platform,
        Signer,
        Storage,
    )
    from mlops_assets.settings import Settings
    from mlops_assets.settings.azure import AzureBackend
    from mlops_assets.stores.azure import AzureStores


def open_platform(
    settings: Settings,
    clock: Clock | None = None,
    *,
    spark: Callable[[dict[str, str]], SparkSession] | None = None,
) -> Platform:
    """Return every port of a home; ``spark`` starts sessions where the settings choose Spark.

    Raises:
        HomeError: there is no home, or it has another format; the line says what to run.
    """
    if isinstance(settings.backend, LocalBackend):
        return _open_local(settings, clock, _sessions(settings, spark))
    return _open_azure(settings, azure_stores(settings, settings.backend, clock), clock)


def landing_zone(folder: Path) -> LandingZone:
    """Return a landing zone of its own, for `ingest --raw`."""
    from mlops_assets.adapters.local.landing import LocalLandingZone

    return LocalLandingZone(folder)


def open_alerting(settings: Settings, environ: Mapping[str, str]) -> Alerting:
    """Return how a home tells people; secrets come from ``environ``."""
    from mlops_assets.adapters.local.alert import LocalAlertLog, LocalAlerts
    from mlops_assets.adapters.tree.alert import Secrets, TreeAlertLog, TreeAlerts
    from mlops_assets.ports import Alerting

    secrets = Secrets(
        token=environ.get("MLOPS_ALERT_TOKEN", ""),
        user=environ.get("MLOPS_ALERT_SMTP_USER", ""),
        password=environ.get("MLOPS_ALERT_SMTP_PASSWORD", ""),
    )
    if settings.backend.kind == "azure":
        ledger = azure_stores(settings, settings.backend).tree("release", "ledger", "", "")
        log = azure_stores(settings, settings.backend).tree("release", "ledger", "alerts", "alerts")
        return Alerting(
            log=TreeAlertLog(log),
            receivers=lambda policy: TreeAlerts(ledger, "alerts.jsonl", policy, secrets),
        )
    layout = settings.layout
    return Alerting(
        log=LocalAlertLog(layout.alerts),
        receivers=lambda policy: LocalAlerts(layout.alerts_file, policy, secrets),
    )


def open_monitoring(settings: Settings, environ: Mapping[str, str]) -> Monitoring | None:
    """Return who takes a home's figures: what its settings name, or a folder of this machine.

    ``$MLOPS_MONITORING`` is that folder, which a collector reads; without it nobody takes them.
    """
    if settings.backend.kind == "azure":
        return azure_stores(settings, settings.backend).monitoring()
    folder = environ.get("MLOPS_MONITORING")
    if not folder:
        return None
    from mlops_assets.adapters.local.monitor import LocalMonitor, LocalSentRows
    from mlops_assets.ports import Monitoring

    place = Path(folder).expanduser()
    return Monitoring(monitor=LocalMonitor(place), sent=LocalSentRows(place))


def drill_files(settings: Settings) -> DrillFiles:
    """Return where the rollback drills of a home are kept."""
    if settings.backend.kind == "azure":
        from mlops_assets.adapters.tree.drill import TreeDrillFiles

        tree = azure_stores(settings, settings.backend).tree(
            "prod", "prod", "drills", "workspaces/prod/drills"
        )
        return TreeDrillFiles(tree)
    from mlops_assets.adapters.local.drill import LocalDrillFiles

    return LocalDrillFiles(settings.layout.drills, settings.layout.root)


def signer(key: Path) -> Signer:
    """Return who signs with a person's key file."""
    from mlops_assets.adapters.local.signature import signer as of

    return of(key)


def storage(settings: Settings) -> Storage:
    """Return what a home holds, as things that may be removed."""
    if settings.backend.kind == "azure":
        return azure_stores(settings, settings.backend).storage()
    from mlops_assets.adapters.local.retention import LocalStorage

    return LocalStorage(settings.layout)


def backups(settings: Settings, folder: Path) -> LocalBackup:
    """Return the backups of a home in a folder; the home may be absent where one is restored.

    Raises:
        UsageError: the home is on Azure.
    """
    if settings.backend.kind == "azure":
        raise UsageError(
            "a home on Azure is kept by its storage account, which keeps what is deleted for 14 "
            "days; docs/azure.md says how to go back"
        )
    from mlops_assets.adapters.local.backup import LocalBackup

    return LocalBackup(
        settings.layout,
        folder,
        ledger=lambda: open_platform(settings).ledger.lock(),  # noqa: PLW0108 may be absent
        etl=lambda: open_platform(settings).lake.journal.lock(),  # noqa: PLW0108 likewise
    )


def config_repository(settings: Settings) -> GitConfigRepository:
    """Return the config repository, also where there is no home yet."""
    if settings.backend.kind == "azure":
        return azure_stores(settings, settings.backend).config(settings.config, WATCHED_REF)
    from mlops_assets.adapters.local.config import GitConfigRepository

    return GitConfigRepository(settings.config, WATCHED_REF)


def azure_stores(
    settings: Settings, backend: AzureBackend, clock: Clock | None = None
) -> AzureStores:
    """Return the stores of a home on Azure.

    Raises:
        HomeError: what Azure needs is not installed.
    """
    from importlib.util import find_spec

    from mlops_assets.adapters.local.clock import SystemClock

    if find_spec("azure") is None or find_spec("azure.ai") is None:
        raise HomeError(
            f"{settings.home}: its settings ask for Azure, which is not installed here: "
            "`make azure`, or install mlops-assets[azure]"
        )
    from mlops_assets.stores.azure import AzureStores

    return AzureStores(backend, clock or SystemClock())


def _sessions(
    settings: Settings, start: Callable[[dict[str, str]], SparkSession] | None
) -> SparkSessions | None:
    match settings.engine:
        case LocalEngine():
            return None
        case SparkEngine(master):
            from mlops_assets.engines.spark.session import SparkSessions

            return SparkSessions(master, start=start)
        case other:
            assert_never(other)


def _open_local(
    settings: Settings, clock: Clock | None, sessions: SparkSessions | None
) -> Platform:
    from mlops_assets.adapters.local.clock import SystemClock
    from mlops_assets.adapters.local.interpreters import LocalInterpreters
    from mlops_assets.adapters.local.ledger import LocalLedger
    from mlops_assets.adapters.local.slots import LocalTrainingSlots
    from mlops_assets.ports import Platform

    layout = settings.layout
    if sessions is not None:
        # What travels to executors says where it is from anywhere.
        layout = HomeLayout(layout.root.absolute())
    kind = layout.kind()
    config = config_repository(settings)

    def at_once(allowed: int) -> int:
        from mlops_assets.engines.processes import cores

        # All processes of this machine share its cores, Spark's too; a cluster has its own.
        here = sessions is None or sessions.master.startswith("local")
        return min(allowed, cores()) if here else allowed

    slots = LocalTrainingSlots(
        layout.locks / "training", lambda: at_once(_policy(platform).maximum_parallel_training)
    )

    def engine(workers: int) -> FittingEngine:
        from mlops_assets.engines.processes import GIGABYTE, ProcessEngine

        # Asked once a training, not once a worker: the answer costs a reading of all config.
        allowed = _policy(platform)
        asked = LocalTrainingSlots(slots.folder, at_once(allowed.maximum_parallel_training))
        timeout = 60.0 * allowed.training_timeout_minutes
        memory = allowed.training_memory_gigabytes * GIGABYTE
        if sessions is not None:
            from mlops_assets.engines.spark.fitting import SparkFittingEngine

            return SparkFittingEngine(
                workers, asked, sessions, timeout_seconds=timeout, memory_bytes=memory
            )
        return ProcessEngine(workers, asked, timeout_seconds=timeout, memory_bytes=memory)

    platform = Platform(
        kind=kind,
        clock=clock or SystemClock(),
        config=config,
        ledger=LocalLedger(layout.ledger, config.anchor, config.anchored),
        lake=lake_of(layout, sessions),
        dev=dev_of(layout),
        registry=registry_of(layout),
        test=serving_of(layout, "test"),
        prod=serving_of(layout, "prod"),
        slots=slots,
        engine=engine,
        renderer=lambda: _renderer(settings),
        interpreters=LocalInterpreters(layout.interpreters),
    )
    return platform


def _open_azure(settings: Settings, azure: AzureStores, clock: Clock | None) -> Platform:
    from mlops_assets.adapters.local.clock import SystemClock
    from mlops_assets.adapters.local.interpreters import LocalInterpreters
    from mlops_assets.ports import Platform

    kind = settings.layout.kind()
    config = azure.config(settings.config, WATCHED_REF)

    def aside(workers: int) -> FittingEngine:
        from mlops_assets.adapters.local.slots import LocalTrainingSlots
        from mlops_assets.engines.processes import GIGABYTE, ProcessEngine, cores

        allowed = _policy(platform)
        slots = min(allowed.maximum_parallel_training, cores())
        return ProcessEngine(
            workers,
            LocalTrainingSlots(settings.layout.locks / "training", slots),
            timeout_seconds=60.0 * allowed.training_timeout_minutes,
            memory_bytes=allowed.training_memory_gigabytes * GIGABYTE,
        )

    platform = Platform(
        kind=kind,
        clock=clock or SystemClock(),
        config=config,
        ledger=azure.ledger(config),
        lake=azure.lake(),
        dev=azure.dev(),
        registry=azure.registry(),
        test=azure.serving("test"),
        prod=azure.serving("prod"),
        slots=azure.slots(lambda: _policy(platform).maximum_parallel_training),
        engine=lambda workers: azure.fitting(workers, _policy(platform)),
        renderer=lambda: _renderer(settings),
        interpreters=LocalInterpreters(settings.layout.interpreters),
        aside=aside,
    )
    return platform


def _policy(platform: Platform) -> Policy:
    """Return the policy of the watched ref, which may change while a process lives."""
    from mlops_assets.flows.plan import config_at

    return config_at(platform).policy


def _renderer(settings: Settings) -> NotebookRenderer:
    from mlops_assets.adapters.local.notebook import KernelRenderer

    return KernelRenderer(settings.home, settings.config)
