"""Historians over SQLAlchemy Core: a Synapse dedicated pool, PostgreSQL, SQLite.

Names in a statement come from config, which allows identifiers alone; values are always bound. The
session is read-only where the database knows that. A result is whole or refused: rows are counted
in the same transaction, and a server that stops answering is given up at the table's time limit.
"""

from __future__ import annotations

import sqlite3
import threading
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.historian import MODIFIED
from mlops_assets.domain.source import REQUIRED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops_assets.domain.source import TableSource

_T = TypeVar("_T")

DRIVERS = {"mssql": "mssqlpython", "postgresql": "psycopg", "sqlite": "pysqlite"}
_BATCH = 10_000
_CONNECT_SECONDS = 15
_WRITES = ("INSERT", "UPDATE", "DELETE")
_TEXT_LIMIT = 300


class Identity(Protocol):
    """Who we are to a database that takes tokens instead of passwords."""

    def get_token(self, scope: str) -> Any:  # noqa: ANN401 as the driver has it
        """What the driver logs in with: an object whose ``token`` is the token."""


class SqlHistorian:
    """Tables at the addresses that environment variables hold.

    Args:
        environ: holds the addresses, by the names that config gives.
        identity: logs in to a Synapse pool whose address names no user and no other way.
    """

    def __init__(self, environ: Mapping[str, str], identity: Identity | None = None) -> None:
        self._environ = environ
        self._identity = identity

    def read(self, table: TableSource, after: datetime | None) -> pl.DataFrame:
        """All rows whose mark is not before ``after``, or that have none, in any order."""
        names = list(_columns(table))
        cells = self._ask(table, lambda connection, until: _fetch(connection, table, after, until))
        return pl.DataFrame(
            [_series(name, [row[place] for row in cells]) for place, name in enumerate(names)]
        )

    def rights(self, table: TableSource) -> tuple[str, ...]:
        """What the login may do to the table beyond reading."""
        return self._ask(table, lambda connection, _: _rights(connection, table))

    def _ask(self, table: TableSource, question: Callable[[sa.Connection, float], _T]) -> _T:
        """Answer a question on a connection of its own; every failure is one line."""
        url = self._url(table)
        secret = str(url.password) if url.password else ""

        def answer() -> _T:
            engine = _engine(url, table, self._identity)
            try:
                with engine.connect() as connection:
                    return question(connection, monotonic() + table.timeout_seconds)
            finally:
                engine.dispose()

        try:
            return _within(table.timeout_seconds, answer)
        except Exception as error:
            # The driver of Synapse pools refuses an address by an error of no common class.
            known = (SQLAlchemyError, ArgumentError, OSError, ImportError, RuntimeError)
            if not isinstance(error, known) and type(error).__module__ != "mssql_python.exceptions":
                raise
            line = _line(error)
            raise DataError(line.replace(secret, "***") if secret else line) from None

    def _url(self, table: TableSource) -> sa.URL:
        text = self._environ.get(table.url_variable, "")
        if not text:
            raise DataError(f"the environment variable {table.url_variable} is not set")
        try:
            url = sa.make_url(text)
            kind = url.get_backend_name()
        except (ArgumentError, NoSuchModuleError, ValueError):
            raise DataError(f"{table.url_variable} holds no SQLAlchemy URL") from None
        if kind != table.kind:
            raise DataError(f"{table.url_variable} leads to {kind}, the table says {table.kind}")
        return url.set(drivername=f"{kind}+{DRIVERS[table.kind]}")


def statement(table: TableSource, after: datetime | None) -> sa.Select[Any]:
    """Return the one statement that reads rows."""
    source = _source(table)
    columns = [source.c[each].label(name) for name, each in _columns(table).items()]
    return _since(sa.select(*columns).select_from(source), source, table, after)


def counting(table: TableSource, after: datetime | None) -> sa.Select[Any]:
    """Return the statement that says how many rows `statement` must bring at least."""
    source = _source(table)
    counted = sa.select(sa.func.count().label("rows")).select_from(source)
    return _since(counted, source, table, after)


def asking(table: TableSource) -> sa.Select[Any]:
    """Return the statement that says which rights the login has beyond reading."""
    dialect = sa.make_url(f"{table.kind}+{DRIVERS[table.kind]}://").get_dialect()()
    name = sa.literal(dialect.identifier_preparer.format_table(_source(table)))
    if table.kind == "mssql":
        asked = [
            sa.func.has_perms_by_name(name, "OBJECT", right).label(right)
            for right in (*_WRITES, "ALTER")
        ]
    else:
        asked = [
            sa.func.has_table_privilege(name, right).label(right)
            for right in (*_WRITES, "TRUNCATE")
        ]
    return sa.select(*asked)


def _source(table: TableSource) -> sa.TableClause:
    columns: list[sa.ColumnClause[Any]] = [
        sa.column(name) for name in dict.fromkeys(_columns(table).values())
    ]
    return sa.table(table.table, *columns, schema=table.schema or None)


def _columns(table: TableSource) -> dict[str, str]:
    """Our name of each column and the table's."""
    columns: dict[str, str] = {name: getattr(table.columns, name) for name in REQUIRED_COLUMNS}
    columns |= table.columns.features
    return columns | ({MODIFIED: table.modified_at} if table.modified_at else {})


def _since(
    wanted: sa.Select[Any], source: sa.TableClause, table: TableSource, after: datetime | None
) -> sa.Select[Any]:
    """Bound by the mark; a row without one could be new at any time."""
    if after is None:
        return wanted
    mark = source.c[table.modified_at or table.columns.timestamp]
    bound: sa.BindParameter[Any]
    if table.kind == "sqlite":
        # It keeps stamps as text, where a T sorts behind the space: rows too many, never too few.
        bound = sa.bindparam("after", after.isoformat(" "), sa.String())
    else:
        bound = sa.bindparam("after", after, sa.DateTime(timezone=after.tzinfo is not None))
    return wanted.where(sa.or_(mark >= bound, mark.is_(None)))


def _engine(url: sa.URL, table: TableSource, identity: Identity | None) -> sa.Engine:
    pool = sa.pool.NullPool
    match table.kind:
        case "sqlite":
            path = Path(url.database or "")
            if not path.is_file():
                raise DataError(f"{path}: there is no such database")
            place = f"{path.resolve().as_uri()}?mode=ro"
            return sa.create_engine(
                url,
                poolclass=pool,
                creator=lambda: sqlite3.connect(place, uri=True, check_same_thread=False),
            )
        case "postgresql":
            settings = {
                "default_transaction_read_only": "on",
                "statement_timeout": str(table.timeout_seconds * 1000),
                "TimeZone": "UTC",
            }
            return sa.create_engine(
                url,
                poolclass=pool,
                isolation_level="REPEATABLE READ",
                connect_args={
                    "connect_timeout": min(_CONNECT_SECONDS, table.timeout_seconds),
                    "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
                },
            )
        case "mssql":
            login: dict[str, Any] = {"timeout": table.timeout_seconds}
            if identity is not None and not url.username and "authentication" not in url.query:
                login["token_provider"] = identity
            return sa.create_engine(url, poolclass=pool, connect_args=login)


def _fetch(
    connection: sa.Connection, table: TableSource, after: datetime | None, until: float
) -> list[Sequence[Any]]:
    expected = connection.execute(counting(table, after)).scalar_one()
    rows: list[Sequence[Any]] = []
    found = connection.execution_options(stream_results=True).execute(statement(table, after))
    for part in found.partitions(_BATCH):
        rows += part
        if monotonic() > until:
            raise DataError(_late(table.timeout_seconds))
    if len(rows) < expected:
        raise DataError(f"half a result: {len(rows)} of {expected} rows came; run ingest again")
    return rows


def _rights(connection: sa.Connection, table: TableSource) -> tuple[str, ...]:
    if table.kind == "sqlite":
        # The connection is opened read-only, whatever the file's permissions are.
        return ()
    # A table or schema that is not there is an error here, not a login without rights.
    connection.execute(statement(table, None).limit(0))
    asked = asking(table)
    answer = connection.execute(asked).mappings().one()
    return tuple(right for right, granted in answer.items() if granted)


def _within(seconds: float, work: Callable[[], _T]) -> _T:
    """Do work that may never return; a connection that hangs is left behind, not waited for."""
    answers: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # noqa: BLE001 raised again by whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="historian")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise DataError(_late(seconds))
    return answers[0]


def _late(seconds: float) -> str:
    return f"no answer within {seconds} s; ask its owners, or raise timeout_seconds"


def _series(name: str, cells: list[Any]) -> pl.Series:
    """One column of whatever types the driver gave, as text where they differ."""
    filled = [cell for cell in cells if cell is not None]
    if filled and all(isinstance(cell, datetime) for cell in filled):
        aware = {cell.tzinfo is not None for cell in filled}
        if len(aware) == 1:
            zone = "UTC" if aware == {True} else None
            return pl.Series(name, cells, dtype=pl.Datetime("us", zone))
    if filled and all(type(cell) in (int, float, Decimal) for cell in filled):
        try:
            numbers = [None if cell is None else float(cell) for cell in cells]
        except OverflowError:
            pass
        else:
            return pl.Series(name, numbers, dtype=pl.Float64)
    return pl.Series(name, [_text(cell) for cell in cells], dtype=pl.String)


def _text(cell: Any) -> str | None:  # noqa: ANN401 whatever a driver gives
    match cell:
        case None:
            return None
        case str():
            # Columns of fixed width are filled with spaces.
            return cell.rstrip(" ") if cell.strip(" ") else cell
        case datetime() | date() | time():
            return cell.isoformat()
        case timedelta() | bool():
            return str(cell).lower()
        case bytes() | bytearray() | memoryview():
            return bytes(cell).hex()
        case _:
            return str(cell)


def _line(error: BaseException) -> str:
    """The driver's own words, without the statement that SQLAlchemy adds."""
    cause = getattr(error, "orig", None) or error
    words = " ".join(str(cause).split()) or type(cause).__name__
    return words[:_TEXT_LIMIT]
