"""Delta tables on a local disk: commits are retried on conflict, flushed, and made once.

A commit that belongs to a slice carries the slice's id twice: as the application transaction by
which a repetition is noticed, and as metadata for people.
"""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType

from mlops_assets.adapters.local.files import flush_file, flush_folder
from mlops_assets.domain.errors import DataError, StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_T = TypeVar("_T")

TRIES = 20
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
# Small files, so that a slice rewrites little of a long history; about 40,000 rows of readings.
_FILE_BYTES = 262_144
_WRITER = WriterProperties(compression="ZSTD", max_row_group_size=65_536)
_CONFIGURATION = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 90 days",
    "delta.enableDeletionVectors": "false",
}


class DeltaFolder:
    """One Delta table of one schema in one folder, made by its first commit."""

    def __init__(
        self,
        path: Path,
        *,
        jitter: random.Random | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._jitter = jitter or random.Random()  # noqa: S311 spreads writers, hides nothing
        self._pause = pause

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version, None before its first commit.

        Raises:
            DataError: the table or its last commit cannot be read.
        """
        try:
            table = DeltaTable(self._path, version=version)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise self.unreadable(error) from error
        if version is None:
            if table.version() < 0:
                # Another writer made the log's folder and has not made its first commit yet.
                return None
            self._check_last_commit(table.version())
        return table

    def scan(self, table: DeltaTable | None, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """Rows of an opened table with polars' types; empty when there is none."""
        return pl.LazyFrame(schema=schema) if table is None else pl.scan_delta(table)

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Read rows; DataError when a file of the table is gone or broken."""
        try:
            return rows.collect()
        except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
            raise self.unreadable(error) from error

    def commit(self, attempt: Callable[[], _T]) -> _T:
        """Run ``attempt`` until no other writer was faster, reloading the table each time."""
        longest = _FIRST_PAUSE_SECONDS
        for _ in range(TRIES):
            try:
                return attempt()
            except CommitFailedError:
                self._pause(self._jitter.uniform(0, longest))
                longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)
            except (DeltaError, OSError) as error:
                raise self._unwritable(error) from error
        raise StaleError(f"{self._path}: {TRIES} other writers were faster; run it again")

    def create(
        self, rows: pl.DataFrame, slice_id: str | None, *, partition_by: list[str] | None = None
    ) -> int:
        """Make the table with its first rows in one commit."""
        self._path.mkdir(parents=True, exist_ok=True)
        try:
            write_deltalake(
                self._path,
                _plain(rows),
                mode="error",
                partition_by=partition_by,
                configuration=_CONFIGURATION,
                target_file_size=_FILE_BYTES,
                writer_properties=_WRITER,
                commit_properties=_properties(slice_id),
            )
        except (DeltaError, OSError) as error:
            if not isinstance(error, CommitFailedError) and self.open() is not None:
                raise CommitFailedError(str(error)) from error
            raise
        table = self.open()
        if table is None:
            # Seen while another writer creates the table too: whose commit won shows on a new try.
            raise CommitFailedError(f"{self._path}: its first commit cannot be seen yet")
        return self._flushed(table, slice_id)

    def append(self, table: DeltaTable, rows: pl.DataFrame, slice_id: str) -> int:
        """Add rows in one commit."""
        write_deltalake(
            table,
            _plain(rows),
            mode="append",
            target_file_size=_FILE_BYTES,
            writer_properties=_WRITER,
            commit_properties=_properties(slice_id),
        )
        return self._flushed(table, slice_id)

    def replace(
        self, table: DeltaTable, rows: pl.DataFrame, predicate: str, slice_id: str | None
    ) -> int:
        """Put ``rows`` in the place of all rows that match, in one commit."""
        write_deltalake(
            table,
            _plain(rows),
            mode="overwrite",
            predicate=predicate,
            target_file_size=_FILE_BYTES,
            writer_properties=_WRITER,
            commit_properties=_properties(slice_id),
        )
        return self._flushed(table, slice_id)

    def add_numbers(self, table: DeltaTable, names: list[str]) -> None:
        """Add nullable number columns in a schema commit."""
        table.alter.add_columns([Field(name, PrimitiveType("double")) for name in names])
        self._flushed(table, None)

    def holding(self, table: DeltaTable, slice_id: str) -> int | None:
        """The version whose commit made this slice, None when none did."""
        if table.transaction_version(slice_id) is None:
            return None
        # Not by the library's history: it numbers commits from the newest one, which another writer
        # may have made between its two looks.
        for version in range(table.version(), -1, -1):
            commit = self._commit_file(version)
            if not commit.exists():
                break
            if any(
                action.get("commitInfo", {}).get("slice") == slice_id for action in _actions(commit)
            ):
                return version
        return int(table.version())

    def unreadable(self, error: BaseException) -> DataError:
        """Say in one line that the table cannot be read."""
        return DataError(f"{self._path}: cannot be read: {_line(error)}; restore it from a backup")

    def _unwritable(self, error: BaseException) -> DataError:
        return DataError(
            f"{self._path}: cannot be written: {_line(error)}; nothing was changed, check the "
            "disk's free space and run it again"
        )

    def _check_last_commit(self, version: int) -> None:
        commit = self._commit_file(version)
        if not commit.exists():
            return
        try:
            actions = _actions(commit)
        except ValueError as error:
            raise self.unreadable(error) from error
        if not actions:
            raise self.unreadable(ValueError(f"its last commit {commit.name} is empty"))

    def _flushed(self, table: DeltaTable, slice_id: str | None) -> int:
        """Put the commit just made and its files on the disk; returns its version."""
        version = None if slice_id is None else self.holding(table, slice_id)
        version = int(table.version()) if version is None else version
        commit = self._commit_file(version)
        for action in _actions(commit):
            if added := action.get("add"):
                flush_file(self._path / added["path"])
        flush_file(commit)
        flush_folder(self._path)
        return version

    def _commit_file(self, version: int) -> Path:
        return self._path / "_delta_log" / f"{version:020}.json"


def _actions(commit: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in commit.read_bytes().splitlines() if line]


def _plain(rows: pl.DataFrame) -> Any:  # noqa: ANN401 an Arrow table
    """Rows as Arrow with strings that every Parquet reader knows, string views being too new."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _properties(slice_id: str | None) -> CommitProperties | None:
    if slice_id is None:
        return None
    return CommitProperties(
        custom_metadata={"slice": slice_id}, app_transactions=[Transaction(slice_id, 1)]
    )


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
