"""What every model registry must do: the fake, the local one, Azure's dev and shared one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.model import LocalModelRegistry
from mlops_assets.adapters.tree.model import TreeModelRegistry
from mlops_assets.domain.errors import MlopsError, ModelError, StaleError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.fakes.model import CIRCUIT, FakeModelRegistry, model_files, model_record

FILES = model_files()


def local(home):
    return LocalModelRegistry(home / "workspaces" / "dev" / "models", home)


AZURE = [pytest.param(place, marks=pytest.mark.azure) for place in ("azure", "azure-shared")]


@pytest.fixture(params=["fake", "local", *AZURE])
def registry(request, tmp_path):
    if request.param == "fake":
        yield FakeModelRegistry()
    elif request.param == "local":
        yield local(tmp_path)
    else:
        from mlops_assets_tests.fakes.azure_ml import azure_ml, models

        with azure_ml() as plane:
            stored = TreeModelRegistry(
                request.getfixturevalue("azurite").tree("workspaces/dev/models")
            )
            yield models(plane, stored, shared=request.param == "azure-shared")


def test_nothing_is_there_before_it_is_registered(registry):
    assert registry.next_version(CIRCUIT) == 1
    assert list(registry.versions(CIRCUIT)) == []
    assert list(registry.circuits()) == []
    with pytest.raises(ModelError, match="P001/C001 version 1: there is no such version"):
        registry.get(CIRCUIT, 1)


def test_what_was_registered_is_found_again_byte_for_byte(registry):
    record = registry.register(model_record(FILES), FILES, b"{}")
    assert registry.get(CIRCUIT, 1) == record == model_record(FILES)
    assert dict(registry.files(record)) == FILES
    assert registry.proof(record) == b"{}"
    assert registry.folder(record) == "workspaces/dev/models/P001/C001/1"


def test_a_model_without_proof_has_an_empty_one(registry):
    assert registry.proof(registry.register(model_record(FILES), FILES)) == b""


def test_versions_are_integers_in_number_order(registry):
    for version in range(1, 11):
        files = model_files(str(version))
        record = model_record(files, version=registry.next_version(CIRCUIT))
        registry.register(record, files)
    assert [record.version for record in registry.versions(CIRCUIT)] == list(range(1, 11))
    assert registry.next_version(CIRCUIT) == 11


@pytest.mark.parametrize("version", ["1.0.0", "v1", 0, -1, True, 1.0])
def test_no_other_form_of_version_is_registered(registry, version):
    with pytest.raises(MlopsError, match="is not a model version: an integer from 1"):
        registry.register(model_record(FILES, version=version), FILES)


def test_the_same_model_again_returns_the_first_record(registry):
    first = registry.register(model_record(FILES), FILES)
    later = replace(first, tags={**first.tags, "trained_at": "2030-01-01T00:00:00+00:00"})
    assert registry.register(later, FILES) == first
    assert registry.next_version(CIRCUIT) == 2


def test_another_model_under_the_same_version_is_refused(registry):
    registry.register(model_record(FILES), FILES)
    other = model_files("another model")
    with pytest.raises(StaleError, match="register the next version"):
        registry.register(model_record(other), other)
    with pytest.raises(StaleError, match="register the next version"):
        registry.register(model_record(FILES, data_digest="f" * 64), FILES)
    assert dict(registry.files(registry.get(CIRCUIT, 1))) == FILES


def test_a_record_must_be_about_the_files_that_come_with_it(registry):
    with pytest.raises(ModelError, match="its record says digest"):
        registry.register(model_record(model_files("another")), FILES)


def test_a_model_has_exactly_its_files(registry):
    for files in ({**FILES, "extra.pkl": b""}, {"model.json": b"{}"}, {}):
        with pytest.raises(ModelError, match=r"a model is exactly model\.json"):
            registry.register(model_record(files), files)


def test_files_are_those_of_the_digest_that_is_asked_for(registry):
    record = registry.register(model_record(FILES), FILES)
    with pytest.raises(ModelError, match="its files are not those"):
        registry.files(replace(record, digest="0" * 64))


def test_circuits_are_kept_apart_and_listed_in_order(registry):
    keys = [CircuitKey("P002", "C001"), CircuitKey("P001", "C002"), CIRCUIT]
    for key in keys:
        registry.register(model_record(FILES, circuit=key), FILES)
    assert list(registry.circuits()) == sorted(keys)
    assert [registry.next_version(key) for key in keys] == [2, 2, 2]


def test_a_copy_keeps_version_record_and_bytes(registry, tmp_path):
    files = model_files("the seventh")
    record = registry.register(model_record(files, version=7), files)
    shared = LocalModelRegistry(tmp_path / "registry" / "models", tmp_path)

    copied = shared.register(record, registry.files(record))

    assert copied == record == shared.get(CIRCUIT, 7)
    assert dict(shared.files(copied)) == files


@given(versions=st.sets(st.integers(1, 10_000), min_size=1, max_size=5))
def test_the_next_version_is_higher_than_all_and_order_is_by_number(tmp_path_factory, versions):
    registry = local(tmp_path_factory.mktemp("home"))
    for version in versions:
        registry.register(model_record(FILES, version=version), FILES)
    assert [record.version for record in registry.versions(CIRCUIT)] == sorted(versions)
    assert registry.next_version(CIRCUIT) == max(versions) + 1
