"""Raw files read as their source declares them: zone, dates, decimal mark and units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.raw_file import Form, parse
from mlops_assets.domain.source import HISTORIAN, FolderSource, TableSource, conversion_of
from mlops_assets.domain.unit import UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.raw_file import ParsedFile
    from mlops_assets.domain.source import Source
    from mlops_assets.domain.stamps import DateOrder


def parse_declared(
    path: str,
    data: bytes,
    config: Config,
    *,
    features: Sequence[str] | None = None,
    assumed: DateOrder = "month",
) -> ParsedFile:
    """Read one file of the landing zone, its values in the units of their circuits.

    A value whose unit does not become its circuit's has the reason ``bad_unit``. Of a drawing of a
    table only the rows that the drawing before had not are returned.

    Raises:
        RawFileError: nothing of the file can be used.
    """
    source = config.sources.of(path)
    wanted = config.feature_columns if features is None else features
    found = parse(path, data, wanted, assumed, _form(source))
    if path.startswith(HISTORIAN):
        rows = _arrived(found.rows, data)
        cells = found.unread_cells.join(rows, on="row", how="semi")
        found = replace(found, rows=rows, unknown_columns=(), unread_cells=cells)
    return replace(found, rows=_converted(found.rows, source, config))


def _form(source: Source) -> Form:
    match source:
        case FolderSource():
            return Form(
                timezone=source.timezone,
                dates=None if source.dates == "proved" else source.dates,
                decimals=None if source.decimals == "proved" else source.decimals,
            )
        case TableSource():
            # Drawings are sorted by stamp, and rows of one stamp by when they were modified.
            return Form(timezone=source.timezone, ordered=bool(source.modified_at))


def _arrived(rows: pl.DataFrame, data: bytes) -> pl.DataFrame:
    import io

    import polars as pl

    from mlops_assets.domain.historian import SEEN

    columns = pl.read_parquet_schema(io.BytesIO(data))
    if SEEN not in columns:
        return rows
    seen = pl.read_parquet(io.BytesIO(data), columns=[SEEN])[SEEN]
    return rows.filter(~seen.gather(rows["row"] - 1))


def _converted(rows: pl.DataFrame, source: Source, config: Config) -> pl.DataFrame:
    import polars as pl

    if not (source.unit or source.units or source.factors):
        return rows
    circuits = {(key.plant_id, key.circuit_id): each for key, each in config.circuits.items()}
    parts = []
    for name, part in rows.group_by("plant_id", "circuit_id", maintain_order=True):
        known = circuits.get((str(name[0]), str(name[1])))
        how = UNCHANGED if known is None else conversion_of(source, known.key, known.spec.unit)
        if how is None:
            refused = pl.col("reason").is_null() & pl.col("value").is_not_null()
            said = pl.when(refused).then(pl.lit("bad_unit")).otherwise("reason")
            parts.append(part.with_columns(said.alias("reason")))
        else:
            parts.append(part.with_columns(how.apply(part["value"])))
    return pl.concat(parts).sort("row") if parts else rows
