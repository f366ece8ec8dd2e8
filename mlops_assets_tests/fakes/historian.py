"""A historian in memory that breaks by a script, and builders of what the tests read."""

from __future__ import annotations

import random

import polars as pl

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.historian import MODIFIED
from mlops_assets.domain.source import Sources, TableSource

FAULTS = ("half", "late", "refused", "other_columns")


def a_table(**more) -> TableSource:
    return TableSource(
        **{"kind": "sqlite", "url_variable": "MLOPS_TEST_URL", "table": "readings"} | more
    )


def sources(**tables) -> Sources:
    return Sources(tables=tables or {"north": a_table()})


class FakeHistorian:
    """Rows are tuples of plant, circuit, stamp, value and, if the table has it, modified_at.

    ``script`` names what each next read does: None, a fault of FAULTS, or ``shuffled``.
    """

    def __init__(self, rows=(), script=(), rights=()):
        self.rows = list(rows)
        self.script = list(script)
        self.granted = tuple(rights)
        self.asked = []
        self.reads = 0

    def read(self, table, after):
        self.asked.append(after)
        fault = self.script.pop(0) if self.script else None
        names = ["plant_id", "circuit_id", "timestamp", "value"]
        names += [MODIFIED] if table.modified_at else []
        mark = -1 if table.modified_at else 2
        found = [
            row for row in self.rows if after is None or row[mark] is None or row[mark] >= after
        ]
        match fault:
            case "half":
                raise DataError(f"half a result: {len(found) // 2} of {len(found)} rows came")
            case "late":
                raise DataError("no answer within 300 s")
            case "refused":
                raise DataError("connection refused")
            case "other_columns":
                names = [*names[:-1], "other"]
            case "shuffled":
                self.reads += 1
                random.Random(self.reads).shuffle(found)
        return pl.DataFrame(found, schema=names, orient="row", infer_schema_length=None)

    def rights(self, table):
        return self.granted
