"""Historians: SQL tables of readings, read and never written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.source import TableSource


class Historian(Protocol):
    """Reads the tables that `sources.yml` declares."""

    def read(self, table: TableSource, after: datetime | None) -> pl.DataFrame:
        """All rows whose mark is not before ``after``, or that have none, in any order.

        Columns are plant_id, circuit_id, timestamp, value, the table's features, and modified_at
        where the table has it: the mark, else timestamp is. ``after`` is naive where the marks are.

        Raises:
            DataError: in one line, without any secret; also where rows are missing at the end.
        """

    def rights(self, table: TableSource) -> Sequence[str]:
        """What the login may do to the table beyond reading; DataError when it cannot be asked."""
