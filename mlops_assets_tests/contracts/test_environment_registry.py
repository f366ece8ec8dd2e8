"""What every environment registry must do: the fake, the local one, Azure's dev and shared one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.adapters.local.environment import LocalEnvironmentRegistry
from mlops_assets.adapters.tree.environment import TreeEnvironmentRegistry
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import EnvironmentRef
from mlops_assets_tests.fakes.environment import FakeEnvironmentRegistry, environment

AZURE = [pytest.param(place, marks=pytest.mark.azure) for place in ("azure", "azure-shared")]


@pytest.fixture(params=["fake", "local", *AZURE])
def registry(request, tmp_path):
    if request.param == "fake":
        yield FakeEnvironmentRegistry()
    elif request.param == "local":
        yield LocalEnvironmentRegistry(tmp_path / "environments")
    else:
        from mlops_assets_tests.fakes.azure_ml import azure_ml, environments

        stored = TreeEnvironmentRegistry(request.getfixturevalue("azurite").tree())
        with azure_ml() as plane:
            yield environments(plane, stored, tmp_path, shared=request.param == "azure-shared")


def test_nothing_is_there_before_it_is_registered(registry):
    assert registry.get(EnvironmentRef.parse("forecasting:1.0.0")) is None
    assert list(registry.list()) == []


def test_what_was_registered_is_found_again(registry):
    wanted = environment()
    assert registry.register(wanted) == wanted
    assert registry.get(wanted.ref) == wanted


def test_the_same_digest_again_changes_nothing(registry):
    first = registry.register(environment())
    assert registry.register(replace(first, summary="said otherwise")) == first


def test_other_content_under_a_version_is_refused_in_one_line(registry):
    first = registry.register(environment())
    with pytest.raises(RefusedError) as caught:
        registry.register(environment(numpy="2.1.0"))
    assert caught.value.code == "E_ENVIRONMENT_CHANGED"
    assert str(caught.value) == (
        "environment forecasting:1.0.0: is registered with other content; give the new content a "
        "new version in config/environments"
    )
    assert registry.get(first.ref) == first


def test_versions_are_listed_in_number_order(registry):
    refs = ["forecasting:1.10.0", "forecasting:1.9.0", "baseline:2.0.0"]
    for ref in refs:
        registry.register(environment(ref))
    assert [str(each.ref) for each in registry.list()] == [
        "baseline:2.0.0",
        "forecasting:1.9.0",
        "forecasting:1.10.0",
    ]
