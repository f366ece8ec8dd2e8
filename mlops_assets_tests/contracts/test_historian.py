"""What any historian must do: read a table whole, bounded by its mark, and never write."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa

from mlops_assets.adapters.local import historian
from mlops_assets.adapters.local.historian import SqlHistorian
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.source import TableColumns
from mlops_assets_tests import postgresql
from mlops_assets_tests.fakes.historian import FakeHistorian, a_table

START = datetime(2024, 6, 1)  # noqa: DTZ001 as a table without zones holds it
COLUMNS = ["plant_id", "circuit_id", "timestamp", "value", "modified_at"]


@pytest.fixture(scope="module")
def server():
    with postgresql.running() as started:
        started.run("create role reader login password 'canary-9f2c41'")
        yield started


class Sqlite:
    kind = "sqlite"

    def __init__(self, folder):
        self.path = folder / "plant.db"
        self.table = a_table(modified_at="modified_at")
        self.historian = SqlHistorian({"MLOPS_TEST_URL": f"sqlite:///{self.path}"})
        self._run(
            "create table readings (plant_id text, circuit_id text, timestamp datetime,"
            " value real, modified_at datetime)"
        )

    def put(self, *rows):
        for row in rows:
            self._run("insert into readings values (?, ?, ?, ?, ?)", [_sql(cell) for cell in row])

    def _run(self, statement, values=()):
        with sqlite3.connect(self.path) as connection:
            connection.execute(statement, values)
        connection.close()


class Postgresql:
    kind = "postgresql"

    def __init__(self, server):
        self.server = server
        self.table = a_table(kind="postgresql", schema="plant", modified_at="modified_at")
        self.historian = SqlHistorian({"MLOPS_TEST_URL": server.url("reader")})
        server.run(
            "drop schema if exists plant cascade",
            "create schema plant",
            "create table plant.readings (plant_id varchar(8), circuit_id char(6),"
            " timestamp timestamp, value numeric, modified_at timestamp)",
            "grant usage on schema plant to reader",
            "grant select on plant.readings to reader",
        )

    def put(self, *rows):
        for row in rows:
            cells = ", ".join("null" if cell is None else f"'{_sql(cell)}'" for cell in row)
            self.server.run(f"insert into plant.readings values ({cells})")  # noqa: S608 a test's


class Fake:
    kind = "fake"

    def __init__(self):
        self.table = a_table(modified_at="modified_at")
        self.historian = FakeHistorian()

    def put(self, *rows):
        self.historian.rows += rows


def _sql(cell):
    return cell.isoformat(" ") if isinstance(cell, datetime) else cell


@pytest.fixture(params=["sqlite", "postgresql", "fake"])
def plant(request, tmp_path):
    match request.param:
        case "sqlite":
            return Sqlite(tmp_path)
        case "postgresql":
            return Postgresql(request.getfixturevalue("server"))
        case _:
            return Fake()


def row(hour, value, circuit="C1", modified=0):
    at = START + timedelta(hours=hour)
    return (
        "P1",
        circuit,
        at,
        value,
        None if modified is None else START + timedelta(days=modified),
    )


def read(plant, after=None):
    found = plant.historian.read(plant.table, after)
    assert sorted(found.columns) == sorted(COLUMNS)
    return sorted(
        (circuit, str(stamp)[:19], value)
        for circuit, stamp, value in found.select("circuit_id", "timestamp", "value").iter_rows()
    )


def test_an_empty_table_has_its_columns_and_no_rows(plant):
    if plant.kind != "fake":
        assert read(plant) == []


def test_all_rows_come_and_text_of_fixed_width_is_bare(plant):
    plant.put(row(0, 1.5), row(1, 2.0), row(2, None))
    assert read(plant) == [
        ("C1", "2024-06-01 00:00:00", 1.5),
        ("C1", "2024-06-01 01:00:00", 2.0),
        ("C1", "2024-06-01 02:00:00", None),
    ]


def test_rows_whose_mark_is_not_before_the_window_come_and_so_do_rows_without_one(plant):
    plant.put(
        row(0, 1.0), row(1, 2.0, modified=2), row(2, 3.0, modified=1), row(3, 4.0, "C2", None)
    )
    found = read(plant, START + timedelta(days=1))
    assert [value for _, _, value in found] == [2.0, 3.0, 4.0]


def test_a_login_that_can_only_read_has_no_further_rights(plant):
    plant.put(row(0, 1.0))
    assert tuple(plant.historian.rights(plant.table)) == ()


def test_the_read_only_login_of_a_real_server_cannot_write_even_if_it_tries(server):
    Postgresql(server).put(row(0, 1.0))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.run("update plant.readings set value = 2", user="reader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.run("drop table plant.readings", user="reader")


def test_the_session_is_read_only_even_where_the_login_may_write(server, tmp_path, monkeypatch):
    for plant, url in (
        (Postgresql(server), server.url("owner")),
        (Sqlite(tmp_path), f"sqlite:///{tmp_path / 'plant.db'}"),
    ):
        plant.put(row(0, 1.0))
        writing = SqlHistorian({"MLOPS_TEST_URL": url})
        name = "plant.readings" if plant.kind == "postgresql" else "readings"
        attack = sa.text(f"update {name} set value = 9")  # noqa: S608 a test's
        monkeypatch.setattr(historian, "counting", lambda *_, attack=attack: attack)
        with pytest.raises(DataError, match=r"read-only|readonly"):
            writing.read(plant.table, None)
        monkeypatch.undo()
        assert read(plant) == [("C1", "2024-06-01 00:00:00", 1.0)]


def test_a_login_that_may_write_is_told_with_its_rights(server):
    plant = Postgresql(server)
    assert SqlHistorian({"MLOPS_TEST_URL": server.url("owner")}).rights(plant.table) == (
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
    )
    server.run("grant update on plant.readings to reader")
    assert plant.historian.rights(plant.table) == ("UPDATE",)


def test_stamps_with_a_zone_come_in_utc_whatever_the_servers_zone_is(server):
    plant = Postgresql(server)
    server.run(
        "alter table plant.readings alter timestamp type timestamptz,"
        " alter modified_at type timestamptz"
    )
    plant.put(("P1", "C1", "2024-06-01 02:00+02", 1, "2024-06-05 00:00Z"))
    for after in (None, datetime(2024, 6, 5, tzinfo=UTC)):
        found = plant.historian.read(plant.table, after)
        assert found["timestamp"].to_list() == [datetime(2024, 6, 1, tzinfo=UTC)]
    assert plant.historian.read(plant.table, datetime(2024, 6, 5, 0, 1, tzinfo=UTC)).is_empty()


def test_columns_have_the_names_and_features_that_config_gives(server):
    server.run(
        "create schema if not exists plant",
        'drop table if exists plant."Odd"',
        'create table plant."Odd" ("Site" text, loop text, "AT" timestamp, v float8, rain_mm int)',
        "insert into plant.\"Odd\" values ('P1', 'C1', '2024-06-01', 'NaN', 3)",
        'grant usage on schema plant to reader; grant select on plant."Odd" to reader',
    )
    columns = TableColumns(
        plant_id="Site", circuit_id="loop", timestamp="AT", value="v", features={"rain": "rain_mm"}
    )
    table = a_table(kind="postgresql", schema="plant", table="Odd", columns=columns)
    found = SqlHistorian({"MLOPS_TEST_URL": server.url("reader")}).read(table, None)
    assert found.drop("value").rows() == [("P1", "C1", START, 3.0)]
    assert found["value"].is_nan().all()


def test_values_of_differing_types_come_as_text_to_be_judged_row_by_row(tmp_path):
    plant = Sqlite(tmp_path)
    plant.put(row(0, 1.5), row(1, "NA"), row(2, b"\x00\xff"), row(3, 10**400 // 10**399))
    found = plant.historian.read(plant.table, None)
    assert found.schema["value"] == pl.String
    assert found["value"].to_list() == ["1.5", "NA", "00ff", "10.0"]


@pytest.mark.parametrize(
    ("environ", "changed", "said"),
    [
        ({}, {}, "the environment variable MLOPS_TEST_URL is not set"),
        ({"MLOPS_TEST_URL": "no url"}, {}, "MLOPS_TEST_URL holds no SQLAlchemy URL"),
        (
            {"MLOPS_TEST_URL": "oracle+x://u:canary-9f2c41@h/d"},
            {},
            "leads to oracle, the table says",
        ),
        ({"MLOPS_TEST_URL": "sqlite:///x"}, {"kind": "mssql"}, "leads to sqlite, the table says"),
        ({"MLOPS_TEST_URL": "sqlite:////no/such.db"}, {}, "/no/such.db: there is no such database"),
        (
            {"MLOPS_TEST_URL": "postgresql://u:canary-9f2c41@127.0.0.1:1/d"},
            {"kind": "postgresql"},
            "refused",
        ),
    ],
)
def test_what_cannot_be_reached_is_one_line_without_the_password(environ, changed, said):
    with pytest.raises(DataError, match=said) as caught:
        SqlHistorian(environ).read(a_table(**changed), None)
    assert "\n" not in str(caught.value)
    assert postgresql.PASSWORD not in str(caught.value)


def test_a_wrong_password_and_a_missing_table_are_one_line(server):
    plant = Postgresql(server)
    wrong = SqlHistorian({"MLOPS_TEST_URL": server.url("reader", "wrong-canary-77")})
    with pytest.raises(DataError, match="password authentication failed") as caught:
        wrong.read(plant.table, None)
    assert "wrong-canary-77" not in str(caught.value)
    server.run("drop table plant.readings")
    for question in (
        lambda: plant.historian.read(plant.table, None),
        lambda: plant.historian.rights(plant.table),
    ):
        with pytest.raises(DataError, match=r'relation "plant.readings" does not exist') as caught:
            question()
        assert "\n" not in str(caught.value)


def test_fewer_rows_than_were_counted_are_half_a_result(tmp_path, monkeypatch):
    plant = Sqlite(tmp_path)
    plant.put(row(0, 1.0), row(1, 2.0))
    genuine = historian.statement
    monkeypatch.setattr(historian, "statement", lambda *given: genuine(*given).limit(1))
    with pytest.raises(DataError, match="half a result: 1 of 2 rows came"):
        plant.historian.read(plant.table, None)


def test_a_server_that_takes_too_long_or_stops_answering_is_given_up(server):
    plant = Postgresql(server)
    server.run(
        "alter table plant.readings rename to slow_rows",
        "create view plant.readings as select slow_rows.* from plant.slow_rows,"
        " (select pg_sleep(20)) as pause",
        "grant select on plant.readings to reader",
    )
    server.run("insert into plant.slow_rows values ('P1', 'C1', '2024-06-01', 1, null)")
    slow = a_table(kind="postgresql", schema="plant", modified_at="modified_at", timeout_seconds=1)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"statement timeout|no answer within 1 s"):
        plant.historian.read(slow, None)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DataError, match=r"no answer within 1 s|timeout"):
            plant.historian.read(slow, None)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert time.monotonic() - began < 15
