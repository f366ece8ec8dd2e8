"""What a log of rows counts to, a day at a time, so that history is not read again for it.

Beside the log lies what was counted, and up to which commit. Commits since then name the files that
they added: only the days of their rows are counted anew. What is kept is a hint: where it does not
fit the log, or the log did more than grow, all days are counted.
"""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

import polars as pl

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops_assets.adapters.delta.table import StoredTable

    Count = Callable[[pl.DataFrame], pl.DataFrame]

_DAY = "_day"
# Rows without a time: counted as they come, and added up.
_NONE = ""
_STAMP = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_NAME = re.compile(r"[a-z_]+-[0-9]+")


class Rows(Protocol):
    """Reads the rows of a log between two moments, or all of them."""

    def __call__(
        self, *, start: datetime | None = None, end: datetime | None = None
    ) -> pl.DataFrame: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """Counts of all days up to the commit ``version``, whose bytes have the digest ``mark``."""

    version: int
    mark: str
    counts: pl.DataFrame


class DayCounts:
    """Counts of a log, kept in hidden files beside it."""

    def __init__(self, table: StoredTable, schema: Mapping[str, pl.DataType], rows: Rows) -> None:
        self._stored = table
        self._schema = schema
        self._rows = rows

    def of(self, name: str, count: Count) -> pl.DataFrame:
        """Return the counts of every day; ``name`` ends with the version of ``count``.

        Raises:
            DataError: the log cannot be read.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name} is no name of counts: write NAME-VERSION")
        table = self._stored.look()
        if table is None:
            return count(pl.DataFrame(schema=self._schema))
        version = int(table.version())
        mark = self._mark(version)
        kept = self._read(name)
        if kept is not None and (kept.version, kept.mark) == (version, mark):
            return kept.counts.drop(_DAY)
        counts = None
        if kept is not None and kept.version < version and kept.mark == self._mark(kept.version):
            added = self._added(kept.version, version)
            counts = None if added is None else self._onto(kept.counts, added, count)
        if counts is None:
            counts = _each_day(self._rows(), count)
        if mark:
            with suppress(DataError):
                self._write(name, _Kept(version, mark, counts))
        return counts.drop(_DAY)

    def _onto(self, counts: pl.DataFrame, added: pl.DataFrame, count: Count) -> pl.DataFrame:
        """Return counts with the days of added rows counted anew."""
        dated = _dated(added)
        days = sorted(set(dated[_DAY].to_list()) - {_NONE})
        parts = [counts.filter(~pl.col(_DAY).is_in(days))]
        for first, last in _runs(days):
            rows = self._rows(start=first, end=last + timedelta(days=1))
            parts.append(_each_day(rows.filter(_day_of(rows).is_in(days)), count))
        undated = dated.filter(pl.col(_DAY) == _NONE)
        if len(undated):
            parts.append(_each_day(undated.drop(_DAY), count))
        return pl.concat(parts)

    def _added(self, before: int, version: int) -> pl.DataFrame | None:
        """Return the rows that commits added; None where one did anything else."""
        rows = [pl.DataFrame(schema=self._schema)]
        try:
            for each in range(before + 1, version + 1):
                for action in self._stored.log.actions(each):
                    add, remove = action.get("add"), action.get("remove")
                    if remove and remove.get("dataChange", True):
                        return None
                    if add and add.get("dataChange", True):
                        found = self._stored.frame(unquote(add["path"]))
                        rows.append(found.select(set(self._schema) & set(found.columns)))
        except (OSError, ValueError, pl.exceptions.PolarsError):
            return None
        return pl.concat(rows, how="diagonal").select(
            pl.col(name).cast(kind) for name, kind in self._schema.items()
        )

    def _mark(self, version: int) -> str:
        with suppress(OSError):
            return sha256(self._stored.log.read(version)).hexdigest()
        return ""

    def _read(self, name: str) -> _Kept | None:
        with suppress(DataError, OSError, ValueError, KeyError, pl.exceptions.PolarsError):
            if data := self._stored.hint(name):
                about = pl.read_parquet_metadata(io.BytesIO(data))
                counts = pl.read_parquet(io.BytesIO(data))
                if _DAY in counts.columns:
                    return _Kept(int(about["version"]), about["mark"], counts)
        return None

    def _write(self, name: str, kept: _Kept) -> None:
        data = io.BytesIO()
        about = {"version": str(kept.version), "mark": kept.mark}
        kept.counts.write_parquet(data, compression="zstd", metadata=about)
        self._stored.keep_hint(name, data.getvalue())


def _each_day(rows: pl.DataFrame, count: Count) -> pl.DataFrame:
    """Return the counts of each day alone."""
    empty = count(rows.clear()).with_columns(pl.lit(_NONE).alias(_DAY))
    days = _dated(rows).partition_by(_DAY, as_dict=True, include_key=False)
    parts = [count(each).with_columns(pl.lit(key[0]).alias(_DAY)) for key, each in days.items()]
    return pl.concat([empty, *parts])


def _dated(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(_day_of(rows).alias(_DAY))


def _day_of(rows: pl.DataFrame) -> pl.Series:
    """Return each row's day in UTC as text, empty where it has none."""
    stamp = rows["timestamp"]
    if stamp.dtype != pl.String:
        return stamp.dt.strftime("%Y-%m-%d").fill_null(_NONE)
    days = stamp.str.slice(0, 10)
    real = stamp.str.contains(_STAMP) & days.str.to_date("%Y-%m-%d", strict=False).is_not_null()
    nothing = pl.Series([_NONE], dtype=pl.String)
    return days.zip_with(real.fill_null(value=False), nothing)


def _runs(days: Iterable[str]) -> list[tuple[datetime, datetime]]:
    runs: list[tuple[datetime, datetime]] = []
    for text in days:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
