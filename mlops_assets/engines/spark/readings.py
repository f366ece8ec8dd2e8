"""The readings table written by Delta on Spark, with one MERGE a slice; delta-rs reads it as well.

What a slice does to the table is told by the same rule as in the local adapter, on the version
just before its commit, whoever committed in between. Neither deletion vectors nor checkpoints of
the second version are used, because delta-rs reads neither.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.domain import merging
from mlops_assets.domain.arrivals import check_rows, fixed_schema
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.readings import KEY, feature_columns
from mlops_assets.engines.spark.frames import CIRCUIT, EachGroup, ddl, from_spark, to_spark
from mlops_assets.engines.spark.session import explained
from mlops_assets.ports import MergeResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from pyspark.sql import DataFrame

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import ReadingsTable

TRIES = 20
# About the size of the local adapter's files, so that a slice rewrites little of a long history.
_FILE_ROWS = 40_000
_LONGEST_CONDITION = 40
# As the local adapter makes a table.
PROPERTIES = {
    "delta.checkpointInterval": "50",
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 90 days",
    "delta.enableDeletionVectors": "false",
}
_TRANSACTION = "spark.databricks.delta.write.txn"
_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_COUNTS = ("inserted", "updated", "unchanged", "withdrawn")
BEFORE, ARRIVED, WITHDRAWN = 0, 1, 2


class SparkReadingsTable:
    """`lake/readings`, merged on Spark and read without it.

    Args:
        reads: the same table as the local adapter opens it; it travels to executors in our place.
        uri: where it lies, as Spark names it.
        sessions: where merges run.
    """

    def __init__(self, reads: ReadingsTable, uri: str, sessions: SparkSessions) -> None:
        self._reads = reads
        self._uri = uri
        self._sessions = sessions

    def __reduce__(self) -> tuple[object, tuple[ReadingsTable]]:
        """Travel to an executor, which only reads, as the table that reads."""
        return _same, (self._reads,)

    def merge(
        self, rows: pl.DataFrame, *, slice_id: str, withdrawn: pl.DataFrame | None = None
    ) -> MergeResult:
        """Insert and update in one commit, retried on conflict; a merged slice is not repeated.

        Rows that change nothing make no commit.
        """
        check_rows(rows, feature_columns(rows.columns))
        with self._sessions.session() as session:
            return self.merge_on_spark(
                to_spark(session, rows),
                count=len(rows),
                days=rows["date"].unique().to_list(),
                slice_id=slice_id,
                withdrawn=withdrawn,
            )

    def merge_on_spark(
        self,
        arrived: DataFrame,
        *,
        count: int,
        days: Iterable[date],
        slice_id: str,
        withdrawn: pl.DataFrame | None = None,
    ) -> MergeResult:
        """Merge ``count`` rows of these days, one a key, that are on Spark already.

        Raises:
            DataError: the table cannot be written.
            StaleError: other writers were faster each time.
        """
        from delta.exceptions import DeltaConcurrentModificationException

        merge = _Merge(self._reads, self._uri, slice_id, arrived, withdrawn, days)
        for _ in range(TRIES):
            with explained(f"{self._uri}: cannot be merged"):
                try:
                    return merge.once(count)
                except DeltaConcurrentModificationException:
                    continue
        raise StaleError(f"{self._uri}: {TRIES} other writers were faster; run it again")

    def exists(self) -> bool:
        """Whether any slice was ever merged."""
        return self._reads.exists()

    def version(self) -> int:
        """The newest Delta version; DataError before the first slice."""
        return self._reads.version()

    def merged(self, slice_id: str) -> int | None:
        """The Delta version that holds this slice, if any."""
        return self._reads.merged(slice_id)

    def vacuum(self, *, pinned: Iterable[int], older_than: timedelta) -> int:
        """Remove files replaced so long ago, never one that a pinned version reads."""
        return self._reads.vacuum(pinned=pinned, older_than=older_than)

    def read(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        circuits: Iterable[CircuitKey] | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= timestamp < end, sorted by key; reads only files of those dates."""
        return self._reads.read(
            start=start, end=end, circuits=circuits, version=version, columns=columns
        )

    def columns(self) -> Sequence[str]:
        """Column names in order."""
        return self._reads.columns()

    def newest(self) -> datetime | None:
        """The newest timestamp with a value."""
        return self._reads.newest()

    def summary(self) -> pl.DataFrame:
        """Per circuit: plant_id, circuit_id, rows, first_timestamp, last_timestamp."""
        return self._reads.summary()


class _Merge:
    """One slice into the table."""

    def __init__(  # noqa: PLR0917 made in one place
        self,
        reads: ReadingsTable,
        uri: str,
        slice_id: str,
        arrived: DataFrame,
        withdrawn: pl.DataFrame | None,
        days: Iterable[date],
    ) -> None:
        self._reads = reads
        self._uri = uri
        self._slice_id = slice_id
        self._arrived = arrived
        self._withdrawn = withdrawn if withdrawn is not None and len(withdrawn) else None
        gone = [] if self._withdrawn is None else self._withdrawn["timestamp"].dt.date().to_list()
        self._where = _window([*days, *gone])

    def once(self, count: int) -> MergeResult:
        """Merge unless it was, and tell what it did to the version before."""
        merged = self._reads.merged(self._slice_id)
        if merged is not None:
            return self._compared(self._arrived, merged - 1, merged)
        if not self._reads.exists():
            self._create()
            empty = pl.DataFrame(schema=fixed_schema())
            return MergeResult(
                inserted=count,
                updated=0,
                unchanged=0,
                delta_version=self._reads.version(),
                changed=merging.merge(empty, empty).changed,
            )
        arrived = self._with_table_columns()
        version = self._reads.version()
        found = self._compared(arrived, version, version)
        if not (found.inserted or found.updated or found.withdrawn):
            return found
        self._commit(arrived)
        committed = self._reads.merged(self._slice_id)
        if committed is None:
            raise DataError(f"{self._uri}: its merge left no commit; run it again")
        if committed == version + 1:
            return replace(found, delta_version=committed)
        # Somebody committed between the look and the merge, which saw what they did.
        return self._compared(arrived, committed - 1, committed)

    def _create(self) -> None:
        """Make the table with its first rows, in the order of their days, in one commit."""
        ordered = self._arrived.repartitionByRange("date").sortWithinPartitions("date", *KEY)
        writer = ordered.write.format("delta").mode("errorifexists")
        for name, value in PROPERTIES.items():
            writer = writer.option(name, value)
        (
            writer.option("txnAppId", self._slice_id)
            .option("txnVersion", 1)
            .option("userMetadata", json.dumps({"slice": self._slice_id}))
            .option("maxRecordsPerFile", _FILE_ROWS)
            .save(self._uri)
        )

    def _with_table_columns(self) -> DataFrame:
        """Add features that are new to the table in a schema commit, and those that it has."""
        from pyspark.sql import functions as f

        arrived, columns = self._arrived, list(self._reads.columns())
        if missing := [name for name in arrived.columns if name not in columns]:
            added = ", ".join(f"`{name}` DOUBLE" for name in missing)
            arrived.sparkSession.sql(f"ALTER TABLE delta.`{self._uri}` ADD COLUMNS ({added})")
            columns += missing
        absent = [name for name in columns if name not in arrived.columns]
        empty = [f.lit(None).cast("double").alias(name) for name in absent]
        return arrived.select("*", *empty).select(*columns)

    def _commit(self, arrived: DataFrame) -> None:
        """MERGE; what a row does not say stays, and a row that says nothing new is left alone."""
        from delta.tables import DeltaTable
        from pyspark.sql import functions as f

        session = arrived.sparkSession
        source = arrived.withColumn("_withdrawn", f.lit(False))
        if self._withdrawn is not None:
            gone = to_spark(session, self._withdrawn.select(KEY))
            source = source.unionByName(
                gone.withColumn("_withdrawn", f.lit(True)),
                allowMissingColumns=True,
            )
        cells = ["value", *feature_columns(arrived.columns)]
        same = " AND ".join(f"t.{name} = a.{name}" for name in KEY)
        differs = " OR ".join(f"(a.`{c}` IS NOT NULL AND NOT a.`{c}` <=> t.`{c}`)" for c in cells)
        said = {f"t.`{c}`": f"coalesce(a.`{c}`, t.`{c}`)" for c in cells}
        origin = {f"t.{name}": f"a.{name}" for name in ("source", "ingested_at")}
        inserted = {f"t.`{c}`": f"a.`{c}`" for c in arrived.columns}
        settings = {
            f"{_TRANSACTION}AppId": self._slice_id,
            f"{_TRANSACTION}Version": "1",
            _METADATA: json.dumps({"slice": self._slice_id}),
        }
        for name, value in settings.items():
            session.conf.set(name, value)
        try:
            (
                DeltaTable.forPath(session, self._uri)
                .alias("t")
                .merge(source.alias("a"), f"({self._where}) AND {same}")
                .whenMatchedDelete("a._withdrawn")
                .whenMatchedUpdate(differs, said | origin)
                .whenNotMatchedInsert("NOT a._withdrawn", inserted)
                .execute()
            )
        finally:
            for name in settings:
                session.conf.unset(name)

    def _compared(self, arrived: DataFrame, before: int, version: int) -> MergeResult:
        """What the slice changes in the version ``before``; -1 stands for no table."""
        from pyspark.sql import functions as f

        session = arrived.sparkSession
        features = feature_columns(arrived.columns)
        schema = {**fixed_schema(), **dict.fromkeys(features, pl.Float64())}
        sides = arrived.select(f.lit(ARRIVED).alias("_side"), *schema)
        if before >= 0:
            old = session.read.format("delta").option("versionAsOf", before).load(self._uri)
            old = old.alias("t").where(self._where)
            sides = sides.unionByName(
                old.withColumn("_side", f.lit(BEFORE)), allowMissingColumns=True
            )
        if self._withdrawn is not None:
            gone = to_spark(session, self._withdrawn.select(KEY))
            sides = sides.unionByName(
                gone.withColumn("_side", f.lit(WITHDRAWN)), allowMissingColumns=True
            )
        told = (
            sides.repartition(*CIRCUIT)
            .sortWithinPartitions(*CIRCUIT)
            .mapInArrow(
                EachGroup(compared, {"_side": pl.Int32(), **schema}), ddl(compared_schema())
            )
        )
        rows = from_spark(told, compared_schema())
        changed = [pl.read_ipc_stream(io.BytesIO(each)) for each in rows["changed"]]
        empty = pl.DataFrame(schema=schema)
        nothing = merging.merge(empty, empty).changed
        return MergeResult(
            **{name: int(rows[name].sum()) for name in _COUNTS},
            delta_version=version,
            changed=pl.concat([nothing, *changed]).sort([*KEY, "column"]),
        )


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what arrivals of whole circuits do to their rows of the table."""
    before, arrived, withdrawn = (
        rows.filter(pl.col("_side") == side).drop("_side") for side in (BEFORE, ARRIVED, WITHDRAWN)
    )
    done = merging.merge(before, arrived, withdrawn)
    target = io.BytesIO()
    done.changed.write_ipc_stream(target)
    counts = {name: getattr(done, name) for name in _COUNTS}
    return pl.DataFrame([counts | {"changed": target.getvalue()}], schema=compared_schema())


def compared_schema() -> dict[str, pl.DataType]:
    return {**dict.fromkeys(_COUNTS, pl.Int64()), "changed": pl.Binary()}


def _same(reads: ReadingsTable) -> ReadingsTable:
    return reads


def _window(days: Iterable[date]) -> str:
    """The slice's days as a condition that opens only their files: unbroken runs, or one window."""
    runs: list[list[date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1][1] = day
        else:
            runs.append([day, day])
    if len(runs) > _LONGEST_CONDITION:
        runs = [[runs[0][0], runs[-1][1]]]
    said = [f"(t.date >= DATE'{first}' AND t.date <= DATE'{last}')" for first, last in runs]
    return " OR ".join(said) or "false"
