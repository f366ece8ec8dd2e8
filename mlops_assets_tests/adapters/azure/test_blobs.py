"""Blobs are written once, replaced only from what was seen, and never twice by one call."""

from __future__ import annotations

import threading

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient, LinearRetry

from mlops_assets.adapters.azure.blobs import MAXIMUM_BLOCK_BYTES, Blobs
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets_tests.fakes.network import FaultyTransport

pytestmark = pytest.mark.azure


@pytest.fixture
def blobs(storage_account):
    return storage_account.blobs("dev", "a/b")


def test_a_blob_that_is_not_there_is_none(blobs):
    assert blobs.get("x") is None
    assert blobs.find("x") is None
    assert list(blobs.list()) == []
    assert blobs.folders() == ()
    blobs.delete("x")


@pytest.mark.parametrize("data", [b"", b"1", bytes(range(256)) * 300])
def test_what_was_written_is_read(blobs, data):
    assert blobs.put_if_absent("x", data)
    assert blobs.get("x") == data
    assert blobs.find("x").size == len(data)


def test_only_the_first_writes_a_blob_that_was_absent(blobs):
    assert blobs.put_if_absent("x", b"1")
    assert not blobs.put_if_absent("x", b"1")
    assert not blobs.put_if_absent("x", b"2")
    assert blobs.get("x") == b"1"


def test_of_many_writers_of_one_name_exactly_one_wins(blobs):
    outcomes = []
    threads = [
        threading.Thread(
            target=lambda n=number: outcomes.append((blobs.put_if_absent("x", b"%d" % n), n))
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((_, winner),) = [outcome for outcome in outcomes if outcome[0]]
    assert blobs.get("x") == b"%d" % winner


def test_a_blob_is_replaced_only_from_what_was_seen(blobs):
    blobs.put("x", b"1")
    _, seen = blobs.get_with_etag("x")
    newer = blobs.replace("x", b"2", seen)
    with pytest.raises(StaleError, match="x: somebody else changed it first"):
        blobs.replace("x", b"3", seen)
    assert blobs.get_with_etag("x") == (b"2", newer)
    blobs.delete("x")
    with pytest.raises(StaleError):
        blobs.replace("x", b"4", newer)


def test_a_listing_names_blobs_and_their_folders_in_order(blobs):
    for name in ("p/c/2", "p/c/1", "q/c/1", "top"):
        blobs.put(name, b"")
    assert [found.name for found in blobs.list()] == ["p/c/1", "p/c/2", "q/c/1", "top"]
    assert [found.name for found in blobs.list("p/")] == ["p/c/1", "p/c/2"]
    assert blobs.folders() == ("p", "q")
    assert blobs.folders("p") == ("c",)
    assert blobs.inside("p").folders("c") == ()


def test_folders_of_a_hierarchical_namespace_are_no_blobs(blobs, storage_account):
    service = storage_account.service().get_container_client("dev")
    service.upload_blob("a/b/p", b"", metadata={"hdi_isfolder": "true"})
    blobs.put("p/x", b"1")
    assert [found.name for found in blobs.list()] == ["p/x"]
    assert blobs.folders() == ("p",)
    assert blobs.find("p") is None


def test_blocks_are_added_where_the_writer_believes_the_end_to_be(blobs):
    assert blobs.append("log", b"one\n", 0) == 1
    assert blobs.append("log", b"two\n", 4) == 2
    with pytest.raises(StaleError, match="has 8 bytes, not 4: somebody else wrote first"):
        blobs.append("log", b"three\n", 4)
    with pytest.raises(StaleError, match="has 8 bytes, not 0"):
        blobs.append("log", b"three\n", 0)
    assert blobs.get("log") == b"one\ntwo\n"
    with pytest.raises(DataError, match="are more than the 4194304 that are added at once"):
        blobs.append("log", b"x" * (MAXIMUM_BLOCK_BYTES + 1), 8)


@pytest.mark.parametrize("fault", ["lost_request", "lost_answer"])
def test_a_write_that_was_sent_twice_is_one_write(storage_account, fault):
    network = FaultyTransport(fault)
    at_once = LinearRetry(backoff=0, random_jitter_range=0)
    blobs = storage_account.blobs("dev", transport=network, retry_policy=at_once)

    assert blobs.put_if_absent("once", b"1") is True
    assert not blobs.put_if_absent("once", b"1")

    network.count = 0
    assert blobs.append("log", b"one\n", 0) == 1
    for at in (0, 4):
        network.count, network.at = 0, 0 if at else 1
        assert blobs.append("log", b"two\n", blobs.find("log").size)
    assert blobs.get("log") == b"one\ntwo\ntwo\n"

    _, seen = blobs.get_with_etag("once")
    network.count, network.at = 0, 0
    newer = blobs.replace("once", b"2", seen)
    assert blobs.get_with_etag("once") == (b"2", newer)

    network.count = 0
    with blobs.lease("lock"):
        pass


def test_a_blob_removed_meanwhile_or_changed_is_left_alone(blobs):
    blobs.put("x", b"1")
    _, seen = blobs.get_with_etag("x")
    blobs.put("x", b"2")
    blobs.delete("x", etag=seen)
    assert blobs.get("x") == b"2"


def test_a_container_that_is_not_there_is_named(storage_account):
    blobs = Blobs(storage_account.service().get_container_client("other"))
    line = f"^{storage_account.name}/other: there is no such container; make it as infra/ does$"
    for ask in (blobs.get, blobs.find, blobs.delete):
        with pytest.raises(DataError, match=line):
            ask("x")
    with pytest.raises(DataError, match=f"{storage_account.name}/other/x: cannot be written: Cont"):
        blobs.put("x", b"")
    with pytest.raises(DataError, match=f"{storage_account.name}/other: cannot be listed: Cont"):
        list(blobs.list())


def test_a_wrong_key_is_refused_in_one_line_without_it(storage_account):
    key = "d3Jvbmctc2VjcmV0LWtleQ=="
    client = ContainerClient(
        storage_account.url, "dev", credential=AzureNamedKeyCredential(storage_account.name, key)
    )
    with pytest.raises(DataError, match="dev/x: cannot be written: ") as caught:
        Blobs(client).put("x", b"")
    assert "\n" not in str(caught.value)
    assert key not in str(caught.value)


def test_an_account_that_is_not_there_is_told_in_one_line(storage_account):
    client = ContainerClient(
        "http://127.0.0.1:9/mlops",
        "dev",
        credential=AzureNamedKeyCredential("mlops", storage_account.key),
        retry_total=0,
    )
    with pytest.raises(DataError, match=r"cannot be read: .*; check the network") as caught:
        Blobs(client).get("x")
    assert "\n" not in str(caught.value)
