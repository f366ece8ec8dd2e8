"""The ETL on Spark: files are read and circuits settled on the executors, by the same rules.

Spark's own part is who does what where. Each file is read by one task; rows travel to the task of
their circuit, in the order of their arrival; what enters the table stays on the executors until
the MERGE, and only what people read of a slice comes back.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.domain.arrivals import fixed_schema, together
from mlops_assets.domain.readings import FIXED, RawFile, feature_columns
from mlops_assets.domain.slice import FileFact, Part
from mlops_assets.engines.spark.frames import CIRCUIT, EachGroup, arrow, ddl
from mlops_assets.engines.spark.readings import SparkReadingsTable
from mlops_assets.engines.spark.session import explained
from mlops_assets.engines.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from mlops_assets.engines.spark.frames import Batches
    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets.ports import MergeResult, ReadingsTable, SliceRules

_FILES = "number int, path string, size bigint, sha256 string, assumed string"


class SparkTransformEngine:
    """A slice's rows on the executors; the session is held until they are merged."""

    def __init__(self, sessions: SparkSessions) -> None:
        self._sessions = sessions

    @contextmanager
    def arrive(
        self,
        rules: SliceRules,
        files: Sequence[RawFile],
        heard: Callable[[FileFact], None],
    ) -> Iterator[SparkArrived]:
        """Read the files and settle their rows."""
        with self._sessions.session() as session, ExitStack() as kept:
            yield self._arrived(kept, session, rules, files, heard)

    def _arrived(
        self,
        kept: ExitStack,
        session: SparkSession,
        rules: SliceRules,
        files: Sequence[RawFile],
        heard: Callable[[FileFact], None],
    ) -> SparkArrived:
        with explained("a slice could not be read"):
            read = kept.enter_context(_kept(_read(session, rules, files, frozenset())))
            facts = _facts(read)
            for fact in facts:
                heard(fact)
            if again := rules.days_first(facts):
                clear = read.where(~read["file"].isin(sorted(again)))
                reread = kept.enter_context(_kept(_read(session, rules, files, again)))
                named = {fact.path: fact for fact in _facts(reread)}
                facts = [named.get(fact.path, fact) for fact in facts]
                read = clear.unionByName(reread)
            present = {name for fact in facts for name in fact.features}
            features = [name for name in rules.features if name in present]
            settled = kept.enter_context(_kept(_settled(read, rules, features)))
            _, nothing = rules.settle(_parsed_rows(features))
            part = reduce(Part.__add__, _parts(settled), nothing)
            entering = settled.where("_part IS NULL").select(*FIXED, *part.features)
            return SparkArrived(tuple(facts), part, entering)


@dataclass(frozen=True, slots=True)
class SparkArrived:
    """A slice's rows on the executors."""

    facts: tuple[FileFact, ...]
    part: Part
    rows: DataFrame

    def merge(self, table: ReadingsTable, *, slice_id: str) -> MergeResult:
        """Put them into the table in one commit.

        Raises:
            TypeError: the table is not on Spark; `resources` opens engine and table together.
        """
        if not isinstance(table, SparkReadingsTable):
            raise TypeError(f"rows on Spark are merged on Spark, not by {type(table).__name__}")
        return table.merge_on_spark(
            self.rows,
            count=self.part.entering,
            days=self.part.days,
            slice_id=slice_id,
            withdrawn=self.part.withdrawn,
        )


class ReadFiles:
    """Files into rows, on an executor: after each file's rows a row that tells of the file."""

    def __init__(self, rules: SliceRules) -> None:
        self._rules = rules

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Read each file."""
        schema = _read_schema(self._rules.features)
        for batch in batches:
            for row in batch.to_pylist():
                file = RawFile(row["path"], row["size"], row["sha256"])
                fact, rows = self._rules.read(file, row["assumed"])
                yield from arrow(_filled(rows.with_columns(_number=row["number"]), schema))
                told = pl.DataFrame([{"file": file.path, "_fact": encode(fact)}])
                yield from arrow(_filled(told, schema))


class SettleCircuits:
    """Rows of whole circuits into those that enter, and a row that tells of the others."""

    def __init__(self, rules: SliceRules, features: Sequence[str]) -> None:
        self._rules = rules
        self._features = features

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Settle one group."""
        parsed = _parsed_rows(self._features)
        entering, part = self._rules.settle(rows.select(parsed.columns))
        schema = _settled_schema(self._rules.features)
        told = pl.DataFrame([{"_part": encode(part)}])
        return pl.concat([_filled(entering, schema), _filled(told, schema)])


def _read(
    session: SparkSession, rules: SliceRules, files: Sequence[RawFile], again: frozenset[str]
) -> DataFrame:
    """Rows and facts of all files, or of those that are read again with the day first."""
    rows = [
        (number, file.path, file.size, file.sha256, "day" if again else "month")
        for number, file in enumerate(files)
        if not again or file.path in again
    ]
    named = session.createDataFrame(rows, _FILES)
    return named.mapInArrow(ReadFiles(rules), ddl(_read_schema(rules.features)))


def _settled(read: DataFrame, rules: SliceRules, features: Sequence[str]) -> DataFrame:
    schema = {**_parsed_rows(features).schema, "_number": pl.Int32()}
    return (
        read.where("_fact IS NULL")
        .select(*schema)
        .repartition(*CIRCUIT)
        .sortWithinPartitions(*CIRCUIT, "_number", "row")
        .mapInArrow(
            EachGroup(SettleCircuits(rules, features), schema),
            ddl(_settled_schema(rules.features)),
        )
    )


@contextmanager
def _kept(rows: DataFrame) -> Iterator[DataFrame]:
    """Rows that are computed once, on memory and disk of the executors."""
    kept = rows.persist()
    try:
        yield kept
    finally:
        kept.unpersist()


def _facts(read: DataFrame) -> list[FileFact]:
    found = read.where("_fact IS NOT NULL").select("_fact").collect()
    return sorted((decode(bytes(row["_fact"])) for row in found), key=lambda fact: fact.path)


def _parts(settled: DataFrame) -> list[Part]:
    found = settled.where("_part IS NOT NULL").select("_part").collect()
    return [decode(bytes(row["_part"])) for row in found]


def _parsed_rows(features: Sequence[str]) -> pl.DataFrame:
    """No rows, with the columns of parsed ones."""
    rows = together({}, ())
    return rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in features)


def _read_schema(features: Sequence[str]) -> dict[str, pl.DataType]:
    rows = _parsed_rows(features).schema
    return {**rows, "_number": pl.Int32(), "_fact": pl.Binary()}


def _settled_schema(features: Sequence[str]) -> dict[str, pl.DataType]:
    known = feature_columns(list(features))
    return {**fixed_schema(), **dict.fromkeys(known, pl.Float64()), "_part": pl.Binary()}


def _filled(rows: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Rows with exactly these columns, nothing where they have none."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )
