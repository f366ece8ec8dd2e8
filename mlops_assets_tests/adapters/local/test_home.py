"""The folder of a home: claimed by its intent, whole with its description."""

from __future__ import annotations

import json

import pytest

from mlops_assets.adapters.local.home import LocalHome
from mlops_assets.domain.errors import HomeError
from mlops_assets.settings import HomeLayout


def document(kind="init", **made_for):
    usual = {"readings": "a" * 64, "horizon": 24, "circuits": None}
    return {"format": 1, "kind": kind, "made_for": usual | made_for}


@pytest.fixture
def layout(tmp_path):
    return HomeLayout(tmp_path / "home")


@pytest.fixture
def place(layout):
    return LocalHome(layout)


def test_an_empty_folder_is_claimed_and_becomes_a_home(place, layout):
    assert not place.begin(document())
    assert not layout.home_file.exists()
    place.finish()
    assert json.loads(layout.home_file.read_bytes()) == document()
    assert layout.kind() == "init"
    assert all(folder.is_dir() for folder in layout.folders())
    assert place.begin(document())


def test_an_interrupted_claim_goes_on_with_the_same_wish_alone(place, layout):
    place.begin(document())
    assert not LocalHome(layout).begin(document())
    with pytest.raises(HomeError, match="an interrupted `mlops init` with other options"):
        place.begin(document(horizon=48))


def test_a_whole_home_of_another_wish_is_refused(place):
    place.begin(document())
    place.finish()
    with pytest.raises(HomeError, match="was made with other readings and horizon"):
        place.begin(document(readings="b" * 64, horizon=48))
    with pytest.raises(HomeError, match="is a home that `mlops init` made"):
        place.begin(document("demo"))


def test_a_demo_home_is_taken_as_it_is(place):
    place.begin(document("demo"))
    place.finish()
    assert place.begin(document("demo", circuits=3, horizon=48))
    assert place.begin(document("demo", readings=None))
    with pytest.raises(HomeError, match="was made with other readings"):
        place.begin(document("demo", readings="b" * 64))


def test_a_folder_with_anything_else_is_refused(place, layout):
    layout.root.mkdir()
    (layout.root / "mine.txt").write_text("x")
    with pytest.raises(HomeError, match=r"neither empty nor a home \(it holds mine\.txt\)"):
        place.begin(document())
    assert sorted(path.name for path in layout.root.iterdir()) == ["mine.txt"]


def test_what_a_killed_write_left_is_nothing(place, layout):
    layout.root.mkdir()
    (layout.root / ".init.json.123-0.tmp").write_text("half")
    assert not place.begin(document())


def test_settings_come_before_the_home_that_they_are_for(place, layout):
    layout.root.mkdir()
    (layout.root / "settings.yml").write_text("backend: azure\n")
    assert not place.begin(document())
    place.finish()
    assert (layout.root / "settings.yml").read_text() == "backend: azure\n"


def test_a_file_is_no_folder(place, layout):
    layout.root.write_text("x")
    with pytest.raises(HomeError, match="is a file: name a folder"):
        place.begin(document())


def test_an_unreadable_intent_is_refused(place, layout):
    layout.root.mkdir()
    layout.intent_file.write_text("{")
    with pytest.raises(HomeError, match="an interrupted"):
        place.begin(document())


def test_keys_are_made_once_and_for_their_owner_alone(place, layout):
    place.begin(document("demo"))
    key = place.key("engineer@demo.example")
    path = layout.demo_keys / "engineer@demo.example"
    assert place.key("engineer@demo.example") == key == path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert place.key("manager@demo.example") != key
