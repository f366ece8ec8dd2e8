"""The storage of a home on a disk: what it lists, removes, and sweeps."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.local import tree
from mlops_assets.adapters.local.readings import LocalReadingsTable
from mlops_assets.adapters.local.retention import LocalStorage
from mlops_assets.domain.errors import DataError
from mlops_assets.settings import HomeLayout
from mlops_assets_tests.fakes.readings import readings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
THINGS = {
    ("training_data", "P1/C1/2026-05-01.r1"): "workspaces/dev/data/P1/C1/2026-05-01.r1/asset.json",
    ("dev_model", "P1/C1/7"): "workspaces/dev/models/P1/C1/7/record.json",
    ("registry_model", "P1/C1/7"): "registry/models/P1/C1/7/record.json",
    ("evidence", "P1/C1/7"): "workspaces/dev/evidence/P1/C1/v7/bundle.json",
    ("interpreter", "forecasting:1.0.0"): "environments/forecasting/1.0.0/pyvenv.cfg",
    ("dev_environment", "forecasting:1.0.0"): "workspaces/dev/environments/forecasting/1.0.0.json",
    ("registry_environment", "forecasting:1.0.0"): "registry/environments/forecasting/1.0.0.json",
    ("page", "r-0123456789ab"): "workspaces/dev/evidence/releases/r-0123456789ab/page.html",
    ("drill", "20260501T050000Z.json"): "workspaces/prod/drills/20260501T050000Z.json",
    (
        "test_predictions",
        "P1/C1/2026-05-01",
    ): "workspaces/test/predictions/P1/C1/2026-05-01.parquet",
    (
        "prod_predictions",
        "P1/C1/2026-05-01",
    ): "workspaces/prod/predictions/P1/C1/2026-05-01.parquet",
}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def storage(root, tmp_path):
    for path in THINGS.values():
        write(root / path)
    return LocalStorage(HomeLayout(root), tmp_path / "tmp")


def write(path, *, age=timedelta(0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_every_kind_of_thing_is_listed_with_age_and_size(storage):
    found = {item.thing: item for item in storage.items()}
    assert found.keys() == THINGS.keys()
    assert {item.at for item in found.values()} == {NOW}
    assert {item.bytes for item in found.values()} == {5}


@pytest.mark.parametrize("thing", THINGS, ids=[kind for kind, _ in THINGS])
def test_a_thing_goes_alone_and_going_again_is_no_error(storage, root, thing):
    item = next(item for item in storage.items() if item.thing == thing)
    storage.remove(item)
    storage.remove(item)
    assert {other.thing for other in storage.items()} == THINGS.keys() - {thing}
    assert not (root / THINGS[thing]).exists()


def test_a_removal_that_is_killed_leaves_a_thing_whole_or_swept_later(storage, root, monkeypatch):
    item = next(item for item in storage.items() if item.kind == "dev_model")

    def die(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tree, "remove_temporary", die)
        with pytest.raises(KeyboardInterrupt):
            storage.remove(item)
    assert item.thing not in {other.thing for other in storage.items()}
    left = list(root.rglob(".7.*"))
    assert len(left) == 1
    assert storage.sweep(NOW) == 0
    moment = (NOW - timedelta(days=2)).timestamp()
    os.utime(left[0], (moment, moment))
    assert storage.sweep(NOW) == 1
    assert not left[0].exists()


LEFTOVERS = {
    "an atomic write": "home/ledger/releases/.r-1.json.123-4.tmp",
    "a folder in writing": "home/workspaces/dev/models/P1/C1/.8.123-4.tmp/model.json",
    "a commit of a table": "home/lake/readings/_delta_log/00000000000000000007.json#1",
    "a notebook's kernel": "tmp/mlops-kernel-ab12/k.json",
    "models applied elsewhere": "tmp/apply-models-ab12/request.json",
}


@pytest.mark.parametrize("path", LEFTOVERS.values(), ids=LEFTOVERS)
def test_what_a_killed_writer_left_goes_after_a_day_and_not_before(storage, tmp_path, path):
    file = write(tmp_path / path)
    folders = (".8.", "mlops-kernel-", "apply-models-")
    top = file.parent if file.parent.name.startswith(folders) else file
    for age, gone in ((timedelta(hours=23), False), (timedelta(hours=25), True)):
        moment = (NOW - age).timestamp()
        os.utime(top, (moment, moment))
        assert storage.sweep(NOW) == int(gone)
        assert top.exists() is not gone


def test_marks_of_old_backfills_go_with_their_locks(storage, root):
    old, new = (root / "locks" / f"backfill-{name}.done" for name in ("old", "new"))
    write(old, age=timedelta(days=31))
    write(old.with_suffix(".lock"))
    write(new, age=timedelta(days=1))
    assert storage.sweep(NOW) == 1
    assert not old.exists()
    assert not old.with_suffix(".lock").exists()
    assert new.exists()


def test_other_peoples_temporary_files_stay(storage, tmp_path):
    file = write(tmp_path / "tmp" / "somebody-elses" / "x", age=timedelta(days=9))
    storage.sweep(NOW)
    assert file.exists()


def test_a_vacuum_keeps_what_a_pinned_version_reads_and_frees_the_rest(root):
    table = LocalReadingsTable(root / "lake" / "readings")
    versions = [
        table.merge(readings([number] * 48), slice_id=f"s{number}").delta_version
        for number in range(4)
    ]
    before = {version: table.read(version=version) for version in versions}
    assert table.vacuum(pinned=[versions[1]], older_than=timedelta(days=90)) == 0
    assert table.vacuum(pinned=[versions[1]], older_than=timedelta(0)) > 0
    assert table.read().equals(before[versions[3]])
    assert table.read(version=versions[1]).equals(before[versions[1]])
    with pytest.raises(DataError):
        table.read(version=versions[0])
    assert table.vacuum(pinned=[versions[1]], older_than=timedelta(0)) == 0
