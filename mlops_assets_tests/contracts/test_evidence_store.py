"""What every evidence store must do, the fake, the local one, and the one in blobs."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.local.evidence import LocalEvidenceStore
from mlops_assets.adapters.tree.evidence import TreeEvidenceStore
from mlops_assets.domain.errors import DataError, MlopsError, StaleError
from mlops_assets.domain.identifiers import CircuitKey, sha256
from mlops_assets_tests.fakes.evidence import FakeEvidenceStore

CIRCUIT = CircuitKey("P001", "C001")
FILES = {
    "metrics.json": b'{"a":1}',
    "training_log.jsonl": b"{}\n",
    "scoring_notebook.ipynb": b"{}",
    "scoring_notebook.html": b"<html></html>",
}
RELEASE = "r-0123456789ab"


@pytest.fixture(params=["fake", "local", pytest.param("azure", marks=pytest.mark.azure)])
def store(request, tmp_path):
    if request.param == "azure":
        tree = request.getfixturevalue("azurite").tree("workspaces/dev/evidence")
        return TreeEvidenceStore(tree)
    if request.param == "fake":
        return FakeEvidenceStore()
    return LocalEvidenceStore(tmp_path / "workspaces" / "dev" / "evidence", tmp_path)


def test_nothing_is_there_before_it_is_put(store):
    assert store.get(CIRCUIT, 1) is None
    assert store.read_release(RELEASE, "rollback_plan") is None


def test_a_bundle_is_found_again_with_a_digest_for_each_kind(store):
    put = store.put(CIRCUIT, 3, FILES, b"{}")

    found = store.get(CIRCUIT, 3)
    assert found == put
    assert found.digests == {
        "metrics": sha256(FILES["metrics.json"]),
        "training_log": sha256(FILES["training_log.jsonl"]),
        "scoring_notebook": sha256(FILES["scoring_notebook.ipynb"]),
    }
    assert found.missing() == ("pull_request", "lineage")
    assert store.folder(CIRCUIT, 3) == "workspaces/dev/evidence/P001/C001/v3"


def test_a_file_is_read_by_kind_or_by_name(store):
    store.put(CIRCUIT, 3, FILES, b"{}")
    assert store.read(CIRCUIT, 3, "metrics") == FILES["metrics.json"]
    assert store.read(CIRCUIT, 3, "scoring_notebook.html") == FILES["scoring_notebook.html"]


def test_the_same_files_of_another_run_change_nothing(store):
    first = store.put(CIRCUIT, 1, FILES, b'{"seconds":1}')
    assert store.put(CIRCUIT, 1, FILES, b'{"seconds":2}') == first


def test_other_files_under_the_same_version_are_refused(store):
    store.put(CIRCUIT, 1, FILES, b"{}")
    with pytest.raises(StaleError, match="P001/C001 version 1 is written once"):
        store.put(CIRCUIT, 1, FILES | {"metrics.json": b"{}"}, b"{}")
    assert store.read(CIRCUIT, 1, "metrics") == FILES["metrics.json"]


def test_what_is_not_there_is_refused_by_name(store):
    with pytest.raises(DataError, match=r"P001/C001 version 1: has no metrics\.json"):
        store.read(CIRCUIT, 1, "metrics")


def test_evidence_of_a_release_is_written_once(store):
    assert store.put_release(RELEASE, "rollback_plan", b"{}") == sha256(b"{}")
    assert store.put_release(RELEASE, "rollback_plan", b"{}") == sha256(b"{}")
    assert store.read_release(RELEASE, "rollback_plan") == b"{}"
    with pytest.raises(StaleError):
        store.put_release(RELEASE, "rollback_plan", b"{ }")


def test_what_was_never_named_gives_way_to_what_will_be(store):
    store.put_release(RELEASE, "test_validation", b"written by whoever")
    for data in (b"{}", b"{}", b'{"circuits":{}}'):
        assert store.replace_release(RELEASE, "test_validation", data) == sha256(data)
        assert store.read_release(RELEASE, "test_validation") == data


def test_a_page_is_replaced_and_says_where_it_is(store):
    store.publish_page(RELEASE, b"old")
    assert store.publish_page(RELEASE, b"new") == (
        f"workspaces/dev/evidence/releases/{RELEASE}/page.html"
    )


@pytest.mark.parametrize("release", ["r-0123456789AB", "../r-0123456789ab", "r-1", ""])
def test_a_name_that_is_no_release_is_refused(store, release):
    with pytest.raises(MlopsError):
        store.put_release(release, "rollback_plan", b"{}")
