"""Readings: raw files into the one table, a slice at a time, and what the table then says.

A slice is the set of files that are new: its id is their digest. It is announced, merged in one
commit that carries the id, and confirmed. A slice that was interrupted is taken up first, with the
same files and so the same id, and finds out by itself how far it came.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.arrivals import (
    judge,
    last_arrivals,
    refusals,
    restatements,
    together,
)
from mlops_assets.domain.declared import parse_declared
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
from mlops_assets.domain.raw_file import ParsedFile, RawFileError, parse
from mlops_assets.domain.readings import KEY, CircuitReadings, IngestReport, missing_steps
from mlops_assets.flows.historian import WithDrawings, draw
from mlops_assets.flows.restatement import under_newest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from mlops_assets.domain.circuit import Circuit, Config
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.stamps import DateOrder
    from mlops_assets.ports import Lake, LandingZone, Progress, TrainingDataStore

# How many files beside one with unclear dates are asked for their order.
_SIBLINGS = 40


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
    restatements (`training_data.trained_until`); it is asked while no training data can be pinned.

    Raises:
        DataError: the landing zone or the table cannot be used.
    """
    zone = WithDrawings(landing, lake.landing) if landing else lake.landing
    with lake.journal.lock():
        drawn = draw(lake, config, now=now, progress=progress)
        files = zone.files()
        report = IngestReport()
        etl = _Etl(lake, config, zone, now, trained_until(), progress)
        reopen_lost(lake, progress)
        reopened, absent = lake.journal.reopened(), list[str]()
        for slice_id, members in lake.journal.pending().items():
            if missing := set(members) - set(files):
                absent += [file.path for file in missing if slice_id in reopened]
            if not missing:
                report += etl.run(slice_id, members)
            elif slice_id in reopened:
                continue
            elif (version := lake.readings.merged(slice_id)) is not None:
                lake.journal.confirm(slice_id, version)
            else:
                lake.journal.withdraw(slice_id)
        confirmed = lake.journal.confirmed()
        if waiting := [file for file in files if file not in confirmed]:
            slice_id = slice_id_of(waiting)
            lake.journal.intend(slice_id, waiting)
            report += etl.run(slice_id, waiting)
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


def reopen_lost(lake: Lake, progress: Progress | None = None) -> tuple[str, ...]:
    """Take up again the slices that a table no longer holds, after a torn commit or a restore.

    Returns:
        Their ids. Whatever commits to the tables must call this before, under the journal's lock:
        a new commit takes the number by which a lost one is noticed.
    """
    newest = {
        "readings": lake.readings.version() if lake.readings.exists() else None,
        "quarantine": lake.quarantine.version(),
        "restatements": lake.restatements.version(),
    }
    made = lake.journal.made()
    lost = [
        slice_id
        for slice_id, versions in made.items()
        if any(_missing(version, newest[table]) for table, version in versions.items())
    ]
    for slice_id in sorted(lost, key=lambda each: made[each].get("readings", 0)):
        lake.journal.reopen(slice_id)
        if progress is not None:
            progress.say(f"slice {slice_id} is no longer in the tables: it is read again")
    return tuple(lost)


def _missing(version: int, newest: int | None) -> bool:
    return newest is None or version > newest


def slice_id_of(files: Sequence[RawFile]) -> str:
    """The digest of a slice's files, whatever order they are told in."""
    return digest_of(sorted([file.path, file.size, file.sha256] for file in files))[:32]


@dataclass(frozen=True)
class _Etl:
    """What takes slices into the table."""

    lake: Lake
    config: Config
    zone: LandingZone
    now: datetime
    trained_until: Mapping[CircuitKey, datetime]
    progress: Progress | None
    orders: dict[str, DateOrder | None] = field(default_factory=dict)

    def run(self, slice_id: str, files: Sequence[RawFile]) -> IngestReport:
        """Read, judge, merge, record, confirm; each step may be repeated."""
        import polars as pl

        parsed, refused = self._read(sorted(files, key=lambda file: file.path))
        rows = together(parsed, self.config.feature_columns)
        judged = judge(rows, self.config.circuits, self.now)
        arrived = last_arrivals(judged.accepted)
        quarantined = pl.concat([judged.quarantined, refusals(refused)])
        report = IngestReport(
            rows_read=len(rows) + len(refused),
            rows_updated=arrived.superseded,
            rows_unchanged=arrived.repeated,
            rows_quarantined=len(quarantined),
            files=tuple(file.path for file in files),
            reasons=_counted(quarantined["reason"].to_list()),
            refused={name: str(error) for name, error in refused.items()},
            unknown_columns={
                name: file.unknown_columns for name, file in parsed.items() if file.unknown_columns
            },
        )
        version, logs = None, dict[str, int]()
        if not arrived.rows.is_empty():
            report, version, logs = self._merge(slice_id, arrived.rows, report)
        log_version = self.lake.quarantine.append(
            quarantined.with_columns(pl.lit(slice_id).alias("slice")), slice_id=slice_id
        )
        if log_version is not None:
            logs["quarantine"] = log_version
        self.lake.journal.confirm(slice_id, version, logs=logs)
        return report

    def _merge(
        self, slice_id: str, arrived: pl.DataFrame, report: IngestReport
    ) -> tuple[IngestReport, int, dict[str, int]]:
        import polars as pl

        rows = arrived.drop("row").rename({"file": "source"})
        rows = rows.with_columns(
            pl.col("timestamp").dt.date().alias("date"),
            pl.lit(self.now).cast(pl.Datetime("us", "UTC")).alias("ingested_at"),
        )
        result = self.lake.readings.merge(rows, slice_id=slice_id)
        newest = rows["timestamp"].max()
        stored = self.lake.readings.newest()
        if not isinstance(newest, datetime) or stored is None or stored < newest:
            raise DataError(
                f"readings: the newest row of slice {slice_id} is {newest!s}, but the table ends "
                f"with {stored!s}; run `mlops verify` and restore the table from a backup"
            )
        restated = restatements(result.changed, self.trained_until)
        log_version = self.lake.restatements.append(
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
        return report + merged, result.delta_version, logs

    def _read(
        self, files: Sequence[RawFile]
    ) -> tuple[dict[str, ParsedFile], dict[str, RawFileError]]:
        if self.progress is not None:
            self.progress.begin("reading raw files", len(files))
        parsed: dict[str, ParsedFile] = {}
        refused: dict[str, RawFileError] = {}
        for file in files:
            try:
                parsed[file.path] = self._parsed(file)
            except RawFileError as error:
                refused[file.path] = error
                self._say(f"{file.path}: quarantined whole: {error}")
            else:
                if unknown := parsed[file.path].unknown_columns:
                    self._say(f"{file.path}: left out columns no one named: {', '.join(unknown)}")
            if self.progress is not None:
                self.progress.advance(file.path)
        return parsed, refused

    def _say(self, line: str) -> None:
        if self.progress is not None:
            self.progress.say(line)

    def _parsed(self, file: RawFile) -> ParsedFile:
        data = self.zone.read(file)
        found = parse_declared(file.path, data, self.config)
        if found.dates is not None:
            return found
        folder = file.path.rpartition("/")[0]
        if folder not in self.orders:
            self.orders[folder] = self._order_beside(file, folder)
        if self.orders[folder] == "day":
            return parse_declared(file.path, data, self.config, assumed="day")
        return found

    def _order_beside(self, file: RawFile, folder: str) -> DateOrder | None:
        """The order of dates that other files of the same folder prove, the newest first."""
        beside = [
            other
            for other in self.zone.files()
            if other.path.rpartition("/")[0] == folder and other != file
        ]
        for other in beside[::-1][:_SIBLINGS]:
            try:
                dates = parse(other.path, self.zone.read(other), ()).dates
            except DataError:
                continue
            if dates == "day" or dates == "month":  # noqa: PLR1714 so that types narrow
                return dates
        return None


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
    log = lake.restatements.read(config.circuits)
    rows = log.n_unique([*KEY, "slice"]) if len(log) else 0
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


def circuit_readings(
    lake: Lake, circuits: Mapping[CircuitKey, Circuit]
) -> dict[CircuitKey, CircuitReadings]:
    """Each circuit's share of the table; a circuit without readings has none."""
    rows = {
        (plant, circuit): (count, first, last)
        for plant, circuit, count, first, last in lake.readings.summary().iter_rows()
    }
    ids = ["plant_id", "circuit_id"]
    quarantined = _per_circuit(lake.quarantine.read(circuits), ids)
    restated = _per_circuit(lake.restatements.read(circuits), [*ids, "timestamp", "slice"])
    shares = {}
    for key, circuit in circuits.items():
        name = (key.plant_id, key.circuit_id)
        count, first, last = rows.get(name, (0, None, None))
        shares[key] = CircuitReadings(
            rows=count,
            first_timestamp=first,
            last_timestamp=last,
            gaps=missing_steps(first, last, count, circuit.spec.step),
            quarantined=quarantined[name],
            restated=restated[name],
        )
    return shares


def _per_circuit(rows: pl.DataFrame, columns: list[str]) -> Counter[tuple[str, str]]:
    if len(columns) > len(("plant_id", "circuit_id")):
        rows = rows.unique(columns)
    counts = rows.group_by("plant_id", "circuit_id").len()
    return Counter({(plant, circuit): count for plant, circuit, count in counts.iter_rows()})


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
