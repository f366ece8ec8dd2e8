"""Named attacks on what lies in folders: models, environments, and evidence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

from mlops_assets.adapters.tree.sealed import seal
from mlops_assets.domain.evidence import document_bytes
from mlops_assets.domain.identifiers import digest_of_files, sha256
from mlops_assets.domain.model import MODEL_FILES
from mlops_assets_tests.attacks.named import attack
from mlops_assets_tests.fakes.release import C1, C2, ENGINEER, MANAGER

STOP = ("E_GATE", "ModelError", "DataError")


def _to_registry(home):
    return lambda: home.again().promote(home.made, "registry")


def _to_test(home):
    return lambda: home.again().promote(home.made, "test")


def _to_production(home):
    return lambda: home.again().promote(home.made, "production")


def _other_bytes(path: Path) -> bytes:
    """A model that is as whole as the right one and forecasts something else."""
    return path.read_bytes().replace(b"}", b', "evil": 1}', 1) or b"{}"


def _instead(path: Path, put) -> None:
    path.unlink()
    put(path)


@attack("approved", *STOP)
def a_link_to_the_same_bytes_stands_for_a_model_file(home):
    path = home.model_file(C1, version=2)
    outside = home.layout.root / "outside.json"
    shutil.copy(path, outside)
    _instead(path, lambda place: place.symlink_to(outside))
    return _to_registry(home)


@attack("approved", *STOP)
def a_link_to_a_secret_stands_for_a_model_file(home):
    _instead(home.model_file(C1, version=2), lambda place: place.symlink_to("/etc/passwd"))
    return _to_registry(home)


@attack("approved", *STOP)
def a_link_without_an_end_stands_for_a_model_file(home):
    _instead(home.model_file(C1, version=2), lambda place: place.symlink_to(place.name))
    return _to_registry(home)


@attack("approved", *STOP)
def a_link_to_a_device_stands_for_a_model_file(home):
    _instead(home.model_file(C1, version=2), lambda place: place.symlink_to("/dev/zero"))
    return _to_registry(home)


@attack("approved", *STOP)
def a_link_stands_for_the_folder_of_a_version(home):
    folder = home.model_file(C1, version=2).parent
    moved = folder.rename(home.layout.root / "moved")
    folder.symlink_to(moved)
    return _to_registry(home)


@attack("approved", *STOP)
def a_link_stands_for_the_folder_of_a_circuit(home):
    folder = home.model_file(C1, version=2).parent.parent
    moved = folder.rename(home.layout.root / "moved")
    folder.symlink_to(moved)
    return _to_registry(home)


@attack("approved", *STOP)
def a_link_leads_to_another_circuits_model(home):
    folder = home.model_file(C1, version=2).parent
    shutil.rmtree(folder)
    folder.symlink_to(home.model_file(C2, version=1).parent)
    return _to_registry(home)


@attack("approved", *STOP)
def a_hard_link_to_another_model_stands_for_a_model_file(home):
    path = home.model_file(C1, version=2)
    other = home.layout.root / "other.json"
    other.write_bytes(_other_bytes(path))
    _instead(path, lambda place: os.link(other, place))
    return _to_registry(home)


@attack("approved", *STOP)
def a_model_file_is_written_through_a_hard_link(home):
    path = home.model_file(C1, version=2)
    back_door = home.layout.root / "door.json"
    os.link(path, back_door)
    back_door.write_bytes(_other_bytes(path))
    return _to_registry(home)


@attack("approved", *STOP)
def a_pipe_stands_for_a_model_file(home):
    _instead(home.model_file(C1, version=2), os.mkfifo)
    return _to_registry(home)


@attack("approved", *STOP)
def a_folder_stands_for_a_model_file(home):
    _instead(home.model_file(C1, version=2), Path.mkdir)
    return _to_registry(home)


@attack("approved", *STOP)
def a_model_file_is_larger_than_memory(home):
    path = home.model_file(C1, "arrays.npz", version=2)
    with path.open("r+b") as file:
        file.truncate(2**40)
    return _to_registry(home)


@attack("approved", *STOP)
def a_model_file_is_gone(home):
    home.model_file(C1, version=2).unlink()
    return _to_registry(home)


@attack("approved", *STOP)
def a_model_file_is_empty(home):
    home.model_file(C1, version=2).write_bytes(b"")
    return _to_registry(home)


@attack("approved", *STOP)
def one_bit_of_a_model_is_flipped_after_the_signature(home):
    path = home.model_file(C1, "golden.json", version=2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return _to_registry(home)


@attack("approved", *STOP)
def a_pickle_lies_beside_a_model(home):
    home.model_file(C1, "model.pkl", version=2).write_bytes(pickle.dumps({"w": 1}))
    return _to_registry(home)


class _Bomb:
    """Unpickled, it would leave a file behind."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self):
        return (open, (self.canary, "w"))


@attack("approved", *STOP)
def a_pickle_stands_for_a_model(home):
    for name in MODEL_FILES:
        data = pickle.dumps(_Bomb(str(home.layout.root / "canary")))
        home.model_file(C1, name, version=2).write_bytes(data)
    return _to_registry(home)


@attack("tested", *STOP, "E_EVIDENCE")
def a_pickle_is_planted_in_the_shared_registry(home):
    for name in ("arrays.npz", "model.pkl"):
        data = pickle.dumps(_Bomb(str(home.layout.root / "canary")))
        home.model_file(C1, name, where="registry", version=2).write_bytes(data)
    return lambda: home.again().approve(home.made, "production", MANAGER)


@attack("ready", *STOP)
def a_model_is_swapped_in_the_registry_between_signature_and_deployment(home):
    path = home.model_file(C1, where="registry", version=2)
    path.write_bytes(_other_bytes(path))
    return _to_production(home)


def _resealed(home, where):
    """Another model under the same version, its record written to fit."""
    folder = home.model_file(C1, where=where, version=2).parent
    first = home.model_file(C1, where="dev", version=1).parent
    for name in MODEL_FILES:
        shutil.copy(first / name, folder / name)
    files = {name: (folder / name).read_bytes() for name in MODEL_FILES}
    record = json.loads((folder / "record.json").read_bytes())
    del record["sha256"]
    (folder / "record.json").write_bytes(seal(record | {"digest": digest_of_files(files)}))


@attack("approved", *STOP)
def a_model_is_swapped_together_with_its_record(home):
    _resealed(home, "dev")
    return _to_registry(home)


@attack("ready", *STOP)
def a_model_is_swapped_in_the_registry_together_with_its_record(home):
    _resealed(home, "registry")
    return _to_production(home)


@attack("ready", *STOP)
def the_model_of_another_circuit_lies_in_the_registry(home):
    folder = home.model_file(C1, where="registry", version=2).parent
    shutil.rmtree(folder)
    shutil.copytree(home.model_file(C2, where="registry", version=1).parent, folder)
    return _to_production(home)


@attack("approved", *STOP)
def an_older_version_is_renamed_to_the_signed_one(home):
    folder = home.model_file(C1, version=2).parent
    shutil.rmtree(folder)
    shutil.copytree(home.model_file(C1, version=1).parent, folder)
    return _to_registry(home)


@attack("approved", *STOP)
def the_proof_beside_a_model_claims_a_better_figure(home):
    path = home.model_file(C1, "proof.json", version=2)
    path.write_bytes(path.read_bytes().replace(b"0.05", b"0.01"))
    return _to_registry(home)


@attack("ready", *STOP)
def an_environment_in_the_registry_is_another_one(home):
    for path in home.layout.registry_environments.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"e" * 64, b"f" * 64))
    return _to_production(home)


# --- evidence ----------------------------------------------------------------------------------


def _bundle(home, circuit=C1, version=2) -> Path:
    return home.layout.root / home.dev.evidence.folder(circuit, version)


def _rewritten(home, name, data):
    """Evidence whose bundle was written to fit."""
    folder = _bundle(home)
    (folder / name).write_bytes(data)
    document = json.loads((folder / "bundle.json").read_bytes())
    document["files"][name] = sha256(data)
    (folder / "bundle.json").write_bytes(document_bytes(document))


@attack("approved", *STOP)
def a_metric_is_made_better_after_the_signature(home):
    path = _bundle(home) / "metrics.json"
    path.write_bytes(path.read_bytes().replace(b"0.05", b"0.01"))
    return _to_registry(home)


@attack("approved", *STOP)
def evidence_is_rewritten_together_with_its_bundle(home):
    _rewritten(home, "metrics.json", b"{}")
    return _to_registry(home)


@attack("approved", *STOP)
def evidence_of_another_circuit_is_copied_over(home):
    folder = _bundle(home)
    shutil.rmtree(folder)
    shutil.copytree(_bundle(home, C2, 1), folder)
    return _to_registry(home)


@attack("approved", *STOP)
def evidence_of_an_older_version_is_copied_over(home):
    folder = _bundle(home)
    shutil.rmtree(folder)
    shutil.copytree(_bundle(home, C1, 1), folder)
    return _to_registry(home)


@attack("approved", *STOP)
def evidence_is_a_link(home):
    path = _bundle(home) / "metrics.json"
    moved = path.rename(home.layout.root / "metrics.json")
    path.symlink_to(moved)
    return _to_registry(home)


@attack("approved", *STOP)
def evidence_is_gone(home):
    shutil.rmtree(_bundle(home))
    return _to_registry(home)


@attack("asked", *STOP, "E_EVIDENCE")
def evidence_vanishes_before_anybody_signs(home):
    (_bundle(home) / "scoring_notebook.ipynb").unlink()
    return lambda: home.again().approve(home.made, "registry", ENGINEER)


def _planted_before_the_release(home, name, data):
    """A release that pins evidence which was bent before it was cut."""
    assert home.reject(home.made, "registry", ENGINEER).accepted
    _rewritten(home, name, data)
    made = home.create(C1)
    return lambda: home.again().approve(made, "registry", ENGINEER)


@attack("created", *STOP, "E_EVIDENCE")
def metrics_that_are_no_object_are_planted_before_the_release(home):
    return _planted_before_the_release(home, "metrics.json", b"[]")


@attack("created", *STOP, "E_EVIDENCE")
def metrics_nested_too_deep_are_planted_before_the_release(home):
    return _planted_before_the_release(home, "metrics.json", b"[" * 200_000)


@attack("created", *STOP, "E_EVIDENCE")
def a_review_that_is_no_review_is_planted_before_the_release(home):
    data = b'{"changes":[{"review":"yes"}],"reviewed":true,"reason":"reviewed"}'
    return _planted_before_the_release(home, "pull_request.json", data)


@attack("created", *STOP, "E_EVIDENCE")
def a_review_nested_too_deep_is_planted_before_the_release(home):
    return _planted_before_the_release(home, "pull_request.json", b"[" * 200_000)


@attack("created", *STOP, "E_EVIDENCE")
def a_lineage_that_is_none_is_planted_before_the_release(home):
    return _planted_before_the_release(home, "lineage.json", b"[" * 200_000)


def _stage_evidence(home, kind, release=None) -> Path:
    folder = home.layout.dev_evidence / "releases" / (release or home.made)
    return folder / f"{kind}.json"


@attack("tested", *STOP, "E_EVIDENCE")
def the_test_result_of_another_release_is_planted(home):
    shutil.copy(
        _stage_evidence(home, "test_validation", home.first),
        _stage_evidence(home, "test_validation"),
    )
    return lambda: home.again().approve(home.made, "production", MANAGER)


@attack("tested", *STOP, "E_EVIDENCE")
def a_test_result_is_rewritten_before_anybody_signs(home):
    path = _stage_evidence(home, "test_validation")
    path.write_bytes(path.read_bytes().replace(b'"passed":true', b'"passed":true ', 1))
    return lambda: home.again().approve(home.made, "production", MANAGER)


@attack("ready", *STOP, "E_APPROVAL")
def a_test_result_is_rewritten_after_the_signature(home):
    path = _stage_evidence(home, "test_validation")
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2', 1))
    return _to_production(home)


@attack("tested", *STOP, "E_EVIDENCE")
def a_test_result_is_nested_too_deep_to_read(home):
    _stage_evidence(home, "test_validation").write_bytes(b"[" * 200_000)
    return lambda: home.again().approve(home.made, "production", MANAGER)


@attack("ready", *STOP, "E_APPROVAL")
def a_rollback_plan_is_nested_too_deep_to_read(home):
    _stage_evidence(home, "rollback_plan").write_bytes(b"[" * 200_000)
    return _to_production(home)


@attack("ready", *STOP, "E_APPROVAL")
def a_rollback_plan_is_emptied_after_the_signature(home):
    _stage_evidence(home, "rollback_plan").write_bytes(b'{"refused":{}}')
    return _to_production(home)


@attack("ready", *STOP, "E_APPROVAL")
def the_test_result_is_gone(home):
    _stage_evidence(home, "test_validation").unlink()
    return _to_production(home)
