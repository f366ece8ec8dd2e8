"""Quality in memory."""

from __future__ import annotations

import polars as pl

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.quality import QUALITY_KEY, quality_frame
from mlops_assets_tests.fakes.forecast import only


class FakeQualityTable:
    def __init__(self):
        self.rows = quality_frame(())

    def replace(self, rows):
        if rows.schema != self.rows.schema:
            raise DataError("lake/quality: rows differ from the table in their columns")
        if rows.select(QUALITY_KEY).is_duplicated().any():
            raise DataError("lake/quality: two rows have one key; write each once")
        changed = rows.join(self.rows, on=rows.columns, how="anti", nulls_equal=True)
        others = self.rows.join(rows, on=list(QUALITY_KEY), how="anti")
        self.rows = pl.concat([others, rows]).sort(QUALITY_KEY)
        return len(changed)

    def drop(self, *, before):
        old = self.rows.filter(pl.col("issued_for") < before)
        self.rows = self.rows.filter(pl.col("issued_for") >= before)
        return len(old)

    def read(self, *, first=None, circuits=None):
        rows = self.rows if first is None else self.rows.filter(pl.col("issued_for") >= first)
        return only(rows, circuits)
