"""Readings: raw files into the one table, a slice at a time, and what the table then says.

A slice is the set of files that are new: its id is their digest. It is announced, merged in one
commit that carries the id, and confirmed. A slice that was interrupted is taken up first, with the
same files and so the same id, and finds out by itself how far it came.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.freshness import (
    KEYS_CHECKED,
    completeness_verdict,
    freshness_verdict,
    schema_verdict,
    unique_keys_verdict,
)
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import CircuitKey, digest_of
from mlops_assets.domain.merging import restatements
from mlops_assets.domain.readings import KEY, IngestReport
from mlops_assets.flows.addition import Again, Zones, as_known, known_again, take_up
from mlops_assets.flows.arrival import Arrival, Before, entries_of, quarantine_entries
from mlops_assets.flows.circuit_readings import circuit_readings, restated
from mlops_assets.flows.historian import WithDrawings, draw
from mlops_assets.flows.restatement import under_newest
from mlops_assets.flows.upkeep import reopen_lost, tidy_when_due

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from mlops_assets.domain.addition import Addition
    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.slice import FileFact
    from mlops_assets.ports import (
        Arrived,
        Lake,
        LandingZone,
        MergeResult,
        Progress,
        TrainingDataStore,
    )


_SHOWN = 5


def ingest(
    lake: Lake,
    config: Config,
    *,
    now: datetime,
    landing: LandingZone | None = None,
    progress: Progress | None = None,
    trained_until: Callable[[], Mapping[CircuitKey, datetime]] = dict,
) -> IngestReport:
    """Merge every file that is new; running it again changes nothing.

    ``trained_until`` says what training data hold, so that changes of it are recorded as
    restatements (`training_data.trained_until`). It is asked when a merge is done, and whoever
    pins looks at the table once more: so one of the two sees the other.

    Raises:
        DataError: the landing zone or the table cannot be used.
    """
    zone = WithDrawings(landing, lake.landing) if landing else lake.landing
    with lake.journal.lock():
        drawn = draw(lake, config, now=now, progress=progress)
        files = zone.files()
        report = IngestReport()
        etl = _Etl(lake, config, zone, now, trained_until, progress)
        again, present = etl, files
        if landing is not None:
            again = replace(etl, zone=Zones.of(landing, lake.landing, files))
            present = again.zone.files()
        before = lake.readings.version() if lake.readings.exists() else 0
        reopen_lost(lake, progress)
        reopened, absent = lake.journal.reopened(), list[str]()
        pending = lake.journal.pending()
        as_then = replace(etl, config=as_known(lake, config)) if pending else etl
        for slice_id, record in pending.items():
            addition = record.addition
            members = record.files if addition is None else [each.file for each in addition.files]
            if missing := set(members) - set(files if addition is None else present):
                absent += [file.path for file in missing if slice_id in reopened]
            if not missing:
                report += again.add(addition) if addition else as_then.run(slice_id, members)
            elif slice_id in reopened:
                continue
            elif (version := lake.readings.merged(slice_id)) is not None:
                lake.journal.confirm(slice_id, version)
            else:
                lake.journal.withdraw(slice_id)
        added = take_up(lake, config, present, again.add, etl.say)
        if added is not None:
            report += added
        confirmed = lake.journal.confirmed()
        if waiting := [file for file in files if file not in confirmed]:
            slice_id = slice_id_of(waiting)
            lake.journal.intend(slice_id, waiting, at=now)
            report += etl.run(slice_id, waiting)
        tidy_when_due(lake, before, now=now)
        if absent:
            raise DataError(
                f"a table lost rows of {len(absent)} raw files that are no longer in the landing "
                f"zone, such as {min(absent)}: put them back, or name their folder with --raw, and "
                "run ingest again"
            )
        return replace(_dated(report, lake), tables=drawn.rows, unreachable=drawn.unreachable)


def waiting_files(lake: Lake) -> tuple[RawFile, ...]:
    """Files of the landing zone that no slice has taken yet."""
    confirmed = lake.journal.confirmed()
    return tuple(file for file in lake.landing.files() if file not in confirmed)


def slice_id_of(files: Sequence[RawFile]) -> str:
    """The digest of a slice's files, whatever order they are told in."""
    return digest_of(sorted([file.path, file.size, file.sha256] for file in files))[:32]


def store(
    lake: Lake,
    merge: Callable[[], MergeResult],
    *,
    slice_id: str,
    newest: datetime | None,
    trained_until: Callable[[], Mapping[CircuitKey, datetime]],
) -> tuple[IngestReport, int, dict[str, int]]:
    """Merge and withdraw in one commit, and record what training data held otherwise.

    ``newest`` is that of the rows to merge.

    Returns:
        What it did, the version of the readings that holds it, and those of the row logs.
    """
    import polars as pl

    result = merge()
    stored = lake.readings.newest()
    if newest is not None and (stored is None or stored < newest):
        raise DataError(
            f"readings: the newest row of slice {slice_id} is {newest!s}, but the table ends "
            f"with {stored!s}; run `mlops verify` and restore the table from a backup"
        )
    # After the merge, never before: whoever pins rows meanwhile takes no lock.
    ends: Mapping[CircuitKey, datetime] = {} if result.changed.is_empty() else trained_until()
    restated = restatements(result.changed, ends)
    log_version = lake.restatements.append(
        restated.with_columns(
            pl.lit(result.delta_version, dtype=pl.Int64).alias("delta_version"),
            pl.lit(slice_id).alias("slice"),
        ),
        slice_id=slice_id,
    )
    merged = IngestReport(
        rows_inserted=result.inserted,
        rows_updated=result.updated,
        rows_unchanged=result.unchanged,
        rows_restated=restated.n_unique(["plant_id", "circuit_id", "timestamp"]),
    )
    logs = {} if log_version is None else {"restatements": log_version}
    return merged, result.delta_version, logs


@dataclass(frozen=True)
class _Etl:
    """What takes slices into the table."""

    lake: Lake
    config: Config
    zone: LandingZone
    now: datetime
    trained_until: Callable[[], Mapping[CircuitKey, datetime]]
    progress: Progress | None

    def run(self, slice_id: str, files: Sequence[RawFile]) -> IngestReport:
        """Read, judge, merge, record, confirm; each step may be repeated."""
        ordered = sorted(files, key=lambda file: file.path)
        if self.progress is not None:
            self.progress.begin("reading raw files", len(files))
        with self.lake.engine.arrive(self._rules(slice_id), ordered, self._heard) as arrived:
            return self._store(slice_id, files, arrived)

    def add(self, addition: Addition) -> IngestReport:
        """Read files again for what was added, and do the same."""
        slice_id = addition.slice_id
        if slice_id in self.lake.journal.made():
            return IngestReport()
        if slice_id not in self.lake.journal.pending():
            self.lake.journal.intend(slice_id, (), at=self.now, addition=addition)
        self.say(f"read again for {_few(addition.names)}: {len(addition.files)} raw files")
        if self.progress is not None:
            self.progress.begin("reading raw files again", len(addition.files))
        rules = Again(
            rules=self._rules(slice_id),
            addition=addition,
            history=tuple(self.lake.journal.history()),
        )
        files = [then.file for then in addition.files]
        known = known_again(self.lake.quarantine, addition)
        with self.lake.engine.arrive(rules, files, self._heard) as arrived:
            report = self._store(slice_id, files, arrived, known)
        return replace(report, added=addition.names)

    def say(self, line: str) -> None:
        """Tell whoever listens."""
        if self.progress is not None:
            self.progress.say(line)

    def _rules(self, slice_id: str) -> Arrival:
        return Arrival(
            config=self.config,
            before=Before(self.lake.readings, self.lake.quarantine),
            zone=self.zone,
            now=self.now,
            slice_id=slice_id,
        )

    def _store(
        self,
        slice_id: str,
        files: Sequence[RawFile],
        arrived: Arrived,
        more: pl.DataFrame | None = None,
    ) -> IngestReport:
        import polars as pl

        part = arrived.part
        refused = {fact.path: fact.refused for fact in arrived.facts if fact.refused}
        entries = quarantine_entries(part, arrived.facts)
        if more is not None:
            entries = entries_of([entries, more])
        told = entries.filter(pl.col("state") == "refused")
        counts = Counter(_counted(told["reason"].to_list())) + Counter(part.held)
        report = IngestReport(
            rows_read=sum(fact.rows for fact in arrived.facts) + len(refused),
            rows_updated=part.superseded,
            rows_unchanged=part.repeated,
            rows_quarantined=counts.total(),
            rows_inserted=-part.returned,
            rows_withdrawn=len(part.withdrawn),
            rows_returned=part.returned,
            files=tuple(file.path for file in files),
            reasons=dict(sorted(counts.items())),
            refused=refused,
            unknown_columns={
                fact.path: fact.unknown_columns for fact in arrived.facts if fact.unknown_columns
            },
            unread_cells={
                fact.path: fact.unread_cells for fact in arrived.facts if fact.unread_cells
            },
        )
        version, logs = None, dict[str, int]()
        # Before the merge: what it takes out of the table must lie somewhere.
        log_version = self.lake.quarantine.append(
            entries.with_columns(pl.lit(slice_id).alias("slice")), slice_id=slice_id
        )
        if log_version is not None:
            logs["quarantine"] = log_version
        if part.entering or len(part.withdrawn):
            done, version, merged_logs = store(
                self.lake,
                lambda: arrived.merge(self.lake.readings, slice_id=slice_id),
                slice_id=slice_id,
                newest=part.newest,
                trained_until=self.trained_until,
            )
            report += done
            logs |= merged_logs
        left: dict[str, list[str]] = {}
        for fact in arrived.facts:
            for name in fact.unknown_columns:
                left.setdefault(name, []).append(fact.path)
        self.lake.journal.confirm(slice_id, version, logs=logs, left_out=left)
        return report

    def _heard(self, fact: FileFact) -> None:
        """Say what a file turned out to be."""
        if self.progress is None:
            return
        if fact.refused:
            self.progress.say(f"{fact.path}: quarantined whole: {fact.refused}")
        if unknown := fact.unknown_columns:
            self.progress.say(f"{fact.path}: left out columns no one named: {', '.join(unknown)}")
        for name, count in fact.unread_cells.items():
            self.progress.say(f"{fact.path}: left {count} cells of {name} empty: no number in them")
        self.progress.advance(fact.path)


def verdicts(
    lake: Lake,
    config: Config,
    *,
    data_now: datetime,
    training_data: TrainingDataStore | None = None,
) -> tuple[Verdict, ...]:
    """Judge the table: schema, unique keys, freshness, restatements, completeness.

    With ``training_data`` a restatement counts until newer training data hold it.
    """
    newest = lake.readings.newest()
    if newest is None:
        return (Verdict("schema", passed=False, reason="there are no readings yet: run ingest"),)
    recent = lake.readings.read(start=newest - KEYS_CHECKED, columns=KEY)
    return (
        schema_verdict(lake.readings.columns()),
        unique_keys_verdict(recent),
        freshness_verdict(newest, data_now, config.policy.freshness_hours),
        _restatements_verdict(lake, config, training_data),
        completeness_verdict(circuit_readings(lake, config.circuits), config.circuits, data_now),
    )


def _restatements_verdict(
    lake: Lake, config: Config, training_data: TrainingDataStore | None
) -> Verdict:
    """Whether some training data were made before their rows changed."""
    rows = sum(each.rows for each in restated(lake, config.circuits).values())
    stale: dict[str, int] = {}
    if rows and training_data is not None:
        stale = {str(each.circuit): each.hours for each in under_newest(lake, training_data)}
    if not stale:
        return Verdict(
            "restatements", passed=True, reason=f"{rows} rows changed after training; all known"
        )
    named = ", ".join(f"{key} ({count})" for key, count in sorted(stale.items())[:5])
    return Verdict(
        "restatements",
        passed=False,
        reason=f"rows of {len(stale)} circuits changed after their training: {named}; run "
        "`mlops refresh --cutoff DATE` for them",
        blocking=False,
    )


def data_now(kind: Literal["init", "demo"], lake: Lake, now: datetime) -> datetime:
    """The present as the data see it: in a demo it stands still after the newest reading."""
    newest = lake.readings.newest() if kind == "demo" else None
    if newest is None:
        return now
    return datetime.combine(newest.date() + timedelta(days=1), time(), UTC)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _counted(reasons: Sequence[str]) -> dict[str, int]:
    """How often each code comes; what follows a code's colon is detail."""
    counts = Counter(reason.partition(":")[0] for reason in reasons)
    return dict(sorted(counts.items()))


def _dated(report: IngestReport, lake: Lake) -> IngestReport:
    if not lake.readings.exists():
        return report
    return replace(
        report, delta_version=lake.readings.version(), max_timestamp=lake.readings.newest()
    )
