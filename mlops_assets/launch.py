"""Runs through Dagster, in this process, on the home's own instance: the UI shows them like any.

Nothing of Dagster loads before one of these functions is called.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from mlops_assets.domain.errors import DataError, HomeError, MlopsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import dagster as dg

    from mlops_assets.assets.home import Home
    from mlops_assets.assets.training import Trained
    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.forecast import ForecastReport
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import IngestReport
    from mlops_assets.domain.release import Stage
    from mlops_assets.flows.plan import PlanLine
    from mlops_assets.flows.promotion import Promotion
    from mlops_assets.ports import Progress
    from mlops_assets.settings import Settings

_STOP_SECONDS = 15
# Dagster's own lines stay off the terminal; the run's log has them all.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSummary:
    """What `train` did. ``broken`` are those of ``failed`` that no rule about data left out.

    ``left_over`` names the command for what should be live and is in no release that goes on.
    """

    release: str | None = None
    trained: tuple[CircuitKey, ...] = ()
    skipped: tuple[CircuitKey, ...] = ()
    failed: Mapping[CircuitKey, str] = field(default_factory=dict)
    metrics: Mapping[CircuitKey, Mapping[str, float | None]] = field(default_factory=dict)
    broken: tuple[CircuitKey, ...] = ()
    left_over: str | None = None


def ingest(settings: Settings, raw: Path | None, progress: Progress) -> IngestReport:
    """Merge one slice of new raw files."""
    from mlops_assets.assets.home import Home

    home = Home(settings, progress, raw=raw)
    _run(settings, "etl", progress, home=home)
    return cast("IngestReport", home.answers["readings"])


def train(
    settings: Settings, chosen: Sequence[CircuitKey] | None, progress: Progress
) -> TrainSummary:
    """Train what the plan names among the chosen circuits, and cut one release of it."""
    from mlops_assets.assets.home import Home
    from mlops_assets.flows.plan import left_over, plan

    home = Home(settings, progress)
    config = home.config()
    keys = set(config.circuits if chosen is None else chosen)
    lines = [line for line in plan(home.platform, config, now=home.now()) if line.circuit in keys]
    standing = _standing(home, config, lines)
    todo = [str(line.circuit) for line in lines if line.action in {"train", "redeploy"}]
    done: Trained | None = None
    if todo:
        _run_on(settings, "training", "train", todo, home)
        done = home.answers["train"]
    return replace(_summary(done, standing), left_over=left_over(lines))


@dataclass(frozen=True, slots=True)
class _Standing:
    """A circuit that nothing is to be done for; ``reason`` says why it has no model, if so."""

    reason: str | None
    left_out: bool


def _standing(
    home: Home, config: Config, lines: Sequence[PlanLine]
) -> Mapping[CircuitKey, _Standing]:
    from mlops_assets.domain.training_data import data_end
    from mlops_assets.flows.model import effective, first_readings, wanted

    firsts, models = first_readings(home.platform), home.platform.dev.models
    standing = {}
    for line in lines:
        if line.action == "none" and line.circuit in config.circuits:
            circuit = effective(config.circuits[line.circuit], firsts)
            end = data_end(circuit.spec.cutoff_date, circuit.spec.timezone)
            first = firsts.get(line.circuit)
            reason = None if wanted(models, circuit) else line.reason
            standing[line.circuit] = _Standing(reason, first is None or first >= end)
    return standing


def _summary(done: Trained | None, standing: Mapping[CircuitKey, _Standing]) -> TrainSummary:
    outcomes = done.report.outcomes if done and done.report else {}
    failed = {key: one.reason for key, one in standing.items() if one.reason}
    failed |= {
        key: reason
        for key, reason in (done.failed.items() if done else ())
        if key not in outcomes or not outcomes[key].held
    }
    left_out = {key for key, one in outcomes.items() if one.left_out}
    left_out |= {key for key, one in standing.items() if one.left_out}
    skipped = {key for key, one in standing.items() if not one.reason}
    skipped |= {key for key, one in outcomes.items() if one.status == "unchanged"}
    return TrainSummary(
        release=done.release if done else None,
        trained=tuple(
            key for key, one in outcomes.items() if one.status == "trained" and key not in failed
        ),
        skipped=tuple(sorted(skipped - failed.keys())),
        failed=dict(sorted(failed.items())),
        metrics=done.report.metrics if done and done.report else {},
        broken=tuple(sorted(failed.keys() - left_out)),
    )


def predict(
    settings: Settings,
    day: date | None,
    chosen: Sequence[CircuitKey] | None,
    progress: Progress,
) -> ForecastReport:
    """Forecast one day, today by the data's clock where none is given."""
    today = datetime.now(UTC).date()
    if day is not None:
        # Before anything of Dagster loads.
        check_day(day, today)
    from mlops_assets.assets.home import Home

    home = Home(settings, progress)
    wanted = day or home.data_now().date()
    check_day(wanted, today)
    config = {"circuits": [str(key) for key in chosen or ()]}
    _run(
        settings,
        "daily",
        progress,
        ops={"daily_forecast": config},
        partition=wanted.isoformat(),
        home=home,
    )
    return cast("ForecastReport", home.answers["daily_forecast"])


def check_day(day: date, today: date) -> None:
    """Refuse a day that cannot be forecast: it is no partition of the graph's daily forecast.

    Raises:
        UsageError: it is before the first day there, or after tomorrow.
    """
    first, last = date(2000, 1, 1), today + timedelta(days=1)
    if not first <= day <= last:
        raise UsageError(
            f"--date {day}: no day that can be forecast: name one of {first} to {last}"
        )


def promote(settings: Settings, release: str, stage: Stage, progress: Progress) -> Promotion:
    """Do a stage of a release if its gate is open."""
    from mlops_assets.assets.home import Home
    from mlops_assets.domain import lifecycle

    home = Home(settings, progress)
    view = lifecycle.find(lifecycle.fold(home.platform.ledger.entries(), None), release)
    asset = {"registry": "registry_model", "test": "test_validation"}.get(
        stage, "production_deployment"
    )
    keys = [str(key) for key in view.circuits]
    _run_on(settings, stage, asset, keys, home, release=release)
    return cast("Promotion", home.answers[stage])


def rebuild(settings: Settings, progress: Progress) -> dict[str, int]:
    """Tell every fact again, and return how many events each asset got."""
    home = _run(settings, "rebuild", progress)
    return cast("dict[str, int]", home.answers["rebuild"])


def serve(settings: Settings, port: int) -> int:
    """Run Dagster's web server and daemon on this home until they are stopped."""
    folder = dagster_home(settings)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "MLOPS_HOME": str(settings.home.absolute()),
        "MLOPS_CONFIG": str(settings.config.absolute()),
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore"),
    }
    where = ["--host", "127.0.0.1", "--port", str(port)]
    # A shell that starts us in the background has us ignore Ctrl-C, and Dagster would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", "-m", "mlops_assets.definitions", *where],
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return _stopped(process)


def _stopped(process: subprocess.Popen[bytes]) -> int:
    """Wait until Dagster's processes have ended; those that do not are killed."""
    try:
        process.wait(_STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return 0


def dagster_home(settings: Settings) -> Path:
    """Return the home's DAGSTER_HOME, its settings written from the template where absent."""
    from mlops_assets.adapters.local.files import write_atomic

    folder = settings.layout.dagster.absolute()
    settings.layout.kind()
    path = folder / "dagster.yaml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = files("mlops_assets").joinpath("dagster.yaml").read_text("utf-8")
        write_atomic(path, (text + _compute_logs(settings)).encode())
    return folder


def _compute_logs(settings: Settings) -> str:
    """Return where runs leave what they print: in blobs, where the backend has an account.

    Dagster's own manager reaches accounts by HTTPS alone, which an emulator here does not speak.
    """
    backend = settings.backend
    if backend.kind == "local" or backend.cloud.blob:
        return ""
    # A host of some roles may write no other role's container, and `review` may write none.
    writers = [role for role in backend.roles if role != "review"]
    if not writers:
        return ""
    role = "dev" if "dev" in writers else writers[0]
    container = {"etl": "lake", "release": "registry"}.get(role, role)
    client = next((client for name, client in backend.identities.items() if name == role), "")
    known = f"managed_identity_client_id: {client}" if client else ""
    return f"""compute_logs:
  module: dagster_azure.blob.compute_log_manager
  class: AzureBlobComputeLogManager
  config:
    storage_account: {backend.storage_account}
    container: {container}
    prefix: compute_logs
    endpoint_suffix: {backend.cloud.storage_suffix}
    default_azure_credential: {{{known}}}
"""


def _run_on(
    settings: Settings, job: str, asset: str, keys: Sequence[str], home: Home, *, release: str = ""
) -> None:
    """Run a job on a set of circuits in one run."""
    from mlops_assets.assets.partitions import add_circuits, circuits, launch_on
    from mlops_assets.domain.identifiers import CircuitKey

    with _instance(dagster_home(settings), job) as instance:
        add_circuits(instance, [CircuitKey.parse(key) for key in keys])
        order = instance.get_dynamic_partitions(str(circuits.name))
    how = launch_on(order, keys, release=release)
    _run(
        settings,
        job,
        home.progress,
        ops={asset: how.config},
        partition=how.partition_key,
        tags=how.tags,
        home=home,
    )


def _run(
    settings: Settings,
    job: str,
    progress: Progress | None,
    *,
    ops: Mapping[str, Any] | None = None,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
    home: Home | None = None,
) -> Home:
    """Run a job to its end and return the home with what its assets answered.

    Raises:
        MlopsError: why the job could not be done, in one line. Circuits that failed while others
            went on are part of the answer instead.
    """
    from mlops_assets.assets.home import Home

    home = home or Home(settings, progress)
    folder = dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(folder)
    from mlops_assets.definitions import defs

    before = dict(home.answers)
    with _instance(folder, job) as instance:
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config={
                **_QUIET,
                "ops": {name: {"config": given} for name, given in (ops or {}).items()},
            },
            partition_key=partition,
            tags=dict(tags or {}),
            resources={"home": home},
            raise_on_error=False,
        )
    if home.error is not None:
        raise home.error
    if not result.success and home.answers == before:
        raise HomeError(f"{job}: {_reason(result)}; `mlops ui` shows the run {result.run_id}")
    return home


@contextmanager
def _instance(folder: Path, job: str) -> Iterator[dg.DagsterInstance]:
    """Open the home's Dagster instance; whatever it cannot do is one line."""
    import dagster as dg

    try:
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    except (MlopsError, OSError):
        raise
    except Exception as error:
        raise DataError(
            f"{folder}: Dagster could not run {job}: {_one_line(error)}; if the disk is full make "
            "room, if its database is damaged delete it and run `mlops rebuild`"
        ) from error


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """Return the first failure of a run in one line."""
    return next(_failures(result), "it failed")


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        data = event.event_specific_data
        error = getattr(data, "error", None)
        if event.is_step_failure and error is not None:
            cause = error.cause or error
            yield _one_line(cause.message)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
