"""Predictions as a Parquet file a circuit and day."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from datetime import date

    from mlops_assets.adapters.tree import Tree
    from mlops_assets.domain.identifiers import CircuitKey


class TreePredictionFiles:
    """`P001/C003/YYYY-MM-DD.parquet` of one serving workspace."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def write(self, circuit: CircuitKey, issued_for: date, rows: pl.DataFrame) -> str:
        """Write one file, complete or not at all; a file that says the same is left alone."""
        name = _name(circuit, issued_for)
        buffer = io.BytesIO()
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        # A day's rows of one circuit: dictionaries and statistics would be longer than the rows.
        pq.write_table(table, buffer, use_dictionary=False, write_statistics=False)
        self._tree.write_changed(name, buffer.getvalue())
        return self._tree.path(name)

    def exists(self, circuit: CircuitKey, issued_for: date) -> bool:
        """Whether the file is there."""
        return self._tree.state(_name(circuit, issued_for)) is not None


def _name(circuit: CircuitKey, issued_for: date) -> str:
    return f"{circuit}/{issued_for.isoformat()}.parquet"
