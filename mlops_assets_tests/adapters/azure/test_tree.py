"""A folder of blobs is whole or not there, whenever its writer dies; a log is never torn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.azure import blobs as limits
from mlops_assets.adapters.azure.tree import BlobTree
from mlops_assets.adapters.tree import MAXIMUM_BYTES, OddFileError
from mlops_assets.adapters.tree.ledger import TreeLedger
from mlops_assets.domain.errors import StaleError
from mlops_assets_tests.fakes.dying_blobs import Place, killed
from mlops_assets_tests.fakes.network import FaultyTransport

pytestmark = pytest.mark.azure

FILES = {"a.json": b"1", "b.npz": b"2", "seal.json": b"3"}
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def place(azurite):
    return Place(azurite)


def put(tree, folder="C1/7", files=None):
    return tree.write_folder_once(folder, files or FILES, seal="seal.json")


@pytest.mark.parametrize("fault", ["killed_before", "killed_after"])
def test_a_folder_is_there_whole_or_not_at_all_after_a_kill_at_every_request(azurite, fault):
    for at in range(20):
        place = Place(azurite)
        dying = place.dying(fault, at)
        died = killed(lambda: put(dying, files={**FILES, "stray": b"x"}), place)  # noqa: B023
        sealed = place.tree.folders("C1", seal="seal.json") == ["7"]
        if sealed:
            assert place.tree.read_folder("C1/7", [*FILES, "stray"]) == {**FILES, "stray": b"x"}
        place.outlived("C1/.writing")
        if not sealed:
            # Other files this time: whatever was left of the first ones is gone.
            assert put(place.tree)
            assert not put(place.tree)
            assert place.tree.read_folder("C1/7", FILES, only=FILES) == FILES
        if not died:
            break
    assert at > len(FILES) + 3


@pytest.mark.parametrize("fault", ["killed_before", "killed_after"])
def test_a_removal_leaves_a_folder_whole_or_none(azurite, fault):
    for at in range(10):
        place = Place(azurite)
        put(place.tree)
        dying = place.dying(fault, at)
        died = killed(lambda: dying.remove_folder("C1/7", seal="seal.json"), place)  # noqa: B023
        if list(place.tree.folders("C1", seal="seal.json")):
            assert place.tree.read_folder("C1/7", FILES, only=FILES) == FILES
        place.tree.remove_folder("C1/7", seal="seal.json")
        assert list(place.blobs.list("C1/7")) == []
        if not died:
            break
    assert at == len(FILES)


def test_what_a_dead_writer_left_is_swept_after_its_time_and_a_whole_folder_never(place):
    put(place.tree, "C1/6")
    place.blobs.put("C1/7/a.json", b"1")
    place.blobs.put("C1/7/deep/b", b"1")
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert place.tree.sweep(depth=2, seal="seal.json", before=soon - timedelta(days=1)) == 0
    assert place.tree.sweep(depth=2, seal="seal.json", before=soon) == 1
    assert place.tree.folders("C1") == ("6",)
    assert place.tree.sweep(depth=2, seal="seal.json", before=soon) == 0


def test_a_writer_that_was_only_stopped_writes_nothing_over_its_successor(place, monkeypatch):
    """It goes on when its lease has ended and another has begun to write the same folder."""
    first, stopped = BlobTree(place.blobs, "home"), []
    genuine = place.blobs.put_if_absent

    def stop(name, data):
        if name == "C1/7/b.npz" and not stopped:
            stopped.append(name)
            place.outlived("C1/.writing")
            put(place.tree, files={**FILES, "b.npz": b"the other's"})
        return genuine(name, data)

    monkeypatch.setattr(place.blobs, "put_if_absent", stop)
    with pytest.raises(StaleError, match=r"C1/7/b\.npz: somebody else is writing it; repeat"):
        put(first, files={**FILES, "b.npz": b"the first's"})
    assert place.tree.read_folder("C1/7", ["b.npz"]) == {"b.npz": b"the other's"}


def test_a_log_goes_on_in_another_blob_before_azure_takes_no_more_blocks(place, monkeypatch):
    monkeypatch.setattr(limits, "MAXIMUM_BLOCKS", 3)
    log = b""
    for number in range(8):
        line = b"%d\n" % number
        place.tree.append("log.jsonl", line, at=len(log))
        log += line
        assert place.tree.read_log("log.jsonl") == BlobTree(place.blobs, "").read_log("log.jsonl")
    assert place.tree.read_log("log.jsonl") == log
    sizes = [blob.size for blob in place.blobs.list("log.jsonl/")]
    assert sizes == [6, 6, 4]
    with pytest.raises(StaleError, match=r"log\.jsonl: has 16 bytes, not 14: somebody else"):
        place.tree.append("log.jsonl", b"8\n", at=14)


def test_a_log_goes_on_in_another_blob_before_one_is_too_long_for_one_request(place, monkeypatch):
    monkeypatch.setattr(limits, "MAXIMUM_LOG_BYTES", 5)
    for number in range(4):
        place.tree.append("log", b"%d\n" % number, at=2 * number)
    assert [blob.size for blob in place.blobs.list("log/")] == [6, 2]
    assert place.tree.read_log("log") == b"0\n1\n2\n3\n"


def test_a_line_is_added_without_reading_the_log(place, monkeypatch):
    monkeypatch.setattr(limits, "MAXIMUM_BLOCKS", 3)
    for number in range(2):
        place.tree.append("log", b"%d\n" % number, at=2 * number)
    asked = FaultyTransport(methods=())
    shared = place.shared.blobs("dev", place.blobs.path(), transport=asked)
    BlobTree(shared, "home").append("log", b"2\n", at=4)
    assert asked.sent == ["GET", "HEAD", "PUT"]


def test_a_log_that_grows_while_it_is_read_in_parts_is_read_again(place):
    place.tree.append("log", b"0\n1\n", at=0)

    class Growing(FaultyTransport):
        def send(self, request, **settings):
            if request.method == "GET" and "comp=list" not in request.url:
                self.count += 1
                if self.count == 2:
                    place.tree.append("log", b"2\n", at=4)
            return super().send(request, **settings)

    asked = Growing(methods=())
    slow = place.shared.blobs(
        "dev", place.blobs.path(), transport=asked, max_single_get_size=2, max_chunk_get_size=2
    )
    assert slow.get("log/00000000") == b"0\n1\n2\n"
    assert asked.count > 3


def test_a_log_that_did_not_change_is_not_read_again(place):
    place.tree.append("log", b"1\n", at=0)
    asked = FaultyTransport()
    tree = BlobTree(place.shared.blobs("dev", place.blobs.path(), transport=asked), "")
    assert tree.read_log("log") == tree.read_log("log") == b"1\n"
    assert asked.sent == ["GET"] * 3


def test_a_small_blob_of_a_folder_is_read_again_only_when_it_changed(place):
    put(place.tree)
    asked = FaultyTransport()
    tree = BlobTree(place.shared.blobs("dev", place.blobs.path(), transport=asked), "")
    for _ in range(2):
        assert tree.read_folder("C1/7", FILES, only=FILES) == FILES
    assert asked.sent == ["GET"] * (1 + len(FILES) + 1)
    place.blobs.put("C1/7/a.json", b"damaged")
    assert tree.read_folder("C1/7", ["a.json"], only=FILES) == {"a.json": b"damaged"}
    place.blobs.put("C1/7/a.json", b"again")
    assert tree.read_folder("C1/7", ["a.json"]) == {"a.json": b"again"}
    place.blobs.delete("C1/7/a.json")
    with pytest.raises(FileNotFoundError):
        tree.read_folder("C1/7", ["a.json"], only=FILES)


def test_a_blob_larger_than_any_file_that_is_kept_is_not_read(place, monkeypatch):
    monkeypatch.setattr("mlops_assets.adapters.azure.tree.MAXIMUM_BYTES", 2)
    place.blobs.put("C1/7/a.json", b"123")
    with pytest.raises(OddFileError, match=r"^a\.json has 3 bytes$"):
        place.tree.read_folder("C1/7", ["a.json"])
    assert MAXIMUM_BYTES == 64 * 2**20


@pytest.mark.parametrize("fault", ["killed_before", "killed_after"])
def test_an_entry_of_the_ledger_is_there_once_after_a_kill_at_every_request(azurite, fault):
    for at in range(20):
        place, anchors = Place(azurite), []
        TreeLedger(place.tree, anchors.append, lambda: anchors).append(  # noqa: B023
            "e", "platform", {"n": 0}, NOW
        )
        dying = TreeLedger(place.dying(fault, at), anchors.append, lambda: anchors)  # noqa: B023
        died = killed(lambda: dying.append("e", "platform", {"n": 1}, NOW), place)  # noqa: B023
        place.outlived(".lock")
        ledger = TreeLedger(place.tree, anchors.append, lambda: anchors)  # noqa: B023
        with ledger.lock():
            if len(ledger.entries()) == 1:
                ledger.append("e", "platform", {"n": 1}, NOW)
        assert [entry.data["n"] for entry in ledger.entries()] == [0, 1]
        assert len(anchors) == len(set(anchors)) == 2
        if not died:
            break
    assert at >= 3


def test_folders_that_a_hierarchical_namespace_lists_are_none_of_ours(place):
    service = place.shared.service().get_container_client("dev")
    put(place.tree, "P1/C1/7")
    for name in ("P1", "P1/C1", "P1/C1/7", "P1/C1/8", "x.json"):
        service.upload_blob(place.blobs.path(name), b"", metadata={"hdi_isfolder": "true"})
    assert list(place.tree.names()) == list(place.tree.names(depth=2)) == []
    assert list(place.tree.things(depth=1)) == []
    assert list(place.tree.folders(depth=3, seal="seal.json")) == ["P1/C1/7"]
    assert place.tree.read_folder("P1/C1/7", FILES, only=FILES) == FILES
    assert place.tree.state("x.json") is None
    assert place.tree.sweep(depth=3, seal="seal.json", before=datetime.now(UTC)) == 0
    assert not put(place.tree, "P1/C1/7")
