"""An update that never ends, a neighbour that cannot be made, a lease that ended: one line each."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest

from mlops_assets.adapters.azure import deployment as endpoints_of_plants
from mlops_assets.adapters.azure import lease as leases
from mlops_assets.adapters.azure.endpoint import PATIENCE_SECONDS
from mlops_assets.domain.errors import EngineError, StaleError
from mlops_assets_tests.adapters.azure.test_deployment import C1, C2, OTHER, OnAzure
from mlops_assets_tests.adapters.azure.test_rollback import roll
from mlops_assets_tests.fakes.azure_ml import azure_ml
from mlops_assets_tests.fakes.deployment import a_release, retired

pytestmark = pytest.mark.azure

PATIENCE = 0.5


@pytest.fixture
def plane():
    with azure_ml() as made:
        yield made
        # What was left waiting hears of its end, and its thread with it.
        for operation in made.operations._all.values():
            operation.ready = made.clock.now() - timedelta(seconds=1)
        made.operations.settle()


@contextmanager
def impatience(azure):
    """Wait for updates for half a second, where one of them never ends."""
    azure.endpoints.azure._patience = PATIENCE
    try:
        yield
    finally:
        azure.endpoints.azure._patience = PATIENCE_SECONDS


def finished(azure, *circuits, version):
    manifest = azure.wanted(*circuits, version=version)
    azure.deploy(manifest)
    azure.home.say_deployed(manifest)
    return manifest.release


def lose(azure, circuit):
    """Take away whatever a circuit has on its endpoint."""
    found = azure.plane.endpoints.deployments
    for at in [each for each in found if f"-{circuit.circuit_id.lower()}-" in each[1]]:
        del found[at]
    azure.endpoints._looked.clear()


def test_an_update_that_never_ends_is_one_line_and_changes_nothing(plane):
    azure = OnAzure(plane, (C1, C2, OTHER))
    first = azure.release(C1, OTHER, version=1)
    manifest = azure.wanted(C1, OTHER, version=2)
    plane.faults.hang_update("/deployments/circuit-c1-")
    with impatience(azure), pytest.raises(EngineError) as caught:
        azure.deploy(manifest)
    said = str(caught.value)
    assert "\n" not in said
    assert "P1/C1 is not ready: endpoint mlops-prod/plant-p1-prod-" in said
    assert (
        "is being changed for more than 0.00833333 minutes; look at it in Azure ML studio" in said
    )
    assert azure.served(C1, OTHER) == {(first, "1")}


def test_what_is_stuck_is_waited_for_again_and_said_again(plane):
    azure = OnAzure(plane, (C1, C2, OTHER))
    azure.release(C1, version=1)
    manifest = azure.wanted(C1, version=2)
    plane.faults.hang_update("/deployments/")
    for _ in range(2):
        with impatience(azure), pytest.raises(EngineError, match="is being changed for more than"):
            azure.deploy(manifest)
    assert azure.updates().count("circuit-c1-30ccac93-b") == 1


@pytest.mark.parametrize("neighbour", ["fails", "hangs", "hung before"])
def test_a_neighbour_that_cannot_be_made_again_holds_up_no_rollback(
    plane, neighbour, monkeypatch, caplog
):
    monkeypatch.setattr(endpoints_of_plants, "LOST_PATIENCE_SECONDS", PATIENCE)
    azure = OnAzure(plane, (C1, C2, OTHER))
    first = finished(azure, C1, C2, version=1)
    finished(azure, C1, C2, version=2)
    lose(azure, C2)
    pattern = "/deployments/circuit-c2-"
    if neighbour == "fails":
        plane.faults.fail("PUT", pattern, status=400, times=1000)
    else:
        plane.faults.hang_update(pattern)
    if neighbour == "hung before":
        with impatience(azure), pytest.raises(EngineError):
            azure.deploy(azure.wanted(C2, version=3))
    report, _ = roll(azure, C1)
    assert (report.to, report.refused) == ({C1: first}, {})
    assert azure.served(C1) == {(first, "1")}
    if neighbour != "hung before":
        assert "P1/C2 is not ready: " in caplog.text
        assert "it is live, and nothing serves it" in caplog.text


def test_a_circuit_that_is_asked_for_and_cannot_be_made_is_refused(plane):
    azure = OnAzure(plane, (C1, C2, OTHER))
    finished(azure, C1, C2, version=1)
    second = finished(azure, C1, C2, version=2)
    lose(azure, C2)
    plane.faults.fail("PUT", "/deployments/circuit-c2-", status=400, times=1000)
    report, _ = roll(azure, C2)
    assert report.circuits == ()
    assert report.refused[C2].startswith("P1/C2 is not ready: updating endpoint")
    assert azure.home.live(C2) == second


class EndedLease:
    """A lease of this thread that another process may hold by now, once ``ended``."""

    def __init__(self):
        self.ended = False

    def check(self):
        if self.ended:
            raise StaleError("prod/endpoints/P1/.lock: was held for 30 s without a renewal")

    def renew(self):
        """Nothing renews it."""

    def release(self):
        """Nothing is given back."""


def test_an_update_whose_turn_comes_after_the_lease_has_ended_is_not_sent(plane):
    azure = OnAzure(plane, (C1, C2, OTHER))
    first = azure.release(C1, version=1)
    manifest, lease = azure.wanted(C1, version=2), EndedLease()
    through = azure.endpoints.azure.open

    def stopped_for_a_minute(*args):
        found = through(*args)
        lease.ended = True
        return found

    azure.endpoints.azure.open = stopped_for_a_minute
    before = azure.updates()
    with leases.held(lease), pytest.raises(EngineError, match="30 s without a renewal"):
        azure.deploy(manifest)
    assert azure.updates() == before
    assert azure.served(C1) == {(first, "1")}


def test_tags_that_azure_never_lets_go_are_told_twice_and_left(plane, caplog):
    azure = OnAzure(plane, (C1, C2, OTHER))
    first = azure.release(C1, C2, version=1)
    plane.endpoints.keeps_tags = True
    before = len(plane.calls)
    azure.deploy(a_release(retired(C2, first)))
    told = [
        call
        for call in plane.calls[before:]
        if call.request.method == "PUT" and "/deployments/" not in call.request.path
    ]
    assert len(told) == 2
    assert "was tagged with what is live 2 times and shows something else" in caplog.text
    (problem,) = azure.endpoints.differences()
    assert problem.endswith("is tagged with something else besides")


def test_another_plant_is_not_waited_for(plane):
    azure = OnAzure(plane, (C1, C2, OTHER))
    finished(azure, C1, OTHER, version=1)
    plane.faults.hang_update("/deployments/")
    with impatience(azure), pytest.raises(EngineError):
        azure.deploy(azure.wanted(C1, version=2))
    plane.faults.clear()
    second = finished(azure, OTHER, version=2)
    assert azure.served(OTHER) == {(second, "2")}
