"""The drill over fakes: every way back is tried and timed, and nothing is changed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from mlops_assets.adapters.local.drill import LocalDrillFiles
from mlops_assets.domain.errors import DataError
from mlops_assets.flows.drill import drill, newest
from mlops_assets_tests.fakes.deployment import an_entry
from mlops_assets_tests.fakes.forecast import model_files
from mlops_assets_tests.fakes.serving import NOW, Production
from mlops_assets_tests.flows.test_rollback import C1, C2, OTHER, release


@pytest.fixture
def production():
    return Production()


@pytest.fixture
def files(tmp_path):
    return LocalDrillFiles(tmp_path / "drills", tmp_path)


def tried(production, files):
    platform = SimpleNamespace(
        ledger=production.ledger, prod=production.prod, registry=production.registry
    )
    return drill(platform, files, now=NOW)


def test_every_way_back_is_tried_and_nothing_moves(production, files):
    first = release(production, C1, OTHER, version=1)
    release(production, C1, OTHER, C2, version=2)
    before, entries = dict(production.prod.endpoints.files), len(production.ledger.entries())
    found, path = tried(production, files)
    assert found.ok
    assert found.targets == {C1: first, OTHER: first}
    assert found.first == (C2,)
    assert production.prod.endpoints.files == before
    assert len(production.ledger.entries()) == entries
    assert path == f"drills/{found.name}"


def test_the_file_says_how_long_it_took(production, files):
    first = release(production, C1, version=1)
    release(production, C1, version=2)
    found, _ = tried(production, files)
    (name,) = files.names()
    document = json.loads(files.read(name))
    assert document["seconds"] == found.seconds > 0
    assert document["circuits"] == {"P1/C1": first}
    assert document["ok"] is True
    with pytest.raises(DataError, match="there is no such drill"):
        files.read("2020.json")


def test_the_newest_drill_is_shown_again(production, files):
    with pytest.raises(DataError, match="no drill is kept yet: `mlops drill` runs one"):
        newest(files)
    release(production, C1, version=1)
    files.write("2020-01-01T000000.000000Z.json", b"{}")
    found, path = tried(production, files)
    assert newest(files) == (found.document(), path)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"{", b"null"])
def test_what_is_no_drill_is_said_so(files, data):
    files.write("2020-01-01T000000.000000Z.json", data)
    with pytest.raises(DataError, match="is not a drill; `mlops drill` runs another"):
        newest(files)


def test_a_way_back_whose_bytes_changed_is_named(production, files):
    release(production, C1, C2, version=1)
    release(production, C1, C2, version=2)
    production.shelf.bytes[C1, 1] = model_files(add=1e9)
    found, _ = tried(production, files)
    assert not found.ok
    assert "is damaged" in found.broken["P1/C1"]
    assert set(found.targets) == {C2}


def test_a_plant_that_cannot_be_read_is_named_and_the_others_are_tried(production, files):
    release(production, C1, OTHER, version=1)
    release(production, C1, OTHER, version=2)
    inner = production.prod.endpoints.live

    def breaks(plant):
        if plant == "P2":
            raise DataError("live.json: does not match its own digest")
        return inner(plant)

    production.prod.endpoints.live = breaks
    found, _ = tried(production, files)
    assert found.broken == {"P2": "live.json: does not match its own digest"}
    assert set(found.targets) == {C1}


def test_where_nothing_is_live_there_is_nothing_to_try(production, files):
    found, _ = tried(production, files)
    assert found.ok
    assert found.targets == {}


def test_a_way_back_to_a_release_that_is_not_recorded_is_named(production, files):
    production.release(
        an_entry(C1, digest=production.shelf.add(C1, 1), replaces=None),
    )
    release(production, C1, version=2)
    production.prod.endpoints.deployments.clear()
    found, _ = tried(production, files)
    assert "is not recorded on the endpoint" in found.broken["P1/C1"]
