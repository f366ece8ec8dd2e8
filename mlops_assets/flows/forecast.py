"""The daily batch: every live circuit's forecast of one day, from one read, in one commit.

The table is written before the per-circuit files, and a rerun writes the files of what it keeps, so
a batch that was killed anywhere is completed by running it again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.forecast import (
    CircuitForecast,
    ForecastReport,
    Issue,
    frame_of,
    is_hindcast,
    says_the_same,
)
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.readings import window_end
from mlops_assets.flows.issue import Issuing
from mlops_assets.flows.ladder import Forecasting, said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import date, datetime

    import polars as pl

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Issued
    from mlops_assets.ports import (
        Lake,
        Ledger,
        PlantModels,
        Progress,
        ServingWorkspace,
        SharedRegistry,
    )

_FILES_AT_ONCE = 8


def predict(
    lake: Lake,
    prod: ServingWorkspace,
    registry: SharedRegistry,
    *,
    day: date,
    now: datetime,
    data_now: datetime,
    circuits: Sequence[CircuitKey] | None = None,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
    forecasting: Forecasting | None = None,
) -> ForecastReport:
    """Forecast one day for every live circuit, or for those named.

    A circuit that is served by something else than what was decided fails, and none of it is used.

    Args:
        lake: where readings are read and predictions are written.
        prod: the endpoints that say what is live, and the files it is written to.
        registry: where the live models lie.
        day: the date D; rows run from its local midnight over the horizon.
        now: when this is issued.
        data_now: the moment that decides whether it comes too late (`flows.readings.data_now`).
        circuits: those to forecast, all live ones by default.
        ledger: what was decided, without which live manifests are believed.
        progress: told of each circuit.
        forecasting: the forecasters, the installed ones by default.
    """
    live, unreadable, undecided = _decided(prod, ledger, circuits, now)
    batch = _Batch(day=day, data_now=data_now, unreadable=unreadable, failed=undecided)
    for circuit in circuits or ():
        if circuit not in live and circuit not in undecided:
            batch.failed[circuit] = unreadable.get(
                circuit.plant_id, "is not deployed: promote a release of it to production first"
            )
    if not live:
        return batch.report(delta_version=-1)
    if not lake.readings.exists():
        raise DataError("lake/readings: there are no readings yet; run `mlops ingest` first")
    if progress is not None:
        progress.begin(f"predict {day}", len(live))
    delta_version = lake.readings.version()
    batch.before = by_circuit(lake.predictions.read(issued_for=day, circuits=live))
    wanted = _wanted(batch, live, str(delta_version))
    issuing = Issuing(
        live={circuit: live[circuit] for circuit in wanted},
        day=day,
        readings=lake.readings,
        delta_version=delta_version,
        models=registry.models,
        forecasting=forecasting,
        kept=prod.models,
    )
    models = forecasting or Forecasting.installed()
    if prod.proven is not None:
        models.proven.update(prod.proven.known())
    for issued in (prod.batch or lake.engine).issue(issuing, wanted):
        batch.take(issued)
        if progress is not None:
            progress.advance(str(issued.circuit))
    if prod.proven is not None and circuits is None:
        served = {deployment.model_digest for deployment in live.values()}
        prod.proven.remember(models.proven & served)
    _store(batch, lake, prod, delta_version=delta_version, now=now)
    if prod.models is not None and circuits is None:
        _keep_models(prod.models, registry, live, batch.uncopied)
    return batch.report(delta_version=delta_version)


def _decided(
    prod: ServingWorkspace,
    ledger: Ledger | None,
    circuits: Sequence[CircuitKey] | None,
    now: datetime,
) -> tuple[dict[CircuitKey, Deployment], dict[str, str], dict[CircuitKey, str]]:
    """What serves and was decided, plants that cannot be read, and circuits that nobody decided."""
    from mlops_assets.flows.decided import undecided

    live, unreadable = readable_deployments(prod, circuits)
    if ledger is None:
        return live, unreadable, {}
    found = undecided(ledger, live, now=now, wanted=circuits, unreadable=unreadable)
    if found:
        # Somebody may have deployed or rolled back between the two reads.
        live, unreadable = readable_deployments(prod, circuits)
        found = undecided(ledger, live, now=now, wanted=circuits, unreadable=unreadable)
    agreed = {circuit: each for circuit, each in live.items() if circuit not in found}
    return agreed, unreadable, found


def _keep_models(
    kept: PlantModels,
    registry: SharedRegistry,
    live: Mapping[CircuitKey, Deployment],
    uncopied: AbstractSet[CircuitKey],
) -> None:
    """Lay the live models of each plant side by side for the next batch, where they are not.

    ``uncopied`` are circuits whose model the batch did not find there, whatever is listed.
    """
    plants: dict[str, list[Deployment]] = {}
    for deployment in live.values():
        plants.setdefault(deployment.circuit.plant_id, []).append(deployment)
    for plant, deployments in plants.items():
        listed = kept.listed(plant)
        lost = {each.model_digest for each in deployments if each.circuit in uncopied}
        if not lost and listed == {each.model_digest for each in deployments}:
            continue
        models = {}
        for each in deployments:
            with suppress(MlopsError):
                # One that cannot be read was told by the batch, and is not kept.
                record = registry.models.get(each.circuit, each.model_version)
                if record.digest == each.model_digest:
                    models[record.digest] = registry.models.files(record)
        if models.keys() != listed or models.keys() & lost:
            kept.write(plant, models)


def issued_days(lake: Lake) -> tuple[date, ...]:
    """Every day that has predictions, in order."""
    rows = lake.predictions.read()
    return () if rows.is_empty() else tuple(rows["issued_for"].unique().sort().to_list())


def stored_report(lake: Lake, day: date) -> ForecastReport:
    """What stands in the table for a day, told as the batch that wrote it told it."""
    parts = by_circuit(lake.predictions.read(issued_for=day))
    told = {
        circuit: _summary(circuit, part, kept=True, seconds=0.0)
        for circuit, part in sorted(parts.items())
    }
    version = max((one.delta_version for one in told.values()), default=-1)
    return ForecastReport(issued_for=day, delta_version=version, circuits=told)


@dataclass(slots=True)
class _Batch:
    """What is known of a batch while it runs."""

    day: date
    data_now: datetime
    unreadable: Mapping[str, str]
    before: Mapping[CircuitKey, pl.DataFrame] = field(default_factory=dict)
    hindcast: dict[CircuitKey, bool] = field(default_factory=dict)
    failed: dict[CircuitKey, str] = field(default_factory=dict)
    issues: dict[CircuitKey, Issue] = field(default_factory=dict)
    kept: dict[CircuitKey, pl.DataFrame] = field(default_factory=dict)
    seconds: dict[CircuitKey, float] = field(default_factory=dict)
    uncopied: set[CircuitKey] = field(default_factory=set)
    done: dict[CircuitKey, CircuitForecast] = field(default_factory=dict)
    rows: int = 0

    def take(self, issued: Issued) -> None:
        """Remember what became of one circuit."""
        self.seconds[issued.circuit] = issued.seconds
        if not issued.copied:
            self.uncopied.add(issued.circuit)
        if issued.issue is None:
            self.failed[issued.circuit] = issued.failed
        else:
            self.issues[issued.circuit] = issued.issue

    def report(self, *, delta_version: int) -> ForecastReport:
        return ForecastReport(
            issued_for=self.day,
            delta_version=delta_version,
            circuits=dict(sorted(self.done.items())),
            failed=dict(sorted(self.failed.items())),
            rows=self.rows,
            unreadable=self.unreadable,
        )


def readable_deployments(
    prod: ServingWorkspace, circuits: Sequence[CircuitKey] | None
) -> tuple[dict[CircuitKey, Deployment], dict[str, str]]:
    """The live deployments of all or of some circuits, each plant's manifest read once.

    Returns:
        Deployments by circuit, and for each plant whose manifest cannot be read the reason.
    """
    wanted = None if circuits is None else set(circuits)
    live: dict[CircuitKey, Deployment] = {}
    unreadable: dict[str, str] = {}
    for plant in prod.endpoints.plants():
        if wanted is not None and not any(circuit.plant_id == plant for circuit in wanted):
            continue
        try:
            manifest = prod.endpoints.live(plant)
        except MlopsError as error:
            unreadable[plant] = str(error)
            continue
        for deployment in manifest.live.values():
            if wanted is None or deployment.circuit in wanted:
                live[deployment.circuit] = deployment
    return dict(sorted(live.items())), unreadable


def by_circuit(rows: pl.DataFrame) -> dict[CircuitKey, pl.DataFrame]:
    """Predictions split by circuit."""
    if rows.is_empty():
        return {}
    parts = rows.partition_by("plant_id", "circuit_id", as_dict=True)
    return {CircuitKey(plant, circuit): part for (plant, circuit), part in parts.items()}


def _wanted(
    batch: _Batch, live: Mapping[CircuitKey, Deployment], data_version: str
) -> list[CircuitKey]:
    """The circuits that have to be forecast now; the others are kept or failed."""
    begins: dict[str, datetime] = {}
    wanted = []
    for circuit, deployment in live.items():
        serving = deployment.serving
        if serving.cutoff_date >= batch.day.isoformat():
            batch.failed[circuit] = (
                f"the live model learned from {serving.cutoff_date}, which is not before "
                f"{batch.day}; forecast a later day"
            )
            continue
        try:
            if serving.timezone not in begins:
                begins[serving.timezone] = window_end(batch.day, serving.timezone)
            hindcast = is_hindcast(batch.data_now, begins[serving.timezone])
        except Exception as error:  # noqa: BLE001 a failing circuit never stops the others
            batch.failed[circuit] = said(error)
            continue
        batch.hindcast[circuit] = hindcast
        rows = batch.before.get(circuit)
        if rows is not None and _stands(rows, deployment, data_version, hindcast=hindcast):
            batch.kept[circuit] = rows
        else:
            wanted.append(circuit)
    return wanted


def _stands(
    rows: pl.DataFrame, deployment: Deployment, data_version: str, *, hindcast: bool
) -> bool:
    """Whether a day's rows need no forecast to know that they stay."""
    first = rows.row(0, named=True)
    if hindcast and not first["hindcast"]:
        return True
    return bool(
        first["release"] == deployment.release
        and first["model_version"] == deployment.model_version
        and first["data_version"] == data_version
        and first["fallback"] == "none"
    )


def _store(
    batch: _Batch,
    lake: Lake,
    prod: ServingWorkspace,
    *,
    delta_version: int,
    now: datetime,
) -> None:
    rows = frame_of(
        batch.issues.values(),
        issued_for=batch.day,
        data_version=str(delta_version),
        issued_at=now,
        hindcast=batch.hindcast,
    )
    issued = by_circuit(rows)
    for circuit in list(issued):
        old = batch.before.get(circuit)
        if old is not None and says_the_same(old, issued[circuit]):
            batch.kept[circuit] = old
            del issued[circuit]
    if issued:
        import polars as pl

        written = pl.concat([issued[circuit] for circuit in sorted(issued)])
        lake.predictions.replace(written, issued_for=batch.day)
        batch.rows = len(written)
    write_files(prod, batch.day, {**issued, **batch.kept})
    for circuit, part in (*issued.items(), *batch.kept.items()):
        batch.done[circuit] = _summary(
            circuit,
            part,
            kept=circuit in batch.kept,
            seconds=batch.seconds.get(circuit, 0.0),
        )


def write_files(
    serving: ServingWorkspace, day: date, parts: Mapping[CircuitKey, pl.DataFrame]
) -> None:
    """Write every circuit's file; they wait for the disk together."""
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        wanted = [
            pool.submit(serving.predictions.write, circuit, day, part)
            for circuit, part in parts.items()
        ]
        for done in wanted:
            done.result()


def _summary(
    circuit: CircuitKey, rows: pl.DataFrame, *, kept: bool, seconds: float
) -> CircuitForecast:
    first = rows.row(0, named=True)
    values = rows["value"].to_numpy()
    return CircuitForecast(
        circuit=circuit,
        issued_for=first["issued_for"],
        release=first["release"],
        model_version=first["model_version"],
        data_version=first["data_version"],
        delta_version=int(first["data_version"]),
        fallback=first["fallback"],
        fallback_reason=first["fallback_reason"],
        rows=len(rows),
        kept=kept,
        hindcast=first["hindcast"],
        mean=float(values.mean()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        seconds=seconds,
        values=values,
        lo_95=rows["lo_95"].to_numpy(),
        hi_95=rows["hi_95"].to_numpy(),
    )
