"""From raw files to the one table that everything is built on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import dagster as dg

from mlops_assets.assets.events import (
    EventWriter,
    Fact,
    check_specs,
    stored_versions,
)
from mlops_assets.assets.home import Home, RunProgress
from mlops_assets.assets.partitions import SELECTION, add_circuits, chosen, circuits, every
from mlops_assets.assets.plant import at_most_a_plant
from mlops_assets.domain.circuit import Circuit, Config
from mlops_assets.domain.gates import refusals
from mlops_assets.domain.identifiers import digest_of
from mlops_assets.domain.readings import CircuitReadings, IngestReport, RawFile
from mlops_assets.domain.source import HISTORIAN
from mlops_assets.ports import Platform

GROUP = "ingest"
OWNERS = ["team:data-engineering"]

SENSOR_FILES = dg.AssetSpec(
    "sensor_files",
    description="Parquet and CSV files as plants send them, in the landing zone `lake/raw`.",
    group_name=GROUP,
    kinds={"parquet", "csv"},
    owners=OWNERS,
)
HISTORIAN_TABLES = dg.AssetSpec(
    "historian_tables",
    description="SQL tables of the plants' historians, where there are any.",
    group_name=GROUP,
    kinds={"sql"},
    owners=OWNERS,
)
CHECKS = {
    "schema": "Does the table have every column that is read?",
    "unique_keys": "Does each circuit and hour come once?",
    "freshness": "Is the newest reading young enough?",
    "restatements": "Did rows change after a model learned from them?",
    "completeness": "Do the circuits that ever reported still do?",
}
WARNS = ("freshness", "restatements", "completeness")


def readings_fact(platform: Platform) -> Fact | None:
    """Tell the table as it is."""
    table = platform.lake.readings
    if not table.exists():
        return None
    return Fact(
        asset="readings",
        partition=None,
        version=str(table.version()),
        metadata={
            "delta_version": table.version(),
            "max_timestamp": table.newest(),
            "path": "lake/readings",
        },
    )


def sensor_files_fact(platform: Platform) -> Fact:
    """Tell the raw files that are in the table."""
    files = _confirmed(platform, historian=False)
    return Fact(
        asset="sensor_files",
        partition=None,
        version=digest_of([[file.path, file.size, file.sha256] for file in files]),
        metadata={
            "files": len(files),
            "bytes": sum(file.size for file in files),
            "newest": [file.path for file in files[-5:]],
            "path": "lake/raw",
        },
    )


def historian_tables_fact(platform: Platform) -> Fact | None:
    """Tell the rows of SQL tables that are in the table; None where none was ever read."""
    drawn = _confirmed(platform, historian=True)
    if not drawn:
        return None
    newest = {file.path.rpartition("/")[0]: file.path for file in drawn}
    return Fact(
        asset="historian_tables",
        partition=None,
        version=digest_of([[file.path, file.size, file.sha256] for file in drawn]),
        metadata={
            "tables": len(newest),
            "drawings": len(drawn),
            "bytes": sum(file.size for file in drawn),
            "newest": list(newest.values()),
            "path": "lake/raw/historian",
        },
    )


def _confirmed(platform: Platform, *, historian: bool) -> list[RawFile]:
    """Return the files that are in the table: drawings of SQL tables, or all others."""
    files = platform.lake.journal.confirmed()
    chosen = [file for file in files if file.path.startswith(HISTORIAN) == historian]
    return sorted(chosen, key=lambda file: file.path)


def circuit_readings_fact(circuit: Circuit, share: CircuitReadings, data_now: datetime) -> Fact:
    """Tell one circuit's share of the table; its data version is the day and the state."""
    state = share.state(timedelta(hours=circuit.spec.limits.maximum_gap_hours), data_now)
    complete = share.completeness(circuit.spec.step)
    last = share.last_timestamp
    age = None if last is None else (data_now - last) / timedelta(hours=1)
    return Fact(
        asset="circuit_readings",
        partition=str(circuit.key),
        version=f"{data_now.date().isoformat()}:{state}",
        metadata={
            "plant": circuit.key.plant_id,
            "state": state,
            "last_reading": share.last_timestamp,
            "first_reading": share.first_timestamp,
            "rows": share.rows,
            "age_hours": None if age is None else round(age, 2),
            "gaps": share.gaps,
            "completeness": None if complete is None else round(complete, 4),
            "quarantined": share.quarantined,
            "quarantined_for": dict(share.reasons),
            "stuck_until": share.stuck_until,
            "restated": share.restated,
        },
    )


def circuit_readings_facts(
    platform: Platform, config: Config, data_now: datetime
) -> Iterator[Fact]:
    """Tell every circuit's share of the table."""
    from mlops_assets.flows.circuit_readings import circuit_readings as shares_of

    for key, share in shares_of(platform.lake, config.circuits).items():
        yield circuit_readings_fact(config.circuits[key], share, data_now)


READINGS = dg.AssetSpec(
    "readings",
    description="One ETL slice: new files and rows validated, the unusable quarantined with their "
    "reason, the rest merged into one Delta table in one commit.",
    group_name=GROUP,
    kinds={"deltalake", "polars"},
    owners=OWNERS,
    deps=[every("sensor_files"), every("historian_tables")],
    skippable=True,
)


@dg.multi_asset(
    name="readings",
    specs=[READINGS],
    check_specs=check_specs("readings", CHECKS, None, warns=WARNS),
    can_subset=True,
)
def readings(
    context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
) -> Iterator[dg.MaterializeResult]:
    """Merge one slice, and tell each circuit's share when its day or state is new."""
    from mlops_assets.flows import readings as flow
    from mlops_assets.flows.historian import unreachable
    from mlops_assets.flows.training_data import trained_until

    with home.explained():
        platform, wanted = home.platform, home.config()
        add_circuits(context.instance, list(wanted.circuits))
        report = flow.ingest(
            platform.lake,
            wanted,
            now=home.now(),
            landing=home.landing(),
            progress=RunProgress(context, home.progress),
            trained_until=lambda: trained_until(platform.dev.training_data, wanted.circuits),
        )
        home.answers["readings"] = report
        fact, data_now = readings_fact(platform), home.data_now()
        if fact is None:
            raise dg.Failure("there are no readings: put files into lake/raw", allow_retries=False)
        verdicts = flow.verdicts(
            platform.lake,
            wanted,
            data_now=data_now,
            training_data=platform.dev.training_data,
        )
        writer = EventWriter(context)
        writer.materialized(sensor_files_fact(platform))
        if tables := historian_tables_fact(platform):
            about = {"rows": dict(report.tables), "unreachable": dict(report.unreachable)}
            writer.materialized(replace(tables, metadata={**tables.metadata, **about}))
        told = replace(fact, metadata={**fact.metadata, "slice": _slice(report)})
        status = "" if report.files else "unchanged: no new files"
        writer.materialized(told, verdicts, status=status)
        _tell_changes(context, circuit_readings_facts(platform, wanted, data_now))
    if refused := [verdict for verdict in verdicts if verdict.refuses]:
        raise dg.Failure("; ".join(refusals(refused)), allow_retries=False)
    if report.unreachable:
        raise dg.Failure(unreachable(report), allow_retries=False)
    yield from ()


def _slice(report: IngestReport) -> Mapping[str, object]:
    """Return what one slice did, which only its own run can tell."""
    return {
        "read": report.rows_read,
        "inserted": report.rows_inserted,
        "updated": report.rows_updated,
        "unchanged": report.rows_unchanged,
        "quarantined": report.rows_quarantined,
        "restated": report.rows_restated,
        "reasons": dict(report.reasons),
        "added": list(report.added[:20]),
        "left_out": sorted({name for names in report.unknown_columns.values() for name in names}),
        "unread_cells": {
            path: dict(cells) for path, cells in list(report.unread_cells.items())[:20]
        },
        "files": list(report.files[:20]),
    }


def _tell_changes(context: dg.AssetExecutionContext, facts: Iterator[Fact]) -> None:
    """Log the circuits whose day or state is not the one told last."""
    told = stored_versions(context.instance, "circuit_readings")
    writer = EventWriter(context)
    news = [fact for fact in facts if told.get(str(fact.partition)) != fact.version]
    for fact in at_most_a_plant(news):
        if told.get(str(fact.partition)) != fact.version:
            writer.materialized(fact)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "circuit_readings",
            description="One circuit's share of the readings table: last reading, rows, gaps, "
            "quarantined and restated rows. Told daily, and when its state changes.",
            group_name=GROUP,
            kinds={"deltalake"},
            owners=OWNERS,
            deps=[every("readings")],
            partitions_def=circuits,
            skippable=True,
        )
    ],
    name="circuit_readings",
    partitions_def=circuits,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
    config_schema=SELECTION,
)
def circuit_readings(
    context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
) -> Iterator[dg.MaterializeResult]:
    """Tell the share of each chosen circuit."""
    keys = {str(key) for key in chosen(context)}
    with home.explained():
        facts = circuit_readings_facts(home.platform, home.config(), home.data_now())
        writer = EventWriter(context)
        for fact in facts:
            if fact.partition in keys:
                keys.discard(fact.partition or "")
                writer.materialized(fact)
    if keys:
        raise dg.Failure(f"config has no such circuit: {', '.join(sorted(keys))}")
    yield from ()
