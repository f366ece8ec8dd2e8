"""One Delta table wherever its files lie: commits are retried on conflict and made once.

A commit that belongs to a slice carries the slice's id twice: as the application transaction by
which a repetition is noticed, and as metadata for people. What a place must do until a commit is
safe there, and how others' commits are noticed, is for the place to say.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, TypeVar

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

from mlops_assets.domain.errors import DataError, StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from mlops_assets.adapters.delta.log import CommitLog

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


class StoredTable(ABC):
    """One Delta table of one schema in one place, made by its first commit.

    Args:
        place: the path or address, as people and Spark read it.
        log: its commits, where they lie.
        jitter: spreads writers that lost.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        place: str,
        log: CommitLog,
        *,
        jitter: random.Random | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.place = self.address = place
        self.name = place.rstrip("/").rpartition("/")[2]
        self.log = log
        self._looked: tuple[DeltaTable | None, object] = (None, None)
        self._jitter = jitter or random.Random()  # noqa: S311 spreads writers, hides nothing
        self._pause = pause

    @abstractmethod
    def options(self) -> dict[str, str] | None:
        """What the library needs to reach the place, good for the next minutes."""

    @abstractmethod
    def step(self, name: str) -> None:
        """Say that the place is between two changes."""

    @abstractmethod
    def made(self, table: DeltaTable, slice_id: str | None) -> int:
        """Make sure that all commits which this process may have seen are there to stay.

        Returns:
            The version that holds the slice, without one the newest.
        """

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Hold the table against writers that can be held; the others conflict and repeat."""

    @abstractmethod
    def queue(self) -> AbstractContextManager[None]:
        """Hold the table against others that lost a commit, where they can be held."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the first commit needs."""

    @abstractmethod
    def frame(self, file: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read one data file by its name in the table.

        Raises:
            OSError, PolarsError: it is gone or broken.
        """

    @abstractmethod
    def present(self, files: Sequence[str]) -> Sequence[str]:
        """Those of the files that are there."""

    @abstractmethod
    def hint(self, name: str) -> bytes | None:
        """What was kept beside the table under a name; DataError when it cannot be read."""

    @abstractmethod
    def keep_hint(self, name: str, data: bytes) -> None:
        """Keep something beside the table that can be found out again without it.

        Raises:
            DataError: it cannot be written.
        """

    @abstractmethod
    def sweep(self, before: datetime) -> int:
        """Remove what killed writers left before a moment under a temporary name; how many went."""

    @abstractmethod
    def advice(self, verb: Literal["read", "written"]) -> str:
        """What to do when the table cannot be read or written."""

    def line(self, error: BaseException) -> str:
        """What the library says, in one line."""
        text = str(error).strip()
        return text.splitlines()[0] if text else type(error).__name__

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version, None before its first commit.

        Raises:
            DataError: the table cannot be read.
            TornCommitError: its newest commit is not whole.
        """
        try:
            table = DeltaTable(self.address, version=version, storage_options=self.options())
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            if version is None:
                self.log.check()
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

        Whoever lost queues up where the place has a queue, so that one tries again at a time.
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
                    queue.enter_context(self.queue())
                self.step("delta.lost")
        raise StaleError(f"{self.place}: {TRIES} other writers were faster; run it again")

    def create(
        self, rows: pl.DataFrame, slice_id: str | None, *, partition_by: list[str] | None = None
    ) -> int:
        """Make the table with its first rows in one commit.

        CommitFailedError when another writer made it first. The library would put such a commit
        after the other one, with rows that nobody compared and a schema that replaces the other.
        """
        self.prepare()
        self.step("delta.create")
        try:
            write_deltalake(
                self.address,
                _plain(rows),
                mode="error",
                partition_by=partition_by,
                storage_options=self.options(),
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
            raise CommitFailedError(f"{self.place}: its first commit cannot be seen yet")
        return self.made(table, slice_id)

    def append(self, table: DeltaTable, rows: pl.DataFrame, slice_id: str) -> int:
        """Add rows in one commit."""
        self._check_schema(table, rows)
        self.step("delta.append")
        write_deltalake(
            table,
            _plain(rows),
            mode="append",
            target_file_size=FILE_BYTES,
            writer_properties=_WRITER,
            commit_properties=_properties(slice_id),
            post_commithook_properties=HOOKS,
        )
        return self.made(table, slice_id)

    def replace(
        self, table: DeltaTable, rows: pl.DataFrame, predicate: str, slice_id: str | None
    ) -> int:
        """Put ``rows`` in the place of all rows that match, in one commit.

        Another writer's commit since ``table`` was opened, of rows that match, makes this fail with
        CommitFailedError: what was read from ``table`` is no longer true.
        """
        self._check_schema(table, rows)
        self.step("delta.replace")
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
        return self.made(table, slice_id)

    def add_columns(self, table: DeltaTable, kinds: Mapping[str, pl.DataType]) -> None:
        """Add nullable columns in a schema commit."""
        self.step("delta.add_columns")
        fields = Schema.from_arrow(_plain(pl.DataFrame(schema=kinds)).schema).fields
        table.alter.add_columns(
            [Field(each.name, each.type) for each in fields], post_commithook_properties=HOOKS
        )
        self.made(table, None)

    def holding(self, table: DeltaTable, slice_id: str) -> int | None:
        """The version whose commit made this slice; None when none did."""
        if table.transaction_version(slice_id) is None:
            return None
        return self.made(table, slice_id)

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
        gone = self.present(named)
        if gone:
            self.step("delta.vacuum")
            table.vacuum(
                hours,
                dry_run=False,
                enforce_retention_duration=False,
                post_commithook_properties=HOOKS,
                full=True,
                keep_versions=keep,
            )
            self.made(table, None)
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
            self.step("delta.configure")
            table.alter.set_table_properties(lacking, post_commithook_properties=HOOKS)
            self.made(table, None)

    def unreadable(self, error: BaseException) -> DataError:
        """Say in one line that the table cannot be read."""
        advice = self.log.advice_on_checkpoint() or self.advice("read")
        return DataError(f"{self.place}: cannot be read: {self.line(error)}; {advice}")

    def _unwritable(self, error: BaseException) -> DataError:
        return DataError(
            f"{self.place}: cannot be written: {self.line(error)}; {self.advice('written')}"
        )

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
            raise DataError(f"{self.place}: rows do not fit the table: {said}; nothing was changed")


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
