"""What the storage of a home must do, as things that may be removed: on a disk, and in blobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.azure.retention import BlobStorage
from mlops_assets.adapters.azure.tree import BlobTree
from mlops_assets.adapters.local.retention import LocalStorage
from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.domain.errors import StaleError
from mlops_assets.settings import HomeLayout

DAY = "predictions/P1/C1/2026-05-01.parquet"
THINGS = {
    ("training_data", "P1/C1/2026-05-01.r1"): "workspaces/dev/data/P1/C1/2026-05-01.r1/asset.json",
    ("dev_model", "P1/C1/7"): "workspaces/dev/models/P1/C1/7/record.json",
    ("registry_model", "P1/C1/7"): "registry/models/P1/C1/7/record.json",
    ("evidence", "P1/C1/7"): "workspaces/dev/evidence/P1/C1/v7/bundle.json",
    ("dev_environment", "forecasting:1.0.0"): "workspaces/dev/environments/forecasting/1.0.0.json",
    ("registry_environment", "forecasting:1.0.0"): "registry/environments/forecasting/1.0.0.json",
    ("page", "r-0123456789ab"): "workspaces/dev/evidence/releases/r-0123456789ab/page.html",
    ("drill", "20260501T050000Z.json"): "workspaces/prod/drills/20260501T050000Z.json",
    ("test_predictions", "P1/C1/2026-05-01"): f"workspaces/test/{DAY}",
    ("prod_predictions", "P1/C1/2026-05-01"): f"workspaces/prod/{DAY}",
}
FOLDERS = {
    "training_data": "workspaces/dev/data",
    "dev_model": "workspaces/dev/models",
    "registry_model": "registry/models",
    "evidence": "workspaces/dev/evidence",
    "dev_environment": "workspaces/dev/environments",
    "registry_environment": "registry/environments",
    "page": "workspaces/dev/evidence/releases",
    "drill": "workspaces/prod/drills",
    "test_predictions": "workspaces/test/predictions",
    "prod_predictions": "workspaces/prod/predictions",
}
# What lies beside things, and is none.
BESIDE = (
    "workspaces/dev/models/P1/C1/.lock",
    "workspaces/dev/data/P1/C1/.writing",
    "workspaces/dev/evidence/releases/r-0123456789ab/rollback_plan.json",
    "workspaces/prod/drills/latest.json",
    "workspaces/prod/predictions/P1/C1/other.parquet",
)


def of_blobs(blobs):
    trees = {kind: BlobTree(blobs.inside(folder), folder) for kind, folder in FOLDERS.items()}
    return BlobStorage(trees, BlobTree(blobs.inside("locks"), "locks"))


@pytest.fixture(params=["local", pytest.param("azure", marks=pytest.mark.azure)])
def home(request, tmp_path):
    """A storage, another process's view of it, and the whole home as one tree."""
    if request.param == "azure":
        blobs = request.getfixturevalue("azurite").blobs()
        made = of_blobs(blobs), of_blobs(blobs), BlobTree(blobs, "")
    else:
        layout = HomeLayout(tmp_path)
        made = *(LocalStorage(layout, tmp_path / "tmp") for _ in range(2)), DiskTree(tmp_path)
    for path in (*THINGS.values(), *BESIDE):
        made[2].write_once(path, b"12345")
    return made


def test_every_kind_of_thing_is_listed_with_age_and_size(home):
    storage, _, _ = home
    found = {item.thing: item for item in storage.items()}
    assert found.keys() == THINGS.keys()
    assert {item.bytes for item in found.values()} == {5}
    assert all(datetime.now(UTC) - item.at < timedelta(hours=1) for item in found.values())


def test_each_thing_goes_alone_and_going_again_is_no_error(home):
    storage, _, tree = home
    items = list(storage.items())
    for number, item in enumerate(items):
        storage.remove(item)
        storage.remove(item)
        assert tree.read(THINGS[item.thing]) is None
        left = {other.thing for other in items[number + 1 :]}
        assert all(tree.read(THINGS[thing]) == b"12345" for thing in left)
    assert list(storage.items()) == []
    assert all(tree.read(path) == b"12345" for path in BESIDE)


def test_nothing_that_is_whole_or_new_is_swept(home):
    storage, _, tree = home
    tree.write_once("workspaces/dev/models/P1/C1/8/model.json", b"being written")
    assert storage.sweep(datetime.now(UTC)) == 0
    assert tree.read("workspaces/dev/models/P1/C1/8/model.json") is not None


def test_removal_can_be_held_against_others(home):
    storage, other, _ = home
    for each in (storage, other):
        with each.lock():
            assert list(each.items())


@pytest.mark.azure
def test_what_a_killed_process_left_in_blobs_goes_after_a_day(azurite):
    blobs = azurite.blobs()
    storage, tree = of_blobs(blobs), BlobTree(blobs, "")
    for path in THINGS.values():
        tree.write_once(path, b"12345")
    tree.write_once("workspaces/dev/models/P1/C1/8/model.json", b"")
    tree.write_once("workspaces/dev/evidence/P1/C1/v8/metrics.json", b"")
    tomorrow = datetime.now(UTC) + timedelta(hours=24, minutes=5)
    assert storage.sweep(tomorrow) == 2
    assert {item.thing for item in storage.items()} == THINGS.keys()
    assert tree.read("workspaces/dev/models/P1/C1/8/model.json") is None


@pytest.mark.azure
def test_a_removal_in_blobs_is_refused_while_another_is_going_on(azurite):
    blobs = azurite.blobs()
    with (
        of_blobs(blobs).lock(),
        pytest.raises(StaleError, match=r"locks/retention\.lock: somebody else holds it"),
        BlobTree(blobs.inside("locks"), "locks").locked("retention.lock", wait=False),
    ):
        pass
