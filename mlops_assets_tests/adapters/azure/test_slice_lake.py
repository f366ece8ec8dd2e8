"""Addresses of a lake, as a job on a pool reaches them, and who the job is."""

from __future__ import annotations

import base64
import json
import pickle
from types import SimpleNamespace

import pytest
from azure.core.exceptions import ClientAuthenticationError
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.azure import slice_lake
from mlops_assets.adapters.azure.slice_lake import Lent, Place, PoolCredential, SentFiles, place_of
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.domain.readings import RawFile
from mlops_assets.settings.azure import CONTAINERS

pytestmark = pytest.mark.azure
ADDRESS = "abfss://lake@mlopslake.dfs.core.windows.net/readings"


def a_token(**claims):
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.signature"


def test_an_address_names_account_container_and_path():
    place = place_of(ADDRESS)
    assert (place.container, place.path, place.credential) == ("lake", "readings", None)
    assert place.backend.storage_account == "mlopslake"
    assert place.backend.blob_url == "https://mlopslake.blob.core.windows.net"
    assert place.backend.table_uri("lake", "readings") == ADDRESS
    beside = place.sibling("ingested")
    assert (beside.path, beside.address) == ("ingested", ADDRESS.replace("readings", "ingested"))
    other = place_of("abfss://raw@mlopslake.dfs.core.usgovcloudapi.net/")
    assert (other.container, other.path) == ("raw", "")
    assert other.backend.blob_url == "https://mlopslake.blob.core.usgovcloudapi.net"


@settings(max_examples=20)
@given(
    st.sampled_from(CONTAINERS),
    st.from_regex(r"[a-z0-9]{3,24}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_=.-]{1,9}(/[A-Za-z0-9_=.-]{1,9}){0,3}", fullmatch=True),
)
def test_an_address_that_settings_make_is_read_back(container, account, path):
    place = place_of(f"abfss://{container}@{account}.dfs.core.windows.net/{path}")
    assert place.backend.table_uri(place.container, place.path) == place.address


@pytest.mark.parametrize(
    "odd",
    [
        "https://mlopslake.blob.core.windows.net/lake/readings",
        "abfss://secrets@mlopslake.dfs.core.windows.net/x",
        "abfss://lake@mlopslake/x",
        "abfss://lake@mlopslake.dfs.core.windows.net/x?sig=1",
        "lake/readings",
    ],
)
def test_any_other_address_is_refused(odd):
    with pytest.raises(UsageError, match="is no abfss://CONTAINER@ACCOUNT"):
        place_of(odd)


def test_on_a_pool_a_job_is_who_the_pool_says(monkeypatch):
    asked = []

    def get(audience):
        asked.append(audience)
        return a_token(exp=1_800_000_000)

    utilities = SimpleNamespace(credentials=SimpleNamespace(getToken=get))
    monkeypatch.setattr(slice_lake, "find_spec", lambda name: name == "notebookutils")
    monkeypatch.setattr(
        slice_lake, "import_module", lambda _: SimpleNamespace(mssparkutils=utilities)
    )
    credential = place_of(ADDRESS).credential
    found = credential.get_token("https://storage.azure.com/.default")
    assert (found.token, found.expires_on) == (a_token(exp=1_800_000_000), 1_800_000_000)
    assert asked == ["Storage"]
    assert place_of(ADDRESS, "http://127.0.0.1:10000/mlopslake").credential is None


def test_to_an_executor_the_token_of_the_moment_travels_and_nothing_that_asks():
    tokens = iter([a_token(exp=7), a_token(exp=8)])
    place = Place(ADDRESS, place_of(ADDRESS).backend, "lake", "readings",
                  PoolCredential(lambda _: next(tokens)))  # fmt: skip
    table = place.readings()
    travelled = pickle.loads(pickle.dumps((place, table)))  # noqa: S301 our own bytes
    assert travelled[0].credential in (Lent(a_token(exp=7), 7), Lent(a_token(exp=8), 8))
    options = travelled[1]._stored.options()
    assert options["bearer_token"] in (a_token(exp=7), a_token(exp=8))


def test_a_pool_that_gives_no_token_is_said_in_one_line():
    def refuse(_):
        raise RuntimeError("Audience has invalid characters\n  at com.microsoft")

    with pytest.raises(ClientAuthenticationError, match="gives no token: Audience has") as raised:
        PoolCredential(refuse).get_token("x")
    assert "com.microsoft" not in str(raised.value)
    assert PoolCredential(lambda _: "opaque").get_token("x").expires_on == 0


def test_raw_files_are_read_by_what_they_are_and_never_written(storage_account, monkeypatch):
    for name, value in storage_account.environ.items():
        monkeypatch.setenv(name, value)
    raw = storage_account.blobs("raw")
    for name in ("b/c.csv", "a.csv", "_staging/x.csv", "b/.c.csv.tmp"):
        raw.put(name, b"1")
    place = place_of(storage_account.backend().table_uri("raw", ""), storage_account.url)
    beside = place_of(storage_account.backend().table_uri("lake", "readings"), storage_account.url)
    sent = SentFiles(place, beside.sibling("ingested"))
    zone = pickle.loads(pickle.dumps(sent))  # noqa: S301 our own bytes
    assert [file.path for file in zone.files()] == ["a.csv", "b/c.csv"]
    file = zone.files()[0]
    assert zone.read(file) == b"1"
    with pytest.raises(DataError, match=r"a\.csv: changed while it was read"):
        zone.read(RawFile("a.csv", 1, "0" * 64))
    with pytest.raises(DataError, match="no longer in the landing zone"):
        zone.read(RawFile("gone.csv", 1, "0" * 64))
    with pytest.raises(DataError, match="a job of a slice only reads raw files"):
        zone.put("new.csv", b"1")
    with pytest.raises(DataError, match="no such file"):
        place_of(f"{place.address}orders/1", storage_account.url).read()
