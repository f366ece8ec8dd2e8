"""Delta tables in a container: other writers, lost answers, tokens that end, and outages."""

from __future__ import annotations

import io
import pickle
import random
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pyarrow.parquet as pq
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from mlops_assets.adapters.azure.delta import BlobTable, TableAccess, open_table
from mlops_assets.adapters.delta.forecast import DeltaPredictionsTable
from mlops_assets.adapters.delta.readings import DeltaReadingsTable
from mlops_assets.adapters.delta.row_log import DeltaRowLog
from mlops_assets.domain.arrivals import log_schema
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.settings.azure import Cloud
from mlops_assets_tests.contracts.test_predictions_table import C1, DAY
from mlops_assets_tests.contracts.test_predictions_table import rows as predicted
from mlops_assets_tests.fakes.blob_proxy import Once, proxied
from mlops_assets_tests.fakes.readings import readings

pytestmark = pytest.mark.azure
START = datetime(2024, 6, 1, tzinfo=UTC)


def stored(account, name="readings", *, through=None, access=None, seed=1):
    """One table, by the account's own address or through a proxy."""
    backend = account.backend(cloud=Cloud(blob=through.url)) if through else account.backend()
    there = open_table(backend, "etl", "lake", name, environ=account.environ)
    return BlobTable(
        there.place,
        account.blobs("lake"),
        name,
        access or there.options,
        jitter=random.Random(seed),
        pause=lambda _: None,
    )


def at_once(*works):
    """Run each in a thread; what one raises is raised here."""
    failures = []

    def run(work):
        try:
            work()
        except Exception as error:  # noqa: BLE001 a thread's error would be lost
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_writers_at_once_lose_and_double_nothing(storage_account):
    def writer(number):
        table = DeltaReadingsTable(stored(storage_account, seed=number))
        for turn in range(3):
            rows = readings([float(number)] * 3, key=f"P1/C{number}", start=hour(turn))
            table.merge(rows, slice_id=f"{number}-{turn}")

    at_once(*(lambda n=number: writer(n) for number in range(2)))
    found = DeltaReadingsTable(stored(storage_account)).read()
    assert len(found) == 2 * 5
    assert found.select("plant_id", "circuit_id", "timestamp").is_unique().all()


def test_two_writers_of_one_slice_at_once_merge_it_once(storage_account):
    versions = []

    def writer(number):
        table = DeltaReadingsTable(stored(storage_account, seed=number))
        versions.append(table.merge(readings([1.0, 2.0]), slice_id="s").delta_version)

    at_once(*(lambda n=number: writer(n) for number in range(2)))
    assert versions == [0, 0]
    assert len(DeltaReadingsTable(stored(storage_account)).read()) == 2


def test_writers_of_one_day_lose_no_row_of_each_other(storage_account):
    def writer(number):
        table = DeltaPredictionsTable(stored(storage_account, "predictions", seed=number))
        for level in range(1, 4):
            rows = predicted(CircuitKey("P1", f"C{number}"), level=float(level))
            table.replace(rows, issued_for=DAY)

    at_once(*(lambda n=number: writer(n) for number in range(2)))
    table = DeltaPredictionsTable(stored(storage_account, "predictions"))
    read = table.read(issued_for=DAY)
    assert read.group_by("circuit_id").len().sort("circuit_id").rows() == [("C0", 24), ("C1", 24)]
    assert set(read["value"]) == {3.0}
    assert table.version() == 5


def hour(number):
    return START + timedelta(hours=number)


def is_commit(method, path):
    return method == "PUT" and "/_delta_log/0" in path and ".json" in path


@pytest.mark.parametrize("turn", [0, 1])
def test_a_merge_whose_answer_was_lost_is_made_once(storage_account, turn):
    with proxied(storage_account) as proxy:
        table = DeltaReadingsTable(stored(storage_account, through=proxy))
        for number in range(turn):
            table.merge(readings([float(number)] * 2), slice_id=f"before-{number}")
        proxy.after = Once(is_commit, 503)
        done = table.merge(readings([7.0, 8.0, 9.0]), slice_id="s")
        assert proxy.after.done
        assert done.delta_version == table.version() == table.merged("s") == turn
    assert table_values(storage_account) == [7.0, 8.0, 9.0]


def table_values(account):
    return DeltaReadingsTable(stored(account)).read(columns=["value"])["value"].to_list()


def test_a_log_and_a_day_whose_answer_was_lost_are_written_once(storage_account):
    row = dict.fromkeys(log_schema("quarantine")) | {"plant_id": "P1", "reason": "missing"}
    rows = pl.DataFrame([row], schema=log_schema("quarantine"))
    with proxied(storage_account) as proxy:
        log = DeltaRowLog(stored(storage_account, "quarantine", through=proxy), "quarantine")
        days = DeltaPredictionsTable(stored(storage_account, "predictions", through=proxy))
        log.append(rows, slice_id="a")
        days.replace(predicted(C1), issued_for=DAY)
        proxy.after = Once(is_commit, 503)
        assert log.append(rows, slice_id="b") == 1
        assert proxy.after.done
        proxy.after = Once(is_commit, 503)
        days.replace(predicted(C1, level=2.0), issued_for=DAY)
        assert proxy.after.done
        assert (len(log.read()), log.version()) == (2, 1)
        assert days.read(issued_for=DAY).equals(predicted(C1, level=2.0))
        assert days.version() == 1


def test_throttling_is_waited_for(storage_account):
    with proxied(storage_account) as proxy:
        table = DeltaReadingsTable(stored(storage_account, through=proxy))
        for status in (429, 503):
            proxy.before = Once(is_commit, status)
            table.merge(readings([float(status)]), slice_id=str(status))
            assert proxy.before.done
        assert table.version() == 1


def test_a_writer_that_cannot_commit_changes_nothing_and_what_it_left_goes(storage_account):
    table = DeltaReadingsTable(stored(storage_account))
    table.merge(readings([1.0]), slice_id="a")
    with proxied(storage_account) as proxy:
        other = DeltaReadingsTable(stored(storage_account, through=proxy))
        proxy.before = lambda method, path: 403 if is_commit(method, path) else None
        with pytest.raises(DataError, match=r"cannot be written: .*what this identity may"):
            other.merge(readings([5.0]), slice_id="b")
    assert table_values(storage_account) == [1.0]
    assert len(data_files(storage_account)) == 2
    assert table.vacuum(pinned=[], older_than=timedelta(0)) == 1
    assert len(data_files(storage_account)) == 1
    assert table_values(storage_account) == [1.0]


def data_files(account):
    names = [blob.name for blob in account.blobs("lake", "readings").list()]
    return [name for name in names if name.endswith(".parquet") and "_delta_log" not in name]


class Tokens:
    """A credential whose token changes when it is told so."""

    def __init__(self):
        self.now = "first"

    def get_token(self, *scopes, **_):
        assert scopes == ("https://storage.azure.com/.default",)
        return AccessToken(self.now, 0)


def test_a_reader_that_lives_longer_than_its_token_goes_on_with_the_next(storage_account):
    tokens, accepted = Tokens(), {"first"}
    with proxied(storage_account, accepted) as proxy:
        given = TableAccess(storage_account.backend(cloud=Cloud(blob=proxy.url)), tokens)
        table = DeltaReadingsTable(
            stored(storage_account, access=lambda: given.options() | {"azure_allow_http": "true"})
        )
        table.merge(readings([1.0]), slice_id="a")
        assert len(table.read()) == 1
        tokens.now, accepted = "second", accepted.clear() or accepted.add("second")
        assert len(table.read()) == 1
        table.merge(readings([1.0, 2.0]), slice_id="b")
        assert table.summary()["rows"].to_list() == [2]


def test_a_token_that_is_not_accepted_is_one_line_without_it(storage_account):
    with proxied(storage_account, {"other"}) as proxy:
        given = TableAccess(storage_account.backend(cloud=Cloud(blob=proxy.url)), Tokens())
        table = DeltaReadingsTable(
            stored(storage_account, access=lambda: given.options() | {"azure_allow_http": "true"})
        )
        with pytest.raises(DataError, match=r"cannot be read: .*what this identity may") as raised:
            table.read()
    line = str(raised.value)
    assert "401" in line
    odd = ("first", "\n", "\x1b", "\u21b3", proxy.url)
    assert [part for part in odd if part in line] == []


def test_no_identity_at_all_is_one_line(storage_account):
    def refuse(*_, **__):
        raise ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token\nfrom")

    access = TableAccess(storage_account.backend(), SimpleNamespace(get_token=refuse))
    with pytest.raises(DataError, match=r"no identity is accepted .*; sign in") as raised:
        stored(storage_account, access=access.options).open()
    assert "\n" not in str(raised.value)


def test_without_an_emulator_a_token_and_no_address_of_our_own_is_given(storage_account):
    options = TableAccess(storage_account.backend(cloud=Cloud()), Tokens()).options()
    assert options == {"account_name": storage_account.name, "bearer_token": "first"}
    other = Cloud(storage_suffix="core.chinacloudapi.cn")
    options = TableAccess(storage_account.backend(cloud=other), Tokens()).options()
    assert options["azure_storage_endpoint"] == (
        f"https://{storage_account.name}.blob.core.chinacloudapi.cn"
    )


def test_a_table_of_another_cloud_is_found_by_its_container(storage_account):
    cloud = Cloud(blob=storage_account.url, storage_suffix="core.chinacloudapi.cn")
    backend = storage_account.backend(cloud=cloud)
    stored = open_table(backend, "etl", "lake", "readings", environ=storage_account.environ)
    assert stored.place.startswith(f"abfss://lake@{storage_account.name}.dfs.core.chinacloudapi")
    table = DeltaReadingsTable(stored)
    table.merge(readings([1.0]), slice_id="a")
    assert (len(table.read()), table.summary()["rows"].to_list()) == (1, [1])
    assert len(data_files(storage_account)) == 1


def test_a_reader_opens_a_table_again_only_when_somebody_moved_it(storage_account):
    with proxied(storage_account) as proxy:
        table = DeltaReadingsTable(stored(storage_account, through=proxy))
        other = DeltaReadingsTable(stored(storage_account))
        other.merge(readings([1.0]), slice_id="a")
        assert table.version() == 0
        proxy.seen.clear()
        assert (table.version(), table.newest()) == (0, START)
        assert proxy.seen == []
        other.merge(readings([1.0, 2.0]), slice_id="b")
        assert (table.version(), len(table.read())) == (1, 2)


def test_another_table_in_the_place_of_a_known_one_is_noticed(storage_account):
    table = DeltaReadingsTable(stored(storage_account))
    table.merge(readings([1.0]), slice_id="a")
    assert table.merged("a") == 0
    lake = storage_account.blobs("lake", "readings")
    for blob in list(lake.list()):
        lake.delete(blob.name)
    assert not table.exists()
    DeltaReadingsTable(stored(storage_account)).merge(readings([2.0]), slice_id="b")
    assert (table.merged("a"), table.merged("b")) == (None, 0)


def test_a_table_travels_as_its_name_and_opens_as_whoever_arrives(storage_account, monkeypatch):
    opened = open_table(
        storage_account.backend(), "etl", "lake", "readings", environ=storage_account.environ
    )
    DeltaReadingsTable(opened).merge(readings([1.0]), slice_id="a")
    travelling = pickle.dumps(DeltaReadingsTable(opened))
    assert storage_account.key.encode() not in travelling
    for name, value in storage_account.environ.items():
        monkeypatch.setenv(name, value)
    assert len(pickle.loads(travelling).read()) == 1  # noqa: S301 our own bytes
    with pytest.raises(TypeError, match="was opened for this process alone"):
        pickle.dumps(stored(storage_account))


def test_strings_are_plain_in_the_files_of_a_table(storage_account):
    table = DeltaReadingsTable(stored(storage_account))
    table.merge(readings([1.0]), slice_id="a")
    table.merge(readings([2.0]), slice_id="b")
    lake = storage_account.blobs("lake", "readings")
    for name in data_files(storage_account):
        types = {str(kind) for kind in pq.read_schema(io.BytesIO(lake.get(name))).types}
        assert "string_view" not in types
