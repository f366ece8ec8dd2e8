"""A Delta table of rows issued for days, a partition a day, each day replaced as a whole.

A write reads the days it touches and replaces them from the same snapshot in one commit: delta-rs
refuses the commit when somebody else changed one of them in between, and the write starts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from deltalake import DeltaTable

    from mlops_assets.adapters.delta.table import StoredTable
    from mlops_assets.domain.identifiers import CircuitKey

_KEY = ["plant_id", "circuit_id"]


class DayTable:
    """One such table; ``empty`` gives its columns, ``order`` is its key, which rows lie in."""

    def __init__(self, table: StoredTable, empty: pl.DataFrame, order: tuple[str, ...]) -> None:
        self._stored = table
        self._empty = empty
        self._order = list(order)

    def version(self) -> int | None:
        """The newest Delta version, None before the first write."""
        table = self._stored.look()
        return None if table is None else int(table.version())

    def read(
        self,
        *,
        first: date | None = None,
        last: date | None = None,
        circuits: Iterable[CircuitKey] | None = None,
    ) -> pl.DataFrame:
        """Rows of days first..last, sorted; reads only the files of those days."""
        rows = self._read(self._stored.look(), _between(first, last))
        if circuits is not None:
            rows = rows.join(_keys(circuits), on=_KEY, how="semi")
        return rows.sort(self._order)

    def replace(self, rows: pl.DataFrame, *, unit: list[str]) -> pl.DataFrame:
        """Write rows in one commit in place of those that agree with them in ``unit``.

        Returns:
            The rows that were not there before; nothing is committed where there is none.
        """
        self._check(rows)
        if rows.is_empty():
            return rows
        with self._stored.alone():
            return self._stored.commit(lambda: self._replace(rows, unit))

    def drop(self, before: date) -> int:
        """Remove the rows of all days before one in one commit; returns how many there were."""
        with self._stored.alone():
            return self._stored.commit(lambda: self._drop(before))

    def _drop(self, before: date) -> int:
        table = self._stored.open()
        old = 0 if table is None else len(self._read(table, pl.col("issued_for") < before))
        if table is not None and old:
            self._stored.replace(table, self._empty.clone(), f"issued_for < '{before}'", None)
        return old

    def _replace(self, rows: pl.DataFrame, unit: list[str]) -> pl.DataFrame:
        days = sorted(rows["issued_for"].unique())
        table = self._stored.open()
        before = self._read(table, pl.col("issued_for").is_in(days))
        changed = rows.join(before, on=rows.columns, how="anti", nulls_equal=True)
        others = before.join(rows, on=unit, how="anti")
        if changed.is_empty() and len(others) + len(rows) == len(before):
            return changed
        after = pl.concat([others, rows]).sort(self._order)
        if table is None:
            self._stored.create(after, None, partition_by=["issued_for"])
        else:
            said = ", ".join(f"'{day}'" for day in days)
            self._stored.replace(table, after, f"issued_for IN ({said})", None)
        return changed

    def _read(self, table: DeltaTable | None, where: pl.Expr) -> pl.DataFrame:
        if table is None:
            return self._empty.clone()
        rows = self._stored.scan(table, self._empty.schema).filter(where)
        return self._stored.collect(rows.select(self._empty.columns)).cast(self._empty.schema)

    def _check(self, rows: pl.DataFrame) -> None:
        if rows.schema != self._empty.schema:
            odd = sorted(
                name
                for name in {*rows.columns, *self._empty.columns}
                if rows.schema.get(name) != self._empty.schema.get(name)
            )
            raise DataError(
                f"lake/{self._stored.name}: rows differ from the table in "
                f"{', '.join(odd) or 'the order of columns'}; write exactly its columns"
            )
        for name in self._order:
            if empty := rows[name].null_count():
                raise DataError(
                    f"lake/{self._stored.name}: {name} is empty in {empty} rows, and part of the "
                    "key"
                )
        if rows.select(self._order).is_duplicated().any():
            raise DataError(f"lake/{self._stored.name}: two rows have one key; write each once")


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
