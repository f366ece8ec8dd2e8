"""How long a rollback takes on a service whose updates take half a minute to two minutes.

Time is the control plane's: it passes only while everybody waits, and what runs at the same time
waits at the same time.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops_assets.adapters.azure.serving import told
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.quota import Quota
from mlops_assets.flows.rollback import rollback
from mlops_assets.ports import ServingWorkspace
from mlops_assets_tests.adapters.azure.test_deployment import OnAzure
from mlops_assets_tests.control_plane import Latency
from mlops_assets_tests.fakes.azure_ml import a_backend, azure_ml
from mlops_assets_tests.fakes.forecast import FakePredictionFiles
from mlops_assets_tests.fakes.serving import NOW

pytestmark = pytest.mark.azure

ONE_CIRCUIT_SECONDS, ALL_SECONDS = 5 * 60, 15 * 60
C1 = CircuitKey("P01", "C01")
FLEET = [CircuitKey(f"P{p:02}", f"C{c:02}") for p in range(1, 21) for c in range(1, 11)]


@pytest.fixture
def plane():
    with azure_ml() as made:
        yield made


def roll(azure, *circuits):
    """Roll back on a service as slow as Azure's; returns the report and the seconds it took."""
    home = azure.home
    platform = SimpleNamespace(ledger=home.ledger, prod=home.prod, registry=home.registry)
    azure.plane.latency = Latency.of_the_service()
    began = azure.plane.clock.elapsed
    try:
        report = rollback(platform, circuits, operator="ann@co.example", reason="off", now=NOW)
    finally:
        azure.plane.latency = Latency()
    return report, azure.plane.clock.elapsed - began


def released(plane, circuits):
    azure = OnAzure(plane, circuits)
    releases = []
    for version in (1, 2):
        manifest = azure.wanted(*circuits, version=version)
        releases.append(azure.deploy(manifest))
        azure.home.say_deployed(manifest)
    return azure, releases


def forget_idle(azure, circuits):
    """Take away what a rollback would find ready: it must be made anew, which takes longest."""
    for circuit in circuits:
        live = azure.stored.live(circuit.plant_id).of(circuit)
        endpoint, name = azure.endpoints.served_by(live)
        idle = name[:-1] + ("a" if name.endswith("b") else "b")
        del azure.plane.endpoints.deployments[endpoint, idle]
    azure.endpoints._looked.clear()


def seeded(plane, circuits):
    """Two releases, of which Azure holds the live one alone, put there without its calls."""
    azure = OnAzure(plane, circuits)
    through, azure.home.prod = (
        azure.home.prod,
        ServingWorkspace(endpoints=azure.stored, predictions=FakePredictionFiles()),
    )
    releases = []
    for version in (1, 2):
        manifest = azure.wanted(*circuits, version=version)
        releases.append(azure.deploy(manifest))
        azure.home.say_deployed(manifest)
    azure.home.prod = through
    for plant in azure.stored.plants():
        endpoint, live = azure.endpoints._endpoint(plant), azure.stored.live(plant)
        azure.endpoints.azure.tag(endpoint, told(live))
        for each in live.live.values():
            serving = azure.endpoints._serving
            wish = serving.wish(serving.names(each.circuit)[1], each, None, NOW)
            plane.endpoints.deployments[endpoint, wish.name] = {
                "id": plane.arm_id(
                    "mlops-prod", f"/batchEndpoints/{endpoint}/deployments/{wish.name}"
                ),
                "name": wish.name,
                "location": "westeurope",
                "tags": dict(wish.tags),
                "properties": {
                    "model": {"assetId": wish.model, "referenceType": "Id"},
                    "environmentId": wish.environment,
                    "codeConfiguration": {"codeId": azure.endpoints.azure._code()},
                    "environmentVariables": dict(wish.variables),
                    "outputAction": "SummaryOnly",
                    "provisioningState": "Succeeded",
                },
            }
    return azure, releases


def test_a_rollback_finds_its_deployment_ready_and_updates_none(plane):
    azure, (first, _) = released(plane, [C1])
    updates = len(azure.updates())
    report, seconds = roll(azure, C1)
    assert report.to == {C1: first}
    assert azure.served(C1) == {(first, "1")}
    assert len(azure.updates()) == updates
    assert seconds <= ONE_CIRCUIT_SECONDS / 2


def test_one_circuit_is_back_within_five_minutes_even_if_nothing_was_ready(plane):
    azure, (first, _) = released(plane, [C1])
    forget_idle(azure, [C1])
    report, seconds = roll(azure, C1)
    assert report.to == {C1: first}
    assert azure.served(C1) == {(first, "1")}
    assert seconds <= ONE_CIRCUIT_SECONDS


def test_two_hundred_circuits_on_twenty_endpoints_are_back_within_fifteen_minutes():
    raised = a_backend(quota=Quota(deployments=600))
    with azure_ml(raised) as plane:
        azure, (first, second) = seeded(plane, FLEET)
        assert azure.served(*FLEET) == {(second, "2")}
        assert azure.endpoints.differences() == []
        updates = len(azure.updates())
        report, seconds = roll(azure, *FLEET)
        assert len(report.circuits) == len(FLEET)
        assert azure.served(*FLEET) == {(first, "1")}
        assert len(azure.updates()) == updates + len(FLEET)
        assert seconds <= ALL_SECONDS


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_rollback_whose_update_fails_leaves_that_plant_and_moves_the_others(plane, number):
    circuits = [CircuitKey("P1", f"C{each}") for each in range(1, 4)] + [C1]
    azure, (first, second) = released(plane, circuits)
    forget_idle(azure, circuits)
    plane.faults.fail_update("/batchEndpoints/plant-p1-.*/deployments/", number)
    report, _ = roll(azure, *circuits)
    assert report.circuits == (C1,)
    assert azure.served(C1) == {(first, "1")}
    assert azure.served(*circuits[:3]) == {(second, "2")}
    assert all("run the same command again" in said for said in report.refused.values())
    report, _ = roll(azure, *circuits[:3])
    assert azure.served(*circuits) == {(first, "1")}
