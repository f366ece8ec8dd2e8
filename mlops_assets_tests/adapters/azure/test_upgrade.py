"""What a new version of the platform finds: deployments that run the code of the one before."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops_assets.adapters.azure.code import ARCHIVE, CodeAsset, code_digest
from mlops_assets.cli.doctor import examine
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.flows.renewal import renew
from mlops_assets.ports import ServingWorkspace
from mlops_assets_tests.adapters.azure.test_deployment import C1, C2, OTHER, OnAzure
from mlops_assets_tests.adapters.azure.test_rollback import roll
from mlops_assets_tests.fakes.azure_ml import a_backend, azure_ml, clients_of, endpoints
from mlops_assets_tests.fakes.forecast import FakePredictionFiles
from mlops_assets_tests.fakes.serving import NOW

pytestmark = pytest.mark.azure

NEWER = "fedcba9876543210"


def upgraded(azure):
    """The same production, seen by the next version of the platform."""
    azure.endpoints = endpoints(azure.plane, azure.stored, code=NEWER)
    azure.home.prod = ServingWorkspace(endpoints=azure.endpoints, predictions=FakePredictionFiles())
    return azure


def finished(azure, *circuits, version):
    manifest = azure.wanted(*circuits, version=version)
    azure.deploy(manifest)
    azure.home.say_deployed(manifest)
    return manifest.release


def runs(azure, circuit):
    """The code that serves a circuit."""
    at = azure.endpoints.served_by(azure.stored.live(circuit.plant_id).of(circuit))
    deployment = azure.plane.endpoints.deployments[at]
    code = deployment["properties"]["codeConfiguration"]["codeId"]
    assert deployment["tags"]["code_digest"] in code
    return code


@pytest.fixture
def plane():
    with azure_ml() as made:
        yield made


def test_what_is_live_serves_on_and_is_told_until_it_is_renewed(plane):
    azure = OnAzure(plane, (C1, C2, OTHER))
    first = finished(azure, C1, C2, OTHER, version=1)
    assert azure.endpoints.outdated() == []
    upgraded(azure)
    assert azure.served(C1, C2, OTHER) == {(first, "1")}
    assert azure.endpoints.differences() == []
    assert [each.circuit for each in azure.endpoints.outdated()] == [C1, C2, OTHER]
    assert renew(azure.home.prod) == (C1, C2, OTHER)
    assert azure.served(C1, C2, OTHER) == {(first, "1")}
    assert all(NEWER in runs(azure, circuit) for circuit in (C1, C2, OTHER))
    assert azure.endpoints.outdated() == []
    updates = len(azure.updates())
    assert renew(azure.home.prod) == ()
    assert len(azure.updates()) == updates


class ServingAlone:
    """A platform of which nothing but the production endpoints can be reached."""

    def __init__(self, prod):
        self.prod = prod

    def __getattr__(self, name):
        raise MlopsError(f"{name} cannot be reached")


def test_the_doctor_names_what_runs_older_code_and_the_command(plane, tmp_path):
    azure = OnAzure(plane, (C1, C2))
    finished(azure, C1, C2, version=1)
    upgraded(azure)

    def said():
        found = examine(SimpleNamespace(home=tmp_path), ServingAlone(azure.home.prod), now=NOW)
        return next((each.passed, each.reason) for each in found if each.gate == "deployments")

    assert said() == (
        False,
        "P1/C1, P1/C2: served by another version's code; run `mlops renew`",
    )
    renew(azure.home.prod)
    assert said() == (True, "what is live runs this version's code")


def test_renewing_never_touches_the_deployment_that_serves(plane):
    azure = OnAzure(plane, (C1,))
    finished(azure, C1, version=1)
    upgraded(azure)
    renew(azure.home.prod)
    assert azure.updates() == ["circuit-c1-30ccac93-a", "circuit-c1-30ccac93-b"]


def test_a_rollback_to_a_deployment_of_older_code_makes_it_anew(plane):
    azure = OnAzure(plane, (C1,))
    first = finished(azure, C1, version=1)
    upgraded(azure)
    finished(azure, C1, version=2)
    assert NEWER in runs(azure, C1)
    report, _ = roll(azure, C1)
    assert report.to == {C1: first}
    assert azure.served(C1) == {(first, "1")}
    assert NEWER in runs(azure, C1)


def test_a_setting_that_deployments_are_told_is_renewed_too(plane):
    azure = OnAzure(plane, (C1,))
    finished(azure, C1, version=1)
    at = azure.endpoints.served_by(azure.stored.live("P1").of(C1))
    plane.endpoints.deployments[at]["properties"]["environmentVariables"] = {}
    azure.endpoints._looked.clear()
    assert [each.circuit for each in azure.endpoints.outdated()] == [C1]


def test_the_deployment_of_a_whole_plant_is_made_beside_the_one_that_serves():
    with azure_ml(a_backend(serves="plant")) as plane:
        azure = OnAzure(plane, (C1, C2))
        finished(azure, C1, C2, version=1)
        (old,) = azure.names()
        upgraded(azure)
        # Its environment stays, and yet a release brings the code.
        finished(azure, C1, version=2)
        (new,) = azure.names()
        assert new != old
        assert NEWER in runs(azure, C1)
        assert NEWER in runs(azure, C2)
        assert azure.updates() == [old, new]


@pytest.fixture
def code(plane, storage_account):
    """The code asset of the production workspace, and the blobs that it is made of."""
    blobs = storage_account.blobs("prod", "code")
    return CodeAsset(clients_of(plane, "prod"), "prod", blobs), blobs


def test_code_that_lies_there_already_is_compared_before_anything_runs_it(plane, code):
    asset, blobs = code
    blobs.put(f"{code_digest()}/{ARCHIVE}", b"PK of somebody else")
    with pytest.raises(RefusedError) as caught:
        asset.id()
    assert caught.value.code == "E_CODE"
    assert f"prod/code/{code_digest()}/{ARCHIVE}: is not the code of this version" in str(
        caught.value
    )
    assert not any("codes" in call.request.path for call in plane.calls)


def test_a_file_beside_the_code_would_be_imported_and_is_refused(code):
    asset, blobs = code
    blobs.put(f"{code_digest()}/numpy.py", b"raise SystemExit")
    with pytest.raises(RefusedError, match=r"numpy\.py: is no part of the code, and jobs would"):
        asset.id()


def test_the_same_code_is_taken_as_it_lies_there(plane, code):
    asset, blobs = code
    first = asset.id()
    assert CodeAsset(clients_of(plane, "prod"), "prod", blobs).id() == first
    assert code_digest() in first
