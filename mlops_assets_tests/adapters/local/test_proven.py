"""A golden forecast is asked for once, and again when anything that computes it is another."""

import json

import pytest

from mlops_assets.adapters.local import proven
from mlops_assets.adapters.local.proven import LocalProvenModels, fingerprint


@pytest.fixture
def models(tmp_path):
    return LocalProvenModels(tmp_path / "environments" / "proven.json")


@pytest.fixture
def elsewhere(monkeypatch):
    """Let the next look be that of another environment."""
    monkeypatch.setattr(proven, "fingerprint", lambda: "another")


def test_what_was_remembered_is_known_to_the_next_process(models):
    assert models.known() == frozenset()

    models.remember({"a" * 64, "b" * 64})

    assert LocalProvenModels(models.path).known() == {"a" * 64, "b" * 64}


def test_only_the_newest_digests_are_kept(models):
    models.remember({"a" * 64, "b" * 64})
    models.remember({"b" * 64})

    assert models.known() == {"b" * 64}


def test_the_same_again_writes_nothing(models):
    models.remember({"a" * 64})
    before = models.path.stat().st_ino

    models.remember({"a" * 64})

    assert models.path.stat().st_ino == before


def test_in_another_environment_nothing_is_known(models, elsewhere):
    models.path.parent.mkdir(parents=True)
    document = {"format": 1, "by": fingerprint(), "digests": ["a" * 64]}
    models.path.write_text(json.dumps(document))

    assert models.known() == frozenset()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"format": 1}', '{"format": 2, "by": "x"}'])
def test_what_cannot_be_read_is_as_if_nothing_was_remembered(models, text):
    models.path.parent.mkdir(parents=True)
    models.path.write_text(text)

    assert models.known() == frozenset()


@pytest.mark.parametrize("what", ["_packages", "_processor"])
def test_another_package_or_processor_is_another_environment(monkeypatch, what):
    before = fingerprint()
    fingerprint.cache_clear()
    monkeypatch.setattr(proven, what, lambda: ["other"])
    try:
        assert fingerprint() != before
    finally:
        fingerprint.cache_clear()


def test_another_source_of_a_forecaster_is_another_environment(monkeypatch, tmp_path):
    before = fingerprint()
    fingerprint.cache_clear()
    for folder in ("forecasters", "domain"):
        (tmp_path / folder).mkdir()
    (tmp_path / "forecasters" / "ets.py").write_text("changed = True\n")
    monkeypatch.setattr(proven, "_PACKAGE", tmp_path)
    try:
        assert fingerprint() != before
    finally:
        fingerprint.cache_clear()
