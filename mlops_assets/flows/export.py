"""Export: one day's predictions as files for people and tools outside the home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

    from mlops_assets.ports import Lake


class Exported(NamedTuple):
    """The CSV file of one export, with its number of rows; a Parquet file lies beside it."""

    file: Path
    rows: int


def export(lake: Lake, day: date, out_dir: Path) -> Exported:
    """Write ``predictions-YYYY-MM-DD`` as CSV and as Parquet, each complete or not at all.

    Raises:
        DataError: nothing was predicted for the day, or the folder cannot be written.
    """
    rows = lake.predictions.read(issued_for=day)
    if rows.is_empty():
        raise DataError(f"lake/predictions: no rows for {day}; run `mlops predict --date {day}`")
    csv, parquet = (out_dir / f"predictions-{day}.{kind}" for kind in ("csv", "parquet"))
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        _whole(csv, rows.write_csv)
        _whole(parquet, rows.write_parquet)
    except OSError as error:
        said = error.strerror or str(error)
        raise DataError(f"{out_dir}: cannot be written: {said}; choose another folder") from error
    return Exported(csv, len(rows))


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``path`` and give it its name when it is complete."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
