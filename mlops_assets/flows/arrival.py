"""Arrival: what becomes of a slice's files and rows, said once for every engine.

Nothing here writes. What decides is what the lake held before the slice, so an engine may do any
part of it twice and anywhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.domain.arrivals import last_arrivals, log_schema, refusals, together
from mlops_assets.domain.declared import parse_declared
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.raw_file import RawFileError, parse
from mlops_assets.domain.readings import KEY, feature_columns
from mlops_assets.domain.slice import FileFact, Part, SliceOrder
from mlops_assets.flows.contract import judge, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.stamps import DateOrder
    from mlops_assets.ports import LandingZone, ReadingsTable, RowLog

# How many files beside one with unclear dates are asked for their order.
_SIBLINGS = 40


@dataclass(frozen=True, slots=True)
class Before:
    """What the lake holds: only read, and the slice's own commits are looked past."""

    readings: ReadingsTable
    quarantine: RowLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One slice's rules; it travels to wherever an engine works."""

    config: Config
    before: Before
    zone: LandingZone
    now: datetime
    slice_id: str

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns that rows may have, in order."""
        return tuple(self.config.feature_columns)

    def read(self, file: RawFile, assumed: DateOrder = "month") -> tuple[FileFact, pl.DataFrame]:
        """Read one file; of one that cannot be used there are no rows."""
        data = self.zone.read(file)
        try:
            found = parse_declared(file.path, data, self.config, assumed=assumed)
        except RawFileError as error:
            return FileFact(path=file.path, refused=str(error)), together({}, ())
        rows = together({file.path: found}, self.features)
        return FileFact(
            path=file.path,
            rows=len(rows),
            unknown_columns=found.unknown_columns,
            features=tuple(name for name in self.features if name in rows.columns),
            unread_cells=dict(sorted(Counter(found.unread_cells["feature"]).items())),
            order=found.dates,
        ), rows

    def days_first(self, facts: Iterable[FileFact]) -> frozenset[str]:
        """Return the files to be read again with the day first: others of their folder say so."""
        unclear = [fact.path for fact in facts if fact.order is None]
        beside = {_folder(path): path for path in unclear}
        orders = {
            folder: proved_order(self.zone, path, self.zone.files())
            for folder, path in beside.items()
        }
        return frozenset(path for path in unclear if orders[_folder(path)] == "day")

    def settle(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Part]:
        """Judge all rows that a slice has of some circuits; return those that enter the table."""
        import polars as pl

        judged = judge(self.before, self.config, rows, now=self.now, slice_id=self.slice_id)
        arrived = last_arrivals(judged.accepted)
        settled = settle(self.before, self.config.circuits, arrived.rows, slice_id=self.slice_id)
        entering = table_rows(settled.rows, self.now)
        refused = judged.quarantined.with_columns(pl.lit("refused").alias("state"))
        newest = entering["timestamp"].max()
        return entering, Part(
            entries=entries_of([refused, settled.entries]),
            withdrawn=settled.withdrawn.select(KEY),
            entering=len(entering),
            superseded=arrived.superseded,
            repeated=arrived.repeated,
            returned=settled.returned,
            held=dict(settled.held),
            days=tuple(entering["date"].unique().sort().to_list()),
            newest=newest,  # type: ignore[arg-type]  # a moment: the column is of moments
            features=tuple(feature_columns(entering.columns)),
        )

    def order(self, files: Sequence[RawFile]) -> SliceOrder:
        """Return what another machine must know to do these files by the same rules."""
        return SliceOrder(
            slice_id=self.slice_id, files=tuple(files), config=self.config, now=self.now
        )


def proved_order(zone: LandingZone, path: str, files: Sequence[RawFile]) -> DateOrder | None:
    """The order of dates that files of a file's folder prove, the newest first."""
    beside = [file for file in files if _folder(file.path) == _folder(path)]
    for other in sorted(beside, key=lambda file: file.path, reverse=True)[:_SIBLINGS]:
        try:
            dates = parse(other.path, zone.read(other), ()).dates
        except DataError:
            continue
        if dates == "day" or dates == "month":  # noqa: PLR1714 so that types narrow
            return dates
    return None


def table_rows(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return settled rows with the columns of the readings table."""
    import polars as pl

    return (
        rows.drop("row")
        .rename({"file": "source"})
        .with_columns(
            pl.col("timestamp").dt.date().alias("date"),
            pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("ingested_at"),
        )
    )


def quarantine_entries(part: Part, facts: Iterable[FileFact]) -> pl.DataFrame:
    """Return what the quarantine learns of a slice, without its id."""
    import polars as pl

    refused = {fact.path: fact.refused for fact in facts if fact.refused}
    whole = refusals(refused).with_columns(pl.lit("refused").alias("state"))
    return entries_of([part.entries, whole])


def entries_of(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return rows for the quarantine with its columns but the slice."""
    import polars as pl

    schema = {name: kind for name, kind in log_schema("quarantine").items() if name != "slice"}
    return pl.concat([pl.DataFrame(schema=schema), *parts], how="diagonal").cast(pl.Schema(schema))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
