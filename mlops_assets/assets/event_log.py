"""Dagster's event log in SQLite, with the files that a run writes to kept open while it runs.

Dagster opens a database anew, and has each statement compiled anew, for every look at it: some
seven times an event, which was two thirds of what an event cost. The log is a view that `mlops
rebuild` fills again, so a commit need not wait for the disk: a power cut may take its last events,
never its consistency. Any other storage than SQLite is left as it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from sqlalchemy.engine import Connection, Engine

_BUSY_SECONDS = 30


def keep_open(instance: dg.DagsterInstance, run_id: str) -> None:
    """Keep the index and this run's own database open until the instance is disposed of."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if type(storage) is not SqliteEventLogStorage:
        return
    kept = vars(storage).get("_kept_open")
    if not isinstance(kept, _KeptOpen):
        kept = _KeptOpen(storage)
        vars(storage).update(
            _kept_open=kept, _connect=kept.connect, has_table=kept.has_table, dispose=kept.dispose
        )
    kept.shards.add(run_id)


class _KeptOpen:
    """Stands before one storage's own methods; only shards of its list are kept."""

    def __init__(self, storage: SqliteEventLogStorage) -> None:
        from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME

        self.shards = {INDEX_SHARD_NAME}
        self._storage = storage
        self._opened_anew = storage._connect  # noqa: SLF001 there is no other way in
        self._looked_up = storage.has_table
        self._disposed = storage.dispose
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()

    @contextmanager
    def connect(self, shard: str) -> Iterator[Connection]:
        """Begin a transaction on a shard, under the storage's lock as its own method does."""
        if shard not in self._engines:
            with self._opened_anew(shard) as connection:
                if shard not in self.shards:
                    yield connection
                    return
            self._engines[shard] = self._engine(shard)
        with (
            self._storage._db_lock,  # noqa: SLF001 the lock that its own method takes
            self._engines[shard].connect() as connection,
            connection.begin(),
        ):
            yield connection

    def has_table(self, table_name: str) -> bool:
        """Look a table up once: a run does not see one go."""
        if table_name not in self._tables and self._looked_up(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def dispose(self) -> None:
        """Close what was kept open."""
        with self._storage._db_lock:  # noqa: SLF001 see above
            while self._engines:
                self._engines.popitem()[1].dispose()
        self.shards.clear()
        self._disposed()

    def _engine(self, shard: str) -> Engine:
        from sqlalchemy import create_engine, event

        engine = create_engine(
            self._storage.conn_string_for_shard(shard),
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(
            engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=NORMAL").close()
        )
        return engine
