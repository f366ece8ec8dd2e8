"""What files of rollback drills must do: the local ones, and those in blobs."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.local.drill import LocalDrillFiles
from mlops_assets.adapters.tree.drill import TreeDrillFiles
from mlops_assets.domain.errors import DataError


@pytest.fixture(params=["local", pytest.param("azure", marks=pytest.mark.azure)])
def drills(request, tmp_path):
    if request.param == "azure":
        return TreeDrillFiles(request.getfixturevalue("azurite").tree("workspaces/prod/drills"))
    return LocalDrillFiles(tmp_path / "workspaces" / "prod" / "drills", tmp_path)


def test_drills_are_kept_oldest_first_and_told_by_their_path(drills):
    assert list(drills.names()) == []
    for name in ("20260601T000000Z.json", "20260501T000000Z.json"):
        assert drills.write(name, name.encode()) == f"workspaces/prod/drills/{name}"
    drills.write("latest.json", b"")
    assert list(drills.names()) == ["20260501T000000Z.json", "20260601T000000Z.json"]
    assert drills.read("20260501T000000Z.json") == b"20260501T000000Z.json"
    assert drills.path("x.json") == "workspaces/prod/drills/x.json"


def test_a_drill_may_be_written_again(drills):
    drills.write("20260501T000000Z.json", b"half")
    drills.write("20260501T000000Z.json", b"whole")
    assert drills.read("20260501T000000Z.json") == b"whole"


def test_a_drill_that_is_not_there_is_named(drills):
    with pytest.raises(DataError, match=r"drills/1\.json: there is no such drill"):
        drills.read("1.json")
