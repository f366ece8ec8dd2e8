"""The local model registry against damage, links, strangers' files and death."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.model import LocalModelRegistry
from mlops_assets.domain.errors import ModelError, StaleError
from mlops_assets_tests.fakes.model import CIRCUIT, model_files, model_record

FILES = model_files()
PROOF = b'{"format":1}'
NAMES = (*FILES, "record.json", "proof.json", "run.json")


@pytest.fixture
def registry(tmp_path):
    return LocalModelRegistry(tmp_path / "models", tmp_path)


@pytest.fixture
def folder(registry, tmp_path):
    registry.register(model_record(FILES), FILES, PROOF)
    return tmp_path / "models" / "P001" / "C001" / "1"


def read_all(registry):
    record = registry.get(CIRCUIT, 1)
    return record, dict(registry.files(record)), registry.proof(record)


def test_a_version_holds_its_files_its_record_its_proof_and_its_run(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)


def test_the_clock_stays_out_of_the_record(folder):
    assert "trained_at" not in json.loads((folder / "record.json").read_bytes())["tags"]
    assert json.loads((folder / "run.json").read_bytes())["tags"] == {
        "trained_at": "2024-07-01T00:00:00+00:00"
    }


@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_refused(tmp_path_factory, data):
    home = tmp_path_factory.mktemp("home")
    registry = LocalModelRegistry(home / "models", home)
    registry.register(model_record(FILES), FILES, PROOF)
    path = home / "models" / "P001" / "C001" / "1" / data.draw(st.sampled_from(NAMES))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(ModelError, match="P001/C001 version 1"):
        read_all(registry)


@given(data=st.data())
def test_any_shortened_or_missing_file_is_refused(tmp_path_factory, data):
    home = tmp_path_factory.mktemp("home")
    registry = LocalModelRegistry(home / "models", home)
    registry.register(model_record(FILES), FILES, PROOF)
    path = home / "models" / "P001" / "C001" / "1" / data.draw(st.sampled_from(NAMES))
    length = data.draw(st.integers(-1, path.stat().st_size - 1))
    if length < 0:
        path.unlink()
    else:
        os.truncate(path, length)
    with pytest.raises(ModelError, match="P001/C001 version 1"):
        read_all(registry)


def test_a_strange_file_beside_a_model_is_named(registry, folder):
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(ModelError, match=r"version 1: model\.pkl is no file of a model"):
        registry.get(CIRCUIT, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_in_place_of_a_file_is_refused_whatever_it_leads_to(registry, folder, name):
    path = folder / name
    original = folder.parent / "original"
    path.rename(original)
    path.symlink_to(original)
    with pytest.raises(ModelError, match="a link stands where it should be"):
        read_all(registry)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_link_in_place_of_a_folder_is_refused(registry, folder, tmp_path, level):
    target = [folder, folder.parent, folder.parent.parent][level]
    target.rename(tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ModelError, match="a link stands where it should be"):
        registry.get(CIRCUIT, 1)


def test_a_pipe_in_place_of_a_file_neither_blocks_nor_passes(registry, folder):
    (folder / "model.json").unlink()
    os.mkfifo(folder / "model.json")
    with pytest.raises(ModelError, match=r"model\.json is not a plain file"):
        read_all(registry)


def test_a_folder_of_another_version_or_circuit_is_refused(registry, folder):
    shutil.copytree(folder, folder.parent / "2")
    with pytest.raises(ModelError, match="version 2: holds P001/C001 version 1"):
        registry.get(CIRCUIT, 2)


def test_a_registered_but_damaged_version_is_not_called_the_same(registry, folder):
    (folder / "arrays.npz").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="its files are not those"):
        registry.register(model_record(FILES), FILES, PROOF)


def test_a_newer_format_names_what_to_run(registry, folder, monkeypatch):
    from mlops_assets.adapters.tree import model

    shutil.rmtree(folder)
    monkeypatch.setattr(model, "MODEL_FORMAT", 2)
    registry.register(model_record(FILES), FILES)
    monkeypatch.setattr(model, "MODEL_FORMAT", 1)
    with pytest.raises(ModelError, match=r"has format 2, this mlops reads format 1; run `mlops"):
        registry.get(CIRCUIT, 1)


def test_names_that_are_no_version_are_no_version(registry, folder):
    for name in ("1.0.0", "v2", "01", ".7.123-0.tmp", "0"):
        (folder.parent / name).mkdir()
    (folder.parent / "9").write_text("a file")
    assert [record.version for record in registry.versions(CIRCUIT)] == [1]
    assert registry.next_version(CIRCUIT) == 2


def test_of_many_that_register_at_once_each_version_is_one_model_whole(registry):
    done = []

    def register(number):
        files = model_files(f"writer {number}")
        while True:
            record = model_record(files, version=registry.next_version(CIRCUIT))
            try:
                done.append(registry.register(record, files))
            except StaleError:
                continue
            return

    threads = [threading.Thread(target=register, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.version for record in done) == list(range(1, 9))
    for record in done:
        assert dict(registry.files(record)) == dict(
            registry.files(registry.get(CIRCUIT, record.version))
        )


KILLED = """
import os, sys
from pathlib import Path
from mlops_assets.adapters.local.model import LocalModelRegistry
from mlops_assets_tests.fakes.model import model_files, model_record

left = int(sys.argv[2])
real = {name: getattr(os, name) for name in ("fsync", "open", "rename", "mkdir")}

def counted(name):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return real[name](*arguments, **options)
    return call

files = model_files()
registry = LocalModelRegistry(Path(sys.argv[1]) / "models", Path(sys.argv[1]))
for name in real:
    setattr(os, name, counted(name))
registry.register(model_record(files), files, b"{}")
"""


@pytest.mark.parametrize("steps", [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29])
def test_a_kill_at_any_step_leaves_the_whole_version_or_none(tmp_path, steps):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(steps)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = subprocess.run(command, env=environment, check=False).returncode
    assert code in {0, -9}
    registry = LocalModelRegistry(tmp_path / "models", tmp_path)
    found = [record.version for record in registry.versions(CIRCUIT)]
    assert found in ([], [1])
    if code == 0:
        assert found == [1]
    registry.register(model_record(FILES), FILES, b"{}")
    assert read_all(registry)[1:] == (FILES, b"{}")
