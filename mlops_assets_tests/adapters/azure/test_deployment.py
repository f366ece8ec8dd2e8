"""Endpoints on Azure under failure: a plant serves all-old or all-new, whatever an update does."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.azure import place
from mlops_assets.domain.arithmetic import NODE
from mlops_assets.domain.errors import EngineError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quota import Quota
from mlops_assets.flows.deployment import deploy, prepared, put_live
from mlops_assets.ports import ServingWorkspace
from mlops_assets_tests.fakes.azure_ml import a_backend, azure_ml, endpoints, stock
from mlops_assets_tests.fakes.deployment import FakeEndpoints, a_release, an_entry, retired
from mlops_assets_tests.fakes.forecast import FakePredictionFiles
from mlops_assets_tests.fakes.serving import NOW, Production

pytestmark = pytest.mark.azure

DEPLOYMENTS = "/deployments/"
PLANT = [CircuitKey("P1", f"C{number}") for number in range(1, 5)]
C1, C2, *_ = PLANT
OTHER = CircuitKey("P2", "C1")


class OnAzure:
    """A production whose endpoints are Azure's."""

    def __init__(self, plane, circuits=(*PLANT, OTHER), workspace="prod"):
        self.plane, self.stored = plane, FakeEndpoints()
        stock(plane, circuits)
        self.endpoints = endpoints(plane, self.stored, workspace)
        serving = ServingWorkspace(endpoints=self.endpoints, predictions=FakePredictionFiles())
        self.home = Production(prod=serving)

    def wanted(self, *circuits, version):
        return a_release(
            *(
                an_entry(
                    circuit,
                    version=version,
                    digest=self.home.shelf.add(circuit, version),
                    replaces=self.home.live(circuit),
                )
                for circuit in circuits
            )
        )

    def deploy(self, manifest):
        deploy(self.home.prod, self.home.registry, manifest, now=NOW)
        return manifest.release

    def release(self, *circuits, version):
        return self.deploy(self.wanted(*circuits, version=version))

    def served(self, *circuits):
        """What a batch would invoke: the release and model of each circuit, asked of Azure."""
        found = set()
        for circuit in circuits:
            live = self.stored.live(circuit.plant_id).of(circuit)
            endpoint, name = self.endpoints.served_by(live)
            tags = self.plane.endpoints.deployments[endpoint, name]["tags"]
            assert tags["release_id"] == live.release
            found.add((tags["release_id"], tags["model_version"]))
        return found

    def updates(self):
        """Every update of a deployment that arrived, by its name."""
        return [
            call.request.path.rsplit("/", 1)[-1]
            for call in self.plane.calls
            if call.request.method == "PUT" and DEPLOYMENTS in call.request.path
        ]

    def names(self, plant="P1"):
        """What is on a plant's endpoint now."""
        endpoint = self.endpoints._endpoint(plant)
        return sorted(name for of, name in self.plane.endpoints.deployments if of == endpoint)


@pytest.fixture
def plane():
    with azure_ml() as made:
        yield made


@pytest.fixture
def azure(plane):
    return OnAzure(plane)


def test_the_idle_deployment_is_filled_and_the_live_one_left_alone(azure):
    first = azure.release(C1, version=1)
    assert azure.updates() == ["circuit-c1-30ccac93-a"]
    second = azure.release(C1, version=2)
    assert azure.updates()[1:] == ["circuit-c1-30ccac93-b"]
    third = azure.release(C1, version=3)
    assert azure.updates()[2:] == ["circuit-c1-30ccac93-a"]
    assert azure.served(C1) == {(third, "3")}
    assert len({first, second, third}) == 3


def test_a_deployment_is_tagged_with_what_it_is_and_what_it_replaced(azure):
    first = azure.release(C1, version=1)
    second = azure.release(C1, version=2)
    _, name = azure.endpoints.served_by(azure.stored.live("P1").of(C1))
    deployment = azure.plane.endpoints.deployments[azure.endpoints._endpoint("P1"), name]
    assert deployment["properties"]["model"]["assetId"] == (
        "azureml://registries/mlops-registry/models/sensor_model_P1_C1/versions/2"
    )
    assert deployment["properties"]["errorThreshold"] == 0
    tags = dict(deployment["tags"])
    assert len(tags.pop("deployment_digest")) == 64
    assert tags == {
        "plant": "P1",
        "circuit": "C1",
        "release_id": second,
        "model_version": "2",
        "model_digest": azure.home.shelf.get(C1, 2).digest,
        "environment_version": "forecasting:1.0.0",
        "environment_digest": "e" * 64,
        "data_version": "2024-06-14",
        "code_digest": "0123456789abcdef",
        "previous_release": first,
        "previous_model_version": "1",
        "previous_environment_version": "forecasting:1.0.0",
        "deployed_at": tags["deployed_at"],
    }


def test_the_endpoint_repeats_what_is_live(azure):
    release = azure.release(C1, C2, version=1)
    tags = dict(azure.plane.endpoints.endpoints[azure.endpoints._endpoint("P1")]["tags"])
    assert len(tags.pop("live_manifest")) == 64
    assert tags == {
        "plant": "P1",
        "generation": "1",
        "live_C1": f"{release} model 1",
        "live_C2": f"{release} model 1",
    }
    assert azure.endpoints.differences() == []


@pytest.mark.parametrize("number", range(1, len(PLANT) + 1))
def test_an_update_that_fails_leaves_every_circuit_of_the_plant_as_it_was(azure, number):
    first = azure.release(*PLANT, OTHER, version=1)
    azure.plane.faults.fail_update("/batchEndpoints/plant-p1-.*" + DEPLOYMENTS, number)
    manifest = azure.wanted(*PLANT, OTHER, version=2)
    with pytest.raises(EngineError, match=r"^P1: P1/C\d is not ready: updating .*failed"):
        azure.deploy(manifest)
    assert azure.served(*PLANT, OTHER) == {(first, "1")}
    before = len(azure.updates())
    azure.deploy(manifest)
    assert azure.served(*PLANT, OTHER) == {(manifest.release, "2")}
    assert len(azure.updates()) == before + 1


@pytest.mark.parametrize("number", range(1, len(PLANT) + 1))
def test_an_update_whose_answer_was_lost_counts_where_it_was_done(azure, number):
    azure.release(*PLANT, version=1)
    azure.plane.faults.lose_answer("PUT", DEPLOYMENTS, times=1, skip=number - 1)
    release = azure.release(*PLANT, version=2)
    assert azure.served(*PLANT) == {(release, "2")}


@pytest.mark.parametrize("fault", ["throttle", "fail", "lose_request", "fail_after"])
def test_a_service_that_is_busy_or_breaks_now_and_then_is_waited_for(azure, fault):
    getattr(azure.plane.faults, fault)("PUT", DEPLOYMENTS, times=3)
    getattr(azure.plane.faults, fault)("GET", "batchEndpoints", times=3)
    release = azure.release(*PLANT, version=1)
    assert azure.served(*PLANT) == {(release, "1")}


def test_a_service_that_is_away_is_one_line_and_changes_nothing(azure):
    first = azure.release(C1, OTHER, version=1)
    azure.plane.faults.fail("*", "plant-p2-", times=1000)
    manifest = azure.wanted(C1, OTHER, version=2)
    with pytest.raises(EngineError) as caught:
        azure.deploy(manifest)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("P2: asking for endpoint mlops-prod/plant-p2-prod-")
    azure.plane.faults.clear()
    assert azure.served(C1, OTHER) == {(first, "1")}


def test_an_update_that_somebody_else_is_at_is_waited_for(azure):
    azure.plane.latency.update = 60.0
    manifest = azure.wanted(C1, version=1)
    azure.plane.faults.lose_answer("PUT", DEPLOYMENTS, times=1)
    azure.deploy(manifest)
    assert azure.served(C1) == {(manifest.release, "1")}


def test_a_lost_live_deployment_is_put_back_by_the_next_release_of_its_plant(azure):
    first = azure.release(C1, C2, version=1)
    endpoint, name = azure.endpoints.served_by(azure.stored.live("P1").of(C1))
    del azure.plane.endpoints.deployments[endpoint, name]
    azure.endpoints._looked.clear()
    (problem,) = azure.endpoints.differences()
    assert problem.startswith(f"P1/C1: {first} is live, but no deployment on endpoint {endpoint}")
    with pytest.raises(RefusedError, match="P1/C1: nothing on endpoint"):
        azure.served(C1)
    azure.release(C2, version=2)
    assert azure.served(C1) == {(first, "1")}
    assert azure.endpoints.differences() == []


def test_a_deployment_that_was_changed_by_hand_serves_nothing(azure):
    azure.release(C1, version=1)
    endpoint, name = azure.endpoints.served_by(azure.stored.live("P1").of(C1))
    properties = azure.plane.endpoints.deployments[endpoint, name]["properties"]
    properties["model"]["assetId"] = properties["model"]["assetId"].replace("/1", "/2")
    azure.endpoints._looked.clear()
    assert len(azure.endpoints.differences()) == 1
    with pytest.raises(RefusedError, match="nothing on endpoint"):
        azure.served(C1)


def test_tags_that_say_another_generation_are_told_and_said_again(azure, caplog):
    azure.release(C1, version=1)
    azure.plane.faults.fail("PUT", r"/batchEndpoints/[^/]+$", times=1000)
    azure.release(C1, version=2)
    assert "what is live is not shown on Azure yet" in caplog.text
    (problem,) = azure.endpoints.differences()
    assert "generation 2 is live, but endpoint" in problem
    azure.plane.faults.clear()
    azure.endpoints.announce(["P1"])
    assert azure.endpoints.differences() == []


def test_tags_of_others_stay(azure):
    azure.release(C1, version=1)
    tags = azure.plane.endpoints.endpoints[azure.endpoints._endpoint("P1")]["tags"]
    tags["cost_center"] = "42"
    azure.release(C1, version=2)
    tags = azure.plane.endpoints.endpoints[azure.endpoints._endpoint("P1")]["tags"]
    assert (tags["cost_center"], tags["generation"]) == ("42", "2")
    assert azure.endpoints.differences() == []


def test_what_is_ready_goes_live_without_a_question_to_azure(azure):
    """Whoever swaps holds the ledger, and nobody decides meanwhile."""
    manifest = azure.wanted(C1, C2, OTHER, version=1)
    changes = prepared(azure.home.prod, azure.home.registry, manifest)
    before = len(azure.plane.calls)
    put_live(azure.endpoints, changes)
    assert len(azure.plane.calls) == before
    assert azure.served(C1, C2, OTHER) == {(manifest.release, "1")}


def test_nothing_that_is_not_ready_goes_live(azure):
    live = azure.stored.live("P1")
    azure.release(C2, version=1)
    (entry,) = azure.wanted(C1, version=1).entries
    from mlops_assets.domain.deployment import deployment_of

    new = deployment_of(entry, release="r-" + "1" * 12, release_digest="9" * 64)
    azure.endpoints.record(new)
    live = azure.stored.live("P1")
    with pytest.raises(RefusedError) as caught:
        azure.endpoints.swap(live, live.with_changes({C1: new}))
    assert caught.value.code == "E_NOT_PREPARED"
    assert azure.stored.live("P1") == live


def test_what_a_retired_circuit_had_is_removed_and_an_empty_plant_has_no_endpoint(azure):
    first = azure.release(C1, C2, version=1)
    second = azure.release(C1, version=2)
    assert len(azure.names()) == 3
    azure.deploy(a_release(retired(C1, second)))
    assert [name.split("-")[1] for name in azure.names()] == ["c2"]
    azure.deploy(a_release(retired(C2, first)))
    assert azure.plane.endpoints.endpoints == {}
    assert azure.endpoints.differences() == []


def test_a_circuit_in_test_has_one_deployment(plane):
    azure = OnAzure(plane, workspace="test")
    for version in (1, 2):
        azure.release(C1, C2, version=version)
    assert len(azure.names()) == 2
    assert azure.served(C1, C2) == {(azure.home.live(C1), "2")}


def test_what_does_not_fit_is_refused_before_azure_is_asked_anything(plane):
    circuits = [CircuitKey("P1", f"C{number:02}") for number in range(11)]
    azure = OnAzure(plane, circuits)
    with pytest.raises(RefusedError) as caught:
        azure.release(*circuits, version=1)
    assert caught.value.code == "E_QUOTA"
    assert str(caught.value).startswith("prod: P1 has 11 circuits, 10 fit its endpoint: serve each")
    assert plane.calls == []
    azure.release(*circuits[:10], version=1)
    with pytest.raises(RefusedError, match="P1 has 11 circuits"):
        azure.release(circuits[10], version=1)


def test_a_quota_that_was_raised_counts():
    circuits = [CircuitKey("P1", f"C{number:02}") for number in range(3)]
    with azure_ml(a_backend(quota=Quota(per_endpoint=4))) as plane:
        azure = OnAzure(plane, circuits)
        with pytest.raises(RefusedError, match="P1 has 3 circuits, 2 fit"):
            azure.release(*circuits, version=1)


def test_one_deployment_serves_any_number_of_circuits_and_a_release_updates_none():
    circuits = [CircuitKey("P1", f"C{number:02}") for number in range(40)]
    with azure_ml(a_backend(serves="plant")) as plane:
        azure = OnAzure(plane, circuits)
        azure.release(*circuits, version=1)
        azure.release(*circuits[:30], version=2)
        (name,) = azure.names()
        assert azure.updates() == [name]
        assert name.startswith("plant-eeeeeeee-")
        live = azure.stored.live("P1")
        places = {azure.endpoints.served_by(each) for each in live.live.values()}
        assert {on for _, on in places} == {name}
        variables = plane.endpoints.deployments[places.pop()]["properties"]["environmentVariables"]
        assert variables == {
            "MLOPS_SERVES": "plant",
            **place.variables(plane.backend, "prod"),
            **NODE,
        }
        assert azure.endpoints.differences() == []


def test_a_full_plant_goes_over_to_one_deployment_while_it_serves():
    circuits = [CircuitKey("P1", f"C{number:02}") for number in range(10)]
    with azure_ml() as plane:
        azure = OnAzure(plane, circuits)
        for version in (1, 2):
            azure.release(*circuits, version=version)
        assert len(azure.names()) == 20
        azure.endpoints.backend = a_backend(serves="plant")
        assert len(azure.served(*circuits)) == 1
        azure.release(circuits[0], version=3)
        (name,) = azure.names()
        assert name.startswith("plant-eeeeeeee-")
        assert azure.endpoints.differences() == []


def test_room_is_judged_without_asking_azure(azure):
    assert azure.endpoints.room(PLANT).passed
    circuits = [CircuitKey("P1", f"C{number}") for number in range(11)]
    verdict = azure.endpoints.room(circuits)
    assert (verdict.gate, verdict.passed) == ("quota", False)
    assert azure.plane.calls == []
