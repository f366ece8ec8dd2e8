"""The statements that a Synapse dedicated pool gets, word by word: none of its kind runs here."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from mlops_assets.adapters.local.historian import (
    DRIVERS,
    SqlHistorian,
    asking,
    counting,
    statement,
)
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.source import TableColumns
from mlops_assets_tests.fakes.historian import a_table

AFTER = datetime(2024, 6, 1, 3)  # noqa: DTZ001 as datetime2 is
POOL = a_table(
    kind="mssql",
    schema="dbo",
    table="SensorReadings",
    columns=TableColumns(plant_id="Plant", circuit_id="Loop", timestamp="At", value="user"),
    modified_at="changed_at",
)


def written(asked, kind="mssql"):
    """The statement in a dialect, in one line, and what is bound to it."""
    dialect = sa.make_url(f"{kind}+{DRIVERS[kind]}://").get_dialect()()
    compiled = asked.compile(dialect=dialect)
    return " ".join(str(compiled).split()), dict(compiled.params)


def test_rows_are_read_by_their_mark_with_quoted_names_and_a_bound_value():
    text, bound = written(statement(POOL, AFTER))
    assert text == (
        "SELECT dbo.[SensorReadings].[Plant] AS plant_id, dbo.[SensorReadings].[Loop] AS "
        "circuit_id, dbo.[SensorReadings].[At] AS timestamp, dbo.[SensorReadings].[user] AS value, "
        "dbo.[SensorReadings].changed_at AS modified_at FROM dbo.[SensorReadings] WHERE "
        "dbo.[SensorReadings].changed_at >= :after OR dbo.[SensorReadings].changed_at IS NULL"
    )
    assert bound == {"after": AFTER}


def test_a_table_of_another_database_is_named_by_its_schema():
    text, _ = written(statement(replace(POOL, schema="Historian.dbo"), None))
    assert text.endswith("FROM [Historian].dbo.[SensorReadings]")
    _, bound = written(asking(replace(POOL, schema="Historian.dbo")))
    assert bound["param_1"] == "[Historian].dbo.[SensorReadings]"


def test_the_first_reading_has_no_bound_and_a_table_without_modified_at_is_bound_by_its_stamp():
    bare = a_table(kind="mssql")
    text, bound = written(statement(bare, None))
    assert text == (
        "SELECT readings.plant_id AS plant_id, readings.circuit_id AS circuit_id, "
        "readings.timestamp AS timestamp, readings.value AS value FROM readings"
    )
    assert bound == {}
    text, _ = written(statement(bare, AFTER))
    assert text.endswith("WHERE readings.timestamp >= :after OR readings.timestamp IS NULL")


def test_rows_are_counted_under_the_same_bound():
    text, bound = written(counting(POOL, AFTER))
    assert text == (
        "SELECT count(*) AS rows FROM dbo.[SensorReadings] WHERE "
        "dbo.[SensorReadings].changed_at >= :after OR dbo.[SensorReadings].changed_at IS NULL"
    )
    assert bound == {"after": AFTER}


def test_rights_are_asked_about_the_quoted_name_as_a_bound_value():
    text, bound = written(asking(POOL))
    assert text.startswith("SELECT has_perms_by_name(:param_1, :has_perms_by_name_1, ")
    assert bound["param_1"] == "dbo.[SensorReadings]"
    assert {"INSERT", "UPDATE", "DELETE", "ALTER", "OBJECT"} <= set(bound.values())


def test_a_bound_is_of_the_type_of_the_marks():
    [naive] = statement(POOL, AFTER).compile().binds.values()
    [aware] = statement(POOL, AFTER.replace(tzinfo=UTC)).compile().binds.values()
    [text] = statement(a_table(), AFTER).compile().binds.values()
    assert isinstance(naive.type, sa.DateTime)
    assert (naive.type.timezone, aware.type.timezone) == (False, True)
    assert text.value == "2024-06-01 03:00:00"


class Tokens:
    """An identity that says what it was asked for."""

    def __init__(self):
        self.asked = []

    def get_token(self, scope):
        self.asked.append(scope)
        return SimpleNamespace(token="canary.token.77", expires_on=4_000_000_000)  # noqa: S106


@pytest.mark.azure
@pytest.mark.parametrize(
    ("login", "scopes"),
    [
        ("", ["https://database.windows.net/.default"]),
        ("reader:password-canary-77@", []),
    ],
)
def test_a_pool_is_asked_with_a_token_where_its_address_names_no_user(login, scopes):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mssql://{login}127.0.0.1:{nobody.getsockname()[1]}/dw"
        identity = Tokens()
        historian = SqlHistorian({"MLOPS_TEST_URL": url}, identity)
        with pytest.raises(DataError) as raised:
            historian.read(replace(POOL, timeout_seconds=5), AFTER)
    assert identity.asked == scopes
    assert "canary" not in str(raised.value)


@pytest.mark.azure
def test_an_address_that_the_driver_of_pools_does_not_understand_is_one_line():
    url = "mssql://reader:password-canary-77@127.0.0.1/dw?Spelling=wrong"
    with pytest.raises(DataError, match="Unknown keyword 'spelling'") as raised:
        SqlHistorian({"MLOPS_TEST_URL": url}).read(POOL, AFTER)
    assert "\n" not in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("kind", DRIVERS)
def test_every_kind_has_a_dialect_and_a_driver(kind):
    dialect = sa.make_url(f"{kind}+{DRIVERS[kind]}://").get_dialect()
    assert dialect.driver == DRIVERS[kind]
