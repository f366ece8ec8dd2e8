"""A fleet in a fresh home, brought live by the platform's own flows.

Readings are simulated from a seed: a level, a day, a week, and noise that lasts some hours, of each
circuit its own, with 0.4 % of them missing. The file is discovered and committed as config, a
reviewed change names the forecaster, one slice is merged by a Dagster run, and each circuit's model
is fitted to its rows, registered in the shared registry and deployed plant by plant. What says why
a model may be deployed (evidence, signatures) costs the daily batch nothing and is left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.identifiers import DataVersion, digest_of_files
from mlops_assets.domain.manifest import Entry, Manifest, Serving
from mlops_assets.domain.model import FitJob, ModelRecord
from mlops_assets.forecasters.training import fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from mlops_assets.assets.home import Home
    from mlops_assets.domain.circuit import Config, Environment
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitResult
    from mlops_assets.ports import FittingEngine, Platform
    from mlops_assets.settings import Settings

SEED = 20240629
END = datetime(2024, 6, 29, tzinfo=UTC)
CIRCUITS_A_PLANT = 20
MISSING = 0.004
AUTHOR = "author@demo.example"
# Circuits that are simulated at a time, so that a long fleet needs no more memory than a short one.
_TOGETHER = 500
TRAINED = ("training_data", "model")


def keys(circuits: int) -> list[str]:
    """Return the circuits of a fleet, 20 a plant."""
    plant = CIRCUITS_A_PLANT
    return [f"P{each // plant:04}/C{each % plant:02}" for each in range(circuits)]


def readings(
    circuits: int, start: datetime, hours: int, *, seed: int = SEED
) -> Iterator[pl.DataFrame]:
    """Yield the fleet's hourly readings, some circuits at a time."""
    import numpy as np
    import polars as pl
    from scipy.signal import lfilter

    names = pl.DataFrame({"key": keys(circuits)}).select(
        plant_id=pl.col("key").str.split("/").list.get(0),
        circuit_id=pl.col("key").str.split("/").list.get(1),
    )
    stamps = pl.datetime_range(
        start, start + timedelta(hours=hours - 1), "1h", time_unit="us", eager=True
    )
    hour = stamps.dt.hour().to_numpy()
    sunday = stamps.dt.weekday().to_numpy() >= 6
    for first in range(0, circuits, _TOGETHER):
        part = names[first : first + _TOGETHER]
        random = np.random.default_rng([seed, first, int(start.timestamp())])
        own = np.random.default_rng([seed, first])
        level = own.uniform(50, 500, (len(part), 1))
        phase = own.uniform(0, 24, (len(part), 1))
        day = 0.2 * np.sin((hour[None, :] - phase) * 2 * np.pi / 24)
        week = np.where(sunday, -own.uniform(0, 0.2, (len(part), 1)), 0.0)
        noise = lfilter([1.0], [1.0, -0.7], random.normal(0, 0.02, (len(part), hours)), axis=1)
        values = np.round(level * (1 + day + week + noise), 3)
        kept = random.random(values.shape) >= MISSING
        place = np.repeat(np.arange(len(part)), hours)[kept.ravel()]
        yield pl.DataFrame(
            {
                **{name: part[name].gather(place) for name in part.columns},
                "timestamp": stamps.gather(np.tile(np.arange(hours), len(part))[kept.ravel()]),
                "value": values[kept],
            }
        )


def send(settings: Settings, name: str, circuits: int, start: datetime, hours: int) -> Path:
    """Write the fleet's readings as one file into the landing zone."""
    path = settings.layout.raw / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write(path, circuits, start, hours)


def _write(path: Path, circuits: int, start: datetime, hours: int) -> Path:
    import pyarrow.parquet as pq

    hidden = path.with_name(f".{path.name}")
    writer = None
    for part in readings(circuits, start, hours):
        table = part.to_arrow()
        writer = writer or pq.ParquetWriter(hidden, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return hidden.replace(path)


def settings_of(home: Path) -> Settings:
    """Return the settings of a home in a folder."""
    from mlops_assets.settings import Settings

    return Settings(home, home / "config")


def begin(home: Path, circuits: int, *, days: int, effort: str = "balanced") -> Settings:
    """Make a home for a fleet whose history ends with `END`; nothing is ingested yet."""
    from mlops_assets.resources.home import DEMO_PEOPLE, initialise_demo

    settings, people = settings_of(home), {**DEMO_PEOPLE, AUTHOR: ("reviewer",)}
    home.parent.mkdir(parents=True, exist_ok=True)
    source = home.with_name(f"{home.name}.parquet")
    _write(source, circuits, END - timedelta(days=days), 24 * days)
    initialise_demo(settings, people=people, readings=source, effort=effort)  # type: ignore[arg-type]
    source.unlink()
    return settings


def ask_for(settings: Settings, forecaster: str, *, but: int = 0) -> None:
    """Commit a reviewed change of every spec but the first: this forecaster, not a choice."""
    from mlops_assets.resources import config_repository

    repository = config_repository(settings)
    there = repository.files(repository.head())
    specs = sorted(path for path in there if path.startswith("plants/"))[but:]
    wanted = f"forecaster: {forecaster}".encode()
    files = {path: there[path].replace(b"forecaster: auto", wanted) for path in specs}
    repository.commit(
        files,
        message=f"Ask for {forecaster}\n\nReviewed-by: Reviewer <reviewer@demo.example>",
        author=AUTHOR,
        branch=None,
    )


@dataclass(frozen=True, slots=True)
class Ran:
    """One Dagster run: what its step took, and the run itself."""

    run_id: str
    success: bool
    started: float
    ended: float
    home: Home

    @property
    def seconds(self) -> float:
        """Wall time of the step, by Dagster's own record."""
        return self.ended - self.started


def run(
    settings: Settings,
    job: str,
    asset: str,
    circuits: Sequence[str] = (),
    *,
    only: Sequence[str] | None = None,
    partition: str | None = None,
) -> Ran:
    """Run a job on circuits in this process and on the home's own instance, as `mlops` does.

    Args:
        settings: the home.
        job: the job's name.
        asset: the step that takes the circuits.
        circuits: those of the run; none for a job that names none.
        only: assets of the job, all by default.
        partition: the run's partition where it is about a day.
    """
    import os

    import dagster as dg

    from mlops_assets.assets.partitions import add_circuits, launch_on
    from mlops_assets.assets.partitions import circuits as definition
    from mlops_assets.definitions import defs, home
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.launch import dagster_home

    folder = dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(folder)
    # A job of some assets takes no other home than the graph's own.
    vars(home).update(vars(type(home)(settings)))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        ops: dict[str, Any] = {}
        tags: Mapping[str, str] = {}
        if circuits:
            add_circuits(instance, [CircuitKey.parse(key) for key in circuits])
            order = instance.get_dynamic_partitions(str(definition.name))
            how = launch_on(order, circuits)
            partition, tags = how.partition_key, how.tags
            ops = {asset: {"config": how.config}}
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": ops,
            },
            partition_key=partition,
            tags=dict(tags),
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name) for name in only] if only else None,
        )
        steps = instance.get_run_step_stats(result.run_id)
    started = min((each.start_time or 0.0 for each in steps), default=0.0)
    ended = max((each.end_time or 0.0 for each in steps), default=0.0)
    return Ran(result.run_id, result.success, started, ended, home)


def served(
    home: Path, circuits: int, *, days: int, forecaster: str | None = "seasonal_naive"
) -> dict[str, float]:
    """Make a home in which the whole fleet is live; returns the seconds of each step."""
    began = time.perf_counter()
    settings = begin(home, circuits, days=days, effort="fast")
    if forecaster is not None:
        ask_for(settings, forecaster)
    seconds = {"begin": time.perf_counter() - began}
    seconds["etl"] = run(settings, "etl", "readings").seconds
    began = time.perf_counter()
    serve(settings)
    seconds["models"] = time.perf_counter() - began
    return {name: round(each, 2) for name, each in seconds.items()}


def serve(settings: Settings) -> None:
    """Fit, register and deploy a model of every circuit."""
    from mlops_assets.flows.deployment import deploy
    from mlops_assets.flows.plan import config_at
    from mlops_assets.resources import open_platform

    platform = open_platform(settings)
    config = config_at(platform)
    (environment, *_) = config.environments.values()
    platform.registry.environments.register(environment)
    engine = platform.engine(config.policy.maximum_parallel_training)
    entries = [
        _registered(platform, job, result, environment, config.commit)
        for jobs in _jobs(platform, config)
        for job, result in _fits(engine, jobs)
    ]
    entries.sort(key=lambda entry: entry.circuit)
    manifest = Manifest(entries=tuple(entries), attempt=1, four_eyes="required")
    deploy(platform.prod, platform.registry, manifest)
    _decide(platform, manifest)


def _decide(platform: Platform, manifest: Manifest) -> None:
    """Write the course of a release into the ledger, whose state is what the daily batch asks."""
    from mlops_assets.domain.canonical import moment_text

    now, ledger, release = platform.clock.now(), platform.ledger, manifest.release
    circuits = {str(entry.circuit): None for entry in manifest.entries}
    ledger.put("releases", f"{release}.json", manifest.to_bytes())
    course: list[tuple[str, dict[str, Any]]] = [
        (
            "released",
            {
                "digest": manifest.digest,
                "circuits": list(circuits),
                "attempt": manifest.attempt,
                "config_commit": platform.config.head(),
                "copied_approval": {"release": release},
            },
        ),
        ("tested", {}),
        (
            "requested",
            {
                "stage": "production",
                "nonce": "0" * 32,
                "expires_at": moment_text(now + timedelta(hours=24)),
            },
        ),
        ("consumed", {"nonce": "0" * 32, "statements": []}),
        ("deployed", {"circuits": circuits, "retired": []}),
    ]
    for event, data in course:
        ledger.append(event, "platform", {"release": release, **data}, now)


def _jobs(platform: Platform, config: Config) -> Iterator[list[FitJob]]:
    """Yield what is to be fitted, as many circuits as are read together."""
    from mlops_assets.domain.readings import to_series
    from mlops_assets.domain.training_data import data_end
    from mlops_assets.flows.training_data import Reader

    circuits = list(config.circuits.values())
    reader = Reader(platform.lake, circuits)
    version = platform.lake.readings.version()
    for first in range(0, len(circuits), _TOGETHER):
        jobs = []
        for circuit in circuits[first : first + _TOGETHER]:
            end = data_end(circuit.spec.cutoff_date, circuit.spec.timezone)
            rows = reader.rows(circuit, end, version, ())
            series = to_series(rows, step=circuit.spec.step, end=end)
            jobs.append(FitJob(circuit=circuit.key, spec=circuit.spec, series=series))
        yield jobs


def _fits(engine: FittingEngine, jobs: list[FitJob]) -> Iterator[tuple[FitJob, FitResult]]:
    """Fit what a choice has to be made for in workers, and the seasonal naive at once."""
    by_key = {job.circuit: job for job in jobs}
    if jobs[0].spec.forecaster == "auto":
        found: Iterable[tuple[CircuitKey, FitResult | str]] = engine.fit(jobs)
    else:
        found = ((job.circuit, fit(job)) for job in jobs)
    for key, result in found:
        if isinstance(result, str):
            raise TypeError(f"{key}: {result}")
        yield by_key[key], result


def _registered(
    platform: Platform, job: FitJob, result: FitResult, environment: Environment, commit: str
) -> Entry:
    """Register one model in the shared registry, and return the entry that deploys it."""
    spec, digest = job.spec, digest_of_files(dict(result.files))
    data = DataVersion(spec.cutoff_date)
    record = ModelRecord(
        circuit=job.circuit,
        version=1,
        digest=digest,
        spec_digest="2" * 64,
        data_version=data,
        data_digest="1" * 64,
        environment=environment.ref,
        environment_digest=environment.digest,
        config_commit=commit,
        tags={"forecaster": result.forecaster, "wape": str(result.metrics.wape)},
    )
    platform.registry.models.register(record, result.files)
    return Entry(
        circuit=job.circuit,
        action="deploy",
        config_commit=commit,
        replaces=None,
        model_version=1,
        model_digest=digest,
        forecaster=result.forecaster,
        data_version=str(data),
        data_digest=record.data_digest,
        environment=str(environment.ref),
        environment_digest=environment.digest,
        spec_digest=record.spec_digest,
        evidence={},
        serving=Serving(
            cutoff_date=spec.cutoff_date.isoformat(),
            horizon=spec.horizon,
            interval=spec.interval,
            timezone=spec.timezone,
            maximum_gap_hours=spec.limits.maximum_gap_hours,
            minimum=None,
            maximum=None,
        ),
    )
