"""Delta tables on a local disk: commits are retried on conflict, flushed, and made once.

A commit that belongs to a slice carries the slice's id twice: as the application transaction by
which a repetition is noticed, and as metadata for people. A commit that nobody flushed is flushed
before anybody hears of it, also where the process that made it was killed.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from mlops_assets.adapters.local.delta_log import DeltaLog
from mlops_assets.adapters.local.files import locked, make_folder, step
from mlops_assets.domain.errors import DataError, StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta
    from pathlib import Path

_T = TypeVar("_T")

TRIES = 20
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
# Small files, so that a slice rewrites little of a long history; about 40,000 rows of readings.
FILE_BYTES = 262_144
_WRITER = WriterProperties(compression="ZSTD", max_row_group_size=65_536)
# Old commits go with `vacuum`, which knows what is pinned, and never on the way.
HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
CONFIGURATION = {
    "delta.checkpointInterval": "50",
    # Nor does whoever else writes the table take them.
    "delta.enableExpiredLogCleanup": "false",
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
        self.path = path
        self.log = DeltaLog(path)
        self._looked: tuple[DeltaTable | None, object] = (None, None)
        self._jitter = jitter or random.Random()  # noqa: S311 spreads writers, hides nothing
        self._pause = pause

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version, None before its first commit.

        Raises:
            DataError: the table cannot be read.
            TornCommitError: its newest commit is not whole.
        """
        try:
            table = DeltaTable(self.path, version=version)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            if version is None:
                self.log.check(self.log.newest())
            raise self.unreadable(error) from error
        if version is None:
            if table.version() < 0:
                # Another writer made the log's folder and has not made its first commit yet.
                return None
            self.log.check(table.version())
        return table

    def look(self) -> DeltaTable | None:
        """The newest version, for reading alone: it is opened again only when there is a newer one.

        Writers open their own, because a write moves the table that it is given to its version.

        Raises:
            DataError: the table cannot be read.
            TornCommitError: its newest commit is not whole.
        """
        table, state = self._looked
        if table is not None and state is not None and state == self.log.state(table.version()):
            self.log.check(table.version())
            return table
        table = self.open()
        self._looked = (table, None if table is None else self.log.state(table.version()))
        return table

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without an opened table."""
        return {**self.__dict__, "_looked": (None, None)}

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
        """Run ``attempt`` until no other writer was faster, reloading the table each time.

        Whoever lost queues up, so that of many writers on one machine one tries again at a time.
        """
        longest = _FIRST_PAUSE_SECONDS
        with ExitStack() as queue:
            for number in range(TRIES):
                try:
                    return attempt()
                except CommitFailedError:
                    self._pause(self._jitter.uniform(0, longest))
                    longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)
                except (DeltaError, OSError) as error:
                    raise self._unwritable(error) from error
                if number == 0:
                    queue.enter_context(locked(self.path.with_name(f".{self.path.name}.queue")))
                step("delta.lost", self.path)
        raise StaleError(f"{self.path}: {TRIES} other writers were faster; run it again")

    def create(
        self, rows: pl.DataFrame, slice_id: str | None, *, partition_by: list[str] | None = None
    ) -> int:
        """Make the table with its first rows in one commit.

        CommitFailedError when another writer made it first. The library would put such a commit
        after the other one, with rows that nobody compared and a schema that replaces the other.
        """
        make_folder(self.path)
        step("delta.create", self.path)
        try:
            write_deltalake(
                self.path,
                _plain(rows),
                mode="error",
                partition_by=partition_by,
                configuration=CONFIGURATION,
                target_file_size=FILE_BYTES,
                writer_properties=_WRITER,
                commit_properties=_properties(slice_id, tries=0),
                post_commithook_properties=HOOKS,
            )
        except (DeltaError, OSError) as error:
            if not isinstance(error, CommitFailedError) and self.open() is not None:
                raise CommitFailedError(str(error)) from error
            raise
        table = self.open()
        if table is None:
            # Seen while another writer creates the table too: whose commit won shows on a new try.
            raise CommitFailedError(f"{self.path}: its first commit cannot be seen yet")
        return self._flushed(table, slice_id)

    def append(self, table: DeltaTable, rows: pl.DataFrame, slice_id: str) -> int:
        """Add rows in one commit."""
        self._check_schema(table, rows)
        step("delta.append", self.path)
        write_deltalake(
            table,
            _plain(rows),
            mode="append",
            target_file_size=FILE_BYTES,
            writer_properties=_WRITER,
            commit_properties=_properties(slice_id),
            post_commithook_properties=HOOKS,
        )
        return self._flushed(table, slice_id)

    def replace(
        self, table: DeltaTable, rows: pl.DataFrame, predicate: str, slice_id: str | None
    ) -> int:
        """Put ``rows`` in the place of all rows that match, in one commit.

        Another writer's commit since ``table`` was opened, of rows that match, makes this fail with
        CommitFailedError: what was read from ``table`` is no longer true.
        """
        self._check_schema(table, rows)
        step("delta.replace", self.path)
        write_deltalake(
            table,
            _plain(rows),
            mode="overwrite",
            predicate=predicate,
            target_file_size=FILE_BYTES,
            writer_properties=_WRITER,
            commit_properties=_properties(slice_id),
            post_commithook_properties=HOOKS,
        )
        return self._flushed(table, slice_id)

    def add_numbers(self, table: DeltaTable, names: list[str]) -> None:
        """Add nullable number columns in a schema commit."""
        self.add_columns(table, dict.fromkeys(names, pl.Float64()))

    def add_columns(self, table: DeltaTable, kinds: Mapping[str, pl.DataType]) -> None:
        """Add nullable columns in a schema commit."""
        step("delta.add_columns", self.path)
        fields = Schema.from_arrow(_plain(pl.DataFrame(schema=kinds)).schema).fields
        table.alter.add_columns(
            [Field(each.name, each.type) for each in fields], post_commithook_properties=HOOKS
        )
        self._flushed(table, None)

    def holding(self, table: DeltaTable, slice_id: str) -> int | None:
        """The version whose commit made this slice, on the disk; None when none did."""
        if table.transaction_version(slice_id) is None:
            return None
        return self._flushed(table, slice_id)

    def vacuum(self, pinned: Iterable[int], older_than: timedelta) -> int:
        """Remove data files that were replaced so long ago and that no pinned version reads.

        Files that a killed writer left and no commit names go with them.

        Returns:
            How many went. A pinned version whose commits are gone is no reason to keep files.
        """
        return self.commit(lambda: self._vacuum(sorted(set(pinned)), older_than))

    def _vacuum(self, pinned: list[int], older_than: timedelta) -> int:
        table = self.open()
        if table is None:
            return 0
        hours = int(older_than.total_seconds() // 3600)
        keep = [version for version in pinned if version <= table.version()]
        # The library names files again that went long ago; for those alone no commit is made.
        named = table.vacuum(hours, enforce_retention_duration=False, keep_versions=keep, full=True)
        gone = [name for name in named if (self.path / name).exists()]
        if gone:
            step("delta.vacuum", self.path)
            table.vacuum(
                hours,
                dry_run=False,
                enforce_retention_duration=False,
                post_commithook_properties=HOOKS,
                full=True,
                keep_versions=keep,
            )
            self._flushed(table, None)
        return len(gone)

    def configure(self) -> None:
        """Give a table the properties of a new one; one that has them gets no commit."""
        self.commit(self._configure)

    def _configure(self) -> None:
        table = self.open()
        if table is None:
            return
        there = table.metadata().configuration
        lacking = {name: each for name, each in CONFIGURATION.items() if there.get(name) != each}
        if lacking:
            step("delta.configure", self.path)
            table.alter.set_table_properties(lacking, post_commithook_properties=HOOKS)
            self._flushed(table, None)

    def upkeep(self, table: DeltaTable) -> None:
        """Put on the disk what the library did to a table by itself."""
        self._flushed(table, None)

    def unreadable(self, error: BaseException) -> DataError:
        """Say in one line that the table cannot be read."""
        advice = self.log.advice_on_checkpoint() or "restore it from a backup"
        return DataError(f"{self.path}: cannot be read: {_line(error)}; {advice}")

    def _unwritable(self, error: BaseException) -> DataError:
        return DataError(
            f"{self.path}: cannot be written: {_line(error)}; nothing was changed, check the "
            "disk's free space and run it again"
        )

    def _flushed(self, table: DeltaTable, slice_id: str | None) -> int:
        """Put all commits that this process may have seen on the disk.

        Returns:
            The version that holds the slice, without one the newest.
        """
        newest = int(table.version())
        self.log.flush(newest)
        made = None if slice_id is None else self.log.find("slice", slice_id, newest)
        return newest if made is None else made

    def _check_schema(self, table: DeltaTable, rows: pl.DataFrame) -> None:
        """Refuse rows that have not exactly the table's columns: a merge would fill or drop them.

        Raises:
            DataError: naming the columns.
        """
        there = {field.name: field.type for field in table.schema().fields}
        here = {field.name: field.type for field in Schema.from_arrow(_plain(rows).schema).fields}
        if odd := sorted(name for name in {*there, *here} if there.get(name) != here.get(name)):
            said = "; ".join(
                f"{name} is {_type(here.get(name))}, in the table {_type(there.get(name))}"
                for name in odd
            )
            raise DataError(f"{self.path}: rows do not fit the table: {said}; nothing was changed")


def _plain(rows: pl.DataFrame) -> Any:  # noqa: ANN401 an Arrow table
    """Rows as Arrow with strings that every Parquet reader knows, string views being too new."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _properties(slice_id: str | None, *, tries: int | None = None) -> CommitProperties | None:
    if slice_id is None:
        return None if tries is None else CommitProperties(max_commit_retries=tries)
    return CommitProperties(
        custom_metadata={"slice": slice_id},
        app_transactions=[Transaction(slice_id, 1)],
        max_commit_retries=tries,
    )


def _type(kind: object) -> str:
    return "absent" if kind is None else str(getattr(kind, "type", kind))


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
