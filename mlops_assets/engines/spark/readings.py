"""The readings table written by Delta on Spark, with one MERGE a slice; delta-rs reads it as well.

What a slice does to the table is told by the same rule as in the local adapter, on the version
just before its commit, whoever committed in between. Neither deletion vectors nor checkpoints of
the second version are used, because delta-rs reads neither.
"""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.domain.arrivals import check_rows, fixed_schema, merge
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.readings import KEY, feature_columns
from mlops_assets.engines.spark.frames import CIRCUIT, EachCircuit, ddl, from_spark, to_spark
from mlops_assets.engines.spark.session import line
from mlops_assets.ports import MergeResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from pyspark.sql import DataFrame, SparkSession

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import ReadingsTable

TRIES = 20
# About the size of the local adapter's files, so that a slice rewrites little of a long history.
_FILE_ROWS = 40_000
_LONGEST_CONDITION = 40
# As the local adapter makes a table.
_PROPERTIES = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 90 days",
    "delta.enableDeletionVectors": "false",
}
_TRANSACTION = "spark.databricks.delta.write.txn"
_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_COUNTS = ("inserted", "updated", "unchanged")


class SparkReadingsTable:
    """`lake/readings`, merged on Spark and read without it.

    Args:
        reads: the same table as the local adapter opens it.
        uri: where it lies, as Spark names it.
        sessions: where merges run.
    """

    def __init__(self, reads: ReadingsTable, uri: str, sessions: SparkSessions) -> None:
        self._reads = reads
        self._uri = uri
        self._sessions = sessions

    def merge(self, rows: pl.DataFrame, *, slice_id: str) -> MergeResult:
        """Insert and update in one commit, retried on conflict; a merged slice is not repeated.

        Rows that change nothing make no commit.
        """
        check_rows(rows, feature_columns(rows.columns))
        with self._sessions.session() as session:
            arrived = to_spark(session, rows)
            merge_on_spark = Merge(session, self._uri, slice_id)
            return merge_on_spark(arrived, rows["date"].unique().to_list(), self.merged(slice_id))

    def exists(self) -> bool:
        """Whether any slice was ever merged."""
        return self._reads.exists()

    def version(self) -> int:
        """The newest Delta version; DataError before the first slice."""
        return self._reads.version()

    def merged(self, slice_id: str) -> int | None:
        """The Delta version that holds this slice, if any."""
        return self._reads.merged(slice_id)

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


class Merge:
    """One slice into the table at ``uri``; everything is a job of Spark's."""

    def __init__(self, session: SparkSession, uri: str, slice_id: str) -> None:
        self._session = session
        self._uri = uri
        self._slice_id = slice_id

    def __call__(self, arrived: DataFrame, days: Iterable[date], merged: int | None) -> MergeResult:
        """Merge rows, one a key, of these days; ``merged`` is the version that holds them, if any.

        Raises:
            DataError: the table cannot be read or written.
            StaleError: other writers were faster each time.
        """
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        where = _window(days)
        try:
            return self._merge(arrived, where, merged)
        except (PySparkException, Py4JError) as error:
            raise DataError(
                f"{self._uri}: cannot be merged on Spark: {line(error)}; nothing was changed, "
                "run it again"
            ) from error

    def newest(self) -> int | None:
        """The newest version, None where there is no table."""
        from delta.tables import DeltaTable

        if not DeltaTable.isDeltaTable(self._session, self._uri):
            return None
        history = DeltaTable.forPath(self._session, self._uri).history(1)
        return int(history.select("version").collect()[0]["version"])

    def find(self) -> int | None:
        """The version whose commit made this slice, None when none did."""
        from delta.tables import DeltaTable
        from pyspark.sql import functions as f

        if not DeltaTable.isDeltaTable(self._session, self._uri):
            return None
        history = DeltaTable.forPath(self._session, self._uri).history()
        found = history.where(f.col("userMetadata") == self._metadata).select("version").collect()
        return int(found[0]["version"]) if found else None

    @property
    def _metadata(self) -> str:
        return json.dumps({"slice": self._slice_id})

    def _merge(self, arrived: DataFrame, where: str, merged: int | None) -> MergeResult:
        from delta.exceptions import DeltaConcurrentModificationException

        if merged is not None:
            return self._compared(arrived, where, merged - 1, merged)
        for _ in range(TRIES):
            version = self.newest()
            try:
                if version is None:
                    self._create(arrived)
                    return self._compared(arrived, where, -1, 0)
                rows = self._with_table_columns(arrived)
                version = self.newest() or version
                found = self._compared(rows, where, version, version)
                if not found.inserted and not found.updated:
                    return found
                self._commit(rows, where)
            except DeltaConcurrentModificationException:
                continue
            committed = self._committed(version)
            if committed == version + 1:
                return MergeResult(
                    inserted=found.inserted,
                    updated=found.updated,
                    unchanged=found.unchanged,
                    delta_version=committed,
                    changed=found.changed,
                )
            return self._compared(rows, where, committed - 1, committed)
        raise StaleError(f"{self._uri}: {TRIES} other writers were faster; run it again")

    def _create(self, arrived: DataFrame) -> None:
        """Make the table with its first rows, in the order of their days, in one commit."""
        ordered = arrived.repartitionByRange("date").sortWithinPartitions("date", *KEY)
        writer = ordered.write.format("delta").mode("errorifexists")
        for name, value in _PROPERTIES.items():
            writer = writer.option(name, value)
        (
            writer.option("txnAppId", self._slice_id)
            .option("txnVersion", 1)
            .option("userMetadata", self._metadata)
            .option("maxRecordsPerFile", _FILE_ROWS)
            .save(self._uri)
        )

    def _with_table_columns(self, arrived: DataFrame) -> DataFrame:
        """Add features that are new to the table in a schema commit, and those that it has."""
        from delta.tables import DeltaTable
        from pyspark.sql import functions as f

        table = DeltaTable.forPath(self._session, self._uri)
        columns = table.toDF().columns
        if missing := [name for name in arrived.columns if name not in columns]:
            added = ", ".join(f"`{name}` DOUBLE" for name in missing)
            self._session.sql(f"ALTER TABLE delta.`{self._uri}` ADD COLUMNS ({added})")
            columns = [*columns, *missing]
        absent = [name for name in columns if name not in arrived.columns]
        return arrived.withColumns({name: f.lit(None).cast("double") for name in absent}).select(
            *columns
        )

    def _commit(self, arrived: DataFrame, where: str) -> None:
        """MERGE; what a row does not say stays, and a row that says nothing new is left alone."""
        from delta.tables import DeltaTable

        cells = ["value", *feature_columns(arrived.columns)]
        same = " AND ".join(f"t.{name} = a.{name}" for name in KEY)
        differs = " OR ".join(f"(a.`{c}` IS NOT NULL AND NOT a.`{c}` <=> t.`{c}`)" for c in cells)
        said = {f"t.`{c}`": f"coalesce(a.`{c}`, t.`{c}`)" for c in cells}
        origin = {f"t.{name}": f"a.{name}" for name in ("source", "ingested_at")}
        settings = {
            f"{_TRANSACTION}AppId": self._slice_id,
            f"{_TRANSACTION}Version": "1",
            _METADATA: self._metadata,
        }
        for name, value in settings.items():
            self._session.conf.set(name, value)
        try:
            (
                DeltaTable.forPath(self._session, self._uri)
                .alias("t")
                .merge(arrived.alias("a"), f"({where}) AND {same}")
                .whenMatchedUpdate(differs, said | origin)
                .whenNotMatchedInsertAll()
                .execute()
            )
        finally:
            for name in settings:
                self._session.conf.unset(name)

    def _committed(self, before: int) -> int:
        """The version of our commit, which is later than ``before``."""
        from delta.tables import DeltaTable
        from pyspark.sql import functions as f

        table = DeltaTable.forPath(self._session, self._uri)
        newest = self.newest() or 0
        history = table.history(max(newest - before, 1))
        found = history.where(f.col("userMetadata") == self._metadata).select("version").collect()
        if not found:
            raise StaleError(f"{self._uri}: another writer merged this slice; run it again")
        return int(found[0]["version"])

    def _compared(self, arrived: DataFrame, where: str, before: int, version: int) -> MergeResult:
        """What the arrived rows change in the version ``before``; -1 stands for no table."""
        from pyspark.sql import functions as f

        features = feature_columns(arrived.columns)
        schema = {**fixed_schema(), **dict.fromkeys(features, pl.Float64())}
        both = arrived.select(f.lit(1).alias("_side"), *schema)
        if before >= 0:
            old = self._session.read.format("delta").option("versionAsOf", before).load(self._uri)
            there = [
                f.col(n) if n in old.columns else f.lit(None).cast("double").alias(n)
                for n in schema
            ]
            both = both.unionByName(
                old.alias("t").where(where).select(f.lit(0).alias("_side"), *there)
            )
        told = (
            both.repartition(*CIRCUIT)
            .sortWithinPartitions(*CIRCUIT)
            .mapInArrow(
                EachCircuit(compared, {"_side": pl.Int32(), **schema}), ddl(compared_schema())
            )
        )
        rows = from_spark(told, compared_schema())
        changed = [pl.read_ipc_stream(io.BytesIO(each)) for each in rows["changed"]]
        nothing = merge(pl.DataFrame(schema=schema), pl.DataFrame(schema=schema)).changed
        counts = {name: int(rows[name].sum()) for name in _COUNTS}
        return MergeResult(
            **counts,
            delta_version=version,
            changed=pl.concat([nothing, *changed]).sort([*KEY, "column"]),
        )


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what one circuit's arrivals (``_side`` 1) do to its rows of the table (0)."""
    arrived, before = (rows.filter(pl.col("_side") == side).drop("_side") for side in (1, 0))
    done = merge(before, arrived)
    target = io.BytesIO()
    done.changed.write_ipc_stream(target)
    counts = {name: getattr(done, name) for name in _COUNTS}
    return pl.DataFrame([counts | {"changed": target.getvalue()}], schema=compared_schema())


def compared_schema() -> dict[str, pl.DataType]:
    return {**dict.fromkeys(_COUNTS, pl.Int64()), "changed": pl.Binary()}


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
