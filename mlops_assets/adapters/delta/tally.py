"""How many rows each circuit has in a readings table, counted once for each data file.

A data file never changes and its name is never used again, so what was counted in it is kept beside
the table; only files that are new are opened. What is kept is a hint: without it all are counted.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import polars as pl

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.readings import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.adapters.delta.table import StoredTable

_CIRCUIT = ("plant_id", "circuit_id")
_COUNTED = pl.Schema(
    {
        "file": pl.String(),
        "plant_id": pl.String(),
        "circuit_id": pl.String(),
        "rows": pl.Int64(),
        "first_timestamp": pl.Datetime("us", "UTC"),
        "last_timestamp": pl.Datetime("us", "UTC"),
    }
)


class Tally:
    """Counts of a table, kept in a hidden file beside it."""

    def __init__(self, table: StoredTable) -> None:
        self._stored = table

    def of(self, files: Sequence[str]) -> pl.DataFrame:
        """Per circuit in these data files: rows, first and last timestamp.

        Raises:
            OSError, PolarsError: a data file is gone or broken.
        """
        kept = self._before().filter(pl.col("file").is_in(list(files)))
        known = set(kept["file"].to_list())
        new = [self._counted(name) for name in files if name not in known]
        counts = pl.concat([kept, *new])
        if new:
            with suppress(DataError):
                self._keep(counts)
        return (
            counts.group_by(_CIRCUIT)
            .agg(
                pl.col("rows").sum(),
                pl.col("first_timestamp").min(),
                pl.col("last_timestamp").max(),
            )
            .sort(_CIRCUIT)
        )

    def _counted(self, name: str) -> pl.DataFrame:
        rows = self._stored.frame(name, KEY)
        counts = rows.group_by(_CIRCUIT).agg(
            pl.len().cast(pl.Int64).alias("rows"),
            pl.col("timestamp").min().alias("first_timestamp"),
            pl.col("timestamp").max().alias("last_timestamp"),
        )
        return counts.select(pl.lit(name).alias("file"), *list(_COUNTED)[1:]).cast(_COUNTED)

    def _before(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema=_COUNTED)
        with suppress(DataError, pl.exceptions.PolarsError, OSError):
            if data := self._stored.hint("tally"):
                kept = pl.read_parquet(io.BytesIO(data))
                return kept if kept.schema == empty.schema else empty
        return empty

    def _keep(self, counts: pl.DataFrame) -> None:
        data = io.BytesIO()
        counts.write_parquet(data, compression="zstd")
        self._stored.keep_hint("tally", data.getvalue())
