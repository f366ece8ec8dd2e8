"""A Delta table of rows issued for days, a partition a day, each day replaced as a whole.

A write reads the days it touches and replaces them from the same snapshot in one commit: delta-rs
refuses the commit when somebody else changed one of them in between, and the write starts again.
What a commit added is on the disk before the write returns, because delta-rs does not flush.
"""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from mlops_assets.adapters.local.files import flush_file, flush_folder, locked, read_bytes
from mlops_assets.domain.errors import DataError, StaleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date
    from pathlib import Path

    from mlops_assets.domain.identifiers import CircuitKey

_TRIES = 20
_KEY = ["plant_id", "circuit_id"]
_ADVICE = "restore the table from a copy of the home"


class DayTable:
    """One such table; ``empty`` gives its columns, ``order`` is what rows are sorted by."""

    def __init__(self, path: Path, empty: pl.DataFrame, order: tuple[str, ...]) -> None:
        self._path = path
        self._empty = empty
        self._order = list(order)

    def version(self) -> int | None:
        """The newest Delta version, None before the first write."""
        table = self._open()
        return None if table is None else int(table.version())

    def read(
        self,
        *,
        first: date | None = None,
        last: date | None = None,
        circuits: Iterable[CircuitKey] | None = None,
    ) -> pl.DataFrame:
        """Rows of days first..last, sorted; reads only the files of those days."""
        rows = self._read(self._open(), _between(first, last))
        if circuits is not None:
            rows = rows.join(_keys(circuits), on=_KEY, how="semi")
        return rows.sort(self._order)

    def replace(self, rows: pl.DataFrame, *, unit: list[str]) -> pl.DataFrame:
        """Write rows in one commit in place of those that agree with them in ``unit``.

        Returns:
            The rows that were not there before; nothing is committed where there is none.
        """
        self._check(rows)
        days = rows["issued_for"].unique().to_list()
        if not days:
            return rows
        with locked(self._path.with_name(f".{self._path.name}.lock")):
            for attempt in range(_TRIES):
                table = self._open()
                before = self._read(table, pl.col("issued_for").is_in(days))
                changed = rows.join(before, on=rows.columns, how="anti", nulls_equal=True)
                others = before.join(rows, on=unit, how="anti")
                if changed.is_empty() and len(others) + len(rows) == len(before):
                    return changed
                try:
                    self._commit(table, pl.concat([others, rows]).sort(self._order), days)
                except CommitFailedError:
                    # Spread out, so that writers which met once do not meet again.
                    time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))  # noqa: S311
                else:
                    return changed
        raise StaleError(
            f"{self._path.name}: others changed it {_TRIES} times while it was written; repeat"
        )

    def _commit(self, table: DeltaTable | None, rows: pl.DataFrame, days: Collection[date]) -> None:
        said = ", ".join(f"'{day}'" for day in sorted(days))
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            write_deltalake(
                table if table is not None else str(self._path),
                rows.to_arrow(compat_level=pl.CompatLevel.oldest()),
                mode="overwrite" if table is not None else "error",
                predicate=f"issued_for IN ({said})" if table is not None else None,
                partition_by=["issued_for"],
            )
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(
                f"{self._path.name}: cannot be written: {first}; check the disk's free space and "
                "the folder's permissions, then repeat"
            ) from error
        version = 0 if table is None else int(table.version())
        self._flush(version)

    def _flush(self, version: int) -> None:
        commit = self._path / "_delta_log" / f"{version:020}.json"
        folders = {self._path}
        for line in (read_bytes(commit) or b"").splitlines():
            added = json.loads(line).get("add")
            if added is not None:
                file = self._path / unquote(added["path"])
                flush_file(file)
                folders.add(file.parent)
        for folder in folders:
            flush_folder(folder)
        flush_file(commit)

    def _open(self) -> DeltaTable | None:
        try:
            if not DeltaTable.is_deltatable(str(self._path)):
                return None
            table = DeltaTable(str(self._path))
        except (DeltaError, OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(
                f"{self._path.name}: the table cannot be read: {first}; {_ADVICE}"
            ) from error
        newest = self._path / "_delta_log" / f"{table.version():020}.json"
        if read_bytes(newest) == b"":
            raise DataError(f"{self._path.name}: {newest.name} is empty; {_ADVICE}")
        return table

    def _read(self, table: DeltaTable | None, where: pl.Expr) -> pl.DataFrame:
        if table is None:
            return self._empty.clone()
        try:
            rows = pl.scan_delta(table).filter(where).select(self._empty.columns).collect()
        except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(
                f"{self._path.name}: its rows cannot be read: {first}; {_ADVICE}"
            ) from error
        return rows.cast(self._empty.schema)

    def _check(self, rows: pl.DataFrame) -> None:
        if rows.schema != self._empty.schema:
            odd = sorted(
                name
                for name in {*rows.columns, *self._empty.columns}
                if rows.schema.get(name) != self._empty.schema.get(name)
            )
            raise DataError(
                f"{self._path.name}: rows differ from the table in {', '.join(odd) or 'order'}; "
                "write exactly its columns"
            )
        if rows.select(self._order).is_duplicated().any():
            raise DataError(f"{self._path.name}: two rows have one key; write each key once")


def _between(first: date | None, last: date | None) -> pl.Expr:
    where = pl.lit(value=True)
    if first is not None:
        where &= pl.col("issued_for") >= first
    if last is not None:
        where &= pl.col("issued_for") <= last
    return where


def _keys(circuits: Iterable[CircuitKey]) -> pl.DataFrame:
    keys = [(circuit.plant_id, circuit.circuit_id) for circuit in circuits]
    return pl.DataFrame(keys, schema=dict.fromkeys(_KEY, pl.String), orient="row")
