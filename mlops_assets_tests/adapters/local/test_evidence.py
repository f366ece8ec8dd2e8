"""Evidence on a disk: what was changed there is found whenever it is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.evidence import LocalEvidenceStore
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey

CIRCUIT = CircuitKey("P001", "C001")
FILES = {"metrics.json": b'{"a":1}', "scoring_notebook.html": b"<html></html>"}


@pytest.fixture
def store(tmp_path):
    made = LocalEvidenceStore(tmp_path / "evidence", tmp_path)
    made.put(CIRCUIT, 1, FILES, b"{}")
    return made


def folder(tmp_path):
    return tmp_path / "evidence" / "P001" / "C001" / "v1"


@given(st.sampled_from(sorted(FILES)), st.data())
def test_any_flipped_bit_is_found(tmp_path_factory, name, data):
    home = tmp_path_factory.mktemp("home")
    store = LocalEvidenceStore(home / "evidence", home)
    store.put(CIRCUIT, 1, FILES, b"{}")
    path = folder(home) / name
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))

    with pytest.raises(DataError, match="is not what was stored as evidence"):
        store.get(CIRCUIT, 1)
    with pytest.raises(DataError, match=name):
        store.read(CIRCUIT, 1, name)


def test_a_file_that_is_gone_is_named(store, tmp_path):
    (folder(tmp_path) / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"evidence/P001/C001/v1/metrics\.json: is missing"):
        store.get(CIRCUIT, 1)


def test_a_link_in_place_of_a_file_is_refused(store, tmp_path):
    path = folder(tmp_path) / "metrics.json"
    elsewhere = tmp_path / "metrics.json"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"metrics\.json: cannot be read"):
        store.get(CIRCUIT, 1)


def test_a_folder_in_place_of_a_file_is_refused(store, tmp_path):
    path = folder(tmp_path) / "metrics.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"metrics\.json: is no plain file"):
        store.get(CIRCUIT, 1)


def test_run_json_is_in_no_digest(store, tmp_path):
    before = store.get(CIRCUIT, 1)
    (folder(tmp_path) / "run.json").write_bytes(b"other")
    assert store.get(CIRCUIT, 1) == before


@pytest.mark.parametrize(
    "change",
    [
        {"circuit": "P001/C002"},
        {"model_version": 2},
        {"format": 9},
        {"files": {"../../x": "00"}},
        {"files": 3},
    ],
)
def test_a_bundle_about_something_else_is_refused(store, tmp_path, change):
    path = folder(tmp_path) / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(DataError, match=r"bundle\.json"):
        store.get(CIRCUIT, 1)


def test_a_bundle_that_is_no_json_is_refused(store, tmp_path):
    (folder(tmp_path) / "bundle.json").write_bytes(b"\x00")
    with pytest.raises(DataError, match=r"bundle\.json: is damaged"):
        store.get(CIRCUIT, 1)


@pytest.mark.parametrize("name", ["../x.json", "bundle.json", "run.json", "A.json", ".hidden"])
def test_a_name_that_is_no_evidence_is_refused(store, name):
    with pytest.raises(DataError, match="no name of a file of evidence"):
        store.put(CIRCUIT, 2, {name: b""}, b"{}")
