"""What is live is served at every call that Azure answers; cut off at any, a rerun ends alike."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.domain.errors import EngineError, MlopsError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.adapters.azure.test_deployment import OnAzure
from mlops_assets_tests.control_plane.wire import LostError
from mlops_assets_tests.fakes.azure_ml import azure_ml, endpoints
from mlops_assets_tests.fakes.deployment import a_release, retired
from mlops_assets_tests.fakes.serving import NOW

pytestmark = pytest.mark.azure

CIRCUITS = [CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")]


class Watched(OnAzure):
    """A production that is looked at from outside with every call that arrives at Azure."""

    def __init__(self, plane, circuits=CIRCUITS):
        super().__init__(plane, circuits)
        self.calls, self.dies_at = 0, None
        self._lock, handle = threading.Lock(), plane.handle

        def watched(request):
            with self._lock:
                self.calls += 1
                with plane.lock:
                    self.look()
                gone = self.dies_at is not None and self.calls > self.dies_at
            if gone:
                raise LostError(sent=False)
            return handle(request)

        plane.handle = watched

    def look(self):
        """Whatever is live is served now, by the model that was signed, and each plant is whole."""
        for plant in self.stored.plants():
            live = self.stored.live(plant)
            for each in live.live.values():
                assert self.serving(each), f"{each.circuit}: {each.release} is live and not served"

    def serving(self, deployment):
        """The deployments of Azure that serve one of ours and could be invoked now."""
        endpoint = self.endpoints._endpoint(deployment.circuit.plant_id)
        return [
            name
            for (of, name), found in self.plane.endpoints.deployments.items()
            if of == endpoint
            and found["tags"].get("release_id") == deployment.release
            and found["tags"].get("circuit") == deployment.circuit.circuit_id
            and found["properties"]["provisioningState"] == "Succeeded"
            and found["properties"]["model"]["assetId"].endswith(f"/{deployment.model_version}")
        ]

    def reopened(self):
        """The same place, seen by the process that comes after."""
        self.dies_at = None
        self.endpoints = endpoints(self.plane, self.stored)
        self.home.prod = type(self.home.prod)(
            endpoints=self.endpoints, predictions=self.home.prod.predictions
        )

    def roll(self, *circuits):
        home = self.home
        platform = SimpleNamespace(ledger=home.ledger, prod=home.prod, registry=home.registry)
        return rollback(platform, circuits, operator="ann@co.example", reason="off", now=NOW)

    def finished(self, manifest):
        self.deploy(manifest)
        self.home.say_deployed(manifest)
        return manifest.release


def test_a_release_that_is_cut_off_at_any_call_is_finished_by_the_next_run():
    calls = None
    at = 0
    while calls is None or at < calls:
        with azure_ml() as plane:
            azure = Watched(plane)
            first = azure.finished(azure.wanted(*CIRCUITS, version=1))
            manifest = azure.wanted(*CIRCUITS, version=2)
            if calls is None:
                before = azure.calls
                azure.finished(manifest)
                calls = azure.calls - before
                continue
            azure.dies_at = azure.calls + at
            with suppress(EngineError):
                azure.deploy(manifest)
            releases = {azure.home.live(circuit) for circuit in CIRCUITS[:2]}
            assert releases in ({first}, {manifest.release})
            azure.reopened()
            azure.finished(manifest)
            assert azure.served(*CIRCUITS) == {(manifest.release, "2")}
            assert azure.endpoints.differences() == []
            assert len(azure.names("P1")) == 4
            # A prime, so that the calls that are met are of every kind.
            at += 11


@settings(max_examples=8)
@given(st.data())
def test_whatever_is_released_rolled_back_or_fails_what_is_live_is_served(data):
    with azure_ml() as plane:
        azure = Watched(plane)
        version = 0
        for _ in range(data.draw(st.integers(1, 5))):
            chosen = data.draw(st.lists(st.sampled_from(CIRCUITS), min_size=1, unique=True))
            if data.draw(st.booleans()):
                number = data.draw(st.integers(1, len(chosen)))
                plane.faults.fail_update("/deployments/", number)
            if data.draw(st.booleans()):
                plane.faults.lose_answer("PUT", "batchEndpoints", skip=data.draw(st.integers(0, 3)))
            act = data.draw(st.sampled_from(["release", "release", "rollback", "retire"]))
            live = [circuit for circuit in chosen if azure.home.live(circuit)]
            if act == "release" and version < 5:
                version += 1
                manifest = azure.wanted(*chosen, version=version)
                before = {circuit: azure.home.live(circuit) for circuit in CIRCUITS}
                try:
                    azure.finished(manifest)
                except MlopsError:
                    assert before == {circuit: azure.home.live(circuit) for circuit in CIRCUITS}
                    plane.faults.clear()
                    azure.finished(manifest)
                assert {azure.home.live(circuit) for circuit in chosen} == {manifest.release}
            elif act == "rollback" and live:
                report = azure.roll(*live)
                for circuit in report.circuits:
                    assert azure.home.live(circuit) == report.to[circuit]
            elif act == "retire" and live:
                entries = [retired(circuit, azure.home.live(circuit)) for circuit in live]
                azure.finished(a_release(*entries))
            plane.faults.clear()
            azure.look()
        azure.endpoints.announce(azure.stored.plants())
        assert azure.endpoints.differences() == []
