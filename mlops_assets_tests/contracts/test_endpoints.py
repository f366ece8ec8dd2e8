"""What every adapter of the Endpoints port must do."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from mlops_assets.adapters.local.deployment import LocalEndpoints
from mlops_assets.adapters.tree.deployment import TreeEndpoints
from mlops_assets.domain.deployment import LiveManifest, deployment_of
from mlops_assets.domain.errors import StaleError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.fakes.deployment import FakeEndpoints, a_serving, an_entry

CIRCUIT = CircuitKey("P1", "C1")


AZURE = [pytest.param(place, marks=pytest.mark.azure) for place in ("azure", "azure-plant")]


@pytest.fixture(params=["fake", "local", *AZURE])
def endpoints(request, tmp_path):
    if request.param.startswith("azure"):
        from mlops_assets_tests.fakes.azure_ml import a_backend, azure_ml, stock
        from mlops_assets_tests.fakes.azure_ml import endpoints as azure_endpoints

        serves = "plant" if request.param == "azure-plant" else "circuit"
        with azure_ml(a_backend(serves=serves)) as plane:
            circuits = [CircuitKey("P1", f"C{number}") for number in range(1, 9)]
            stock(plane, [*circuits, CircuitKey("P2", "C1"), CircuitKey("P10", "C1")])
            stored = TreeEndpoints(request.getfixturevalue("azurite").tree())
            yield azure_endpoints(plane, stored)
    else:
        local = LocalEndpoints(tmp_path / "workspaces" / "prod" / "endpoints")
        yield FakeEndpoints() if request.param == "fake" else local


def a_deployment(circuit=CIRCUIT, *, version=1, release="r-" + "1" * 12):
    serving = a_serving(minimum="0.0", features=("temperature",))
    entry = an_entry(circuit, version=version, serving=serving)
    return deployment_of(entry, release=release, release_digest="9" * 64)


def ready(endpoints, *deployments):
    for deployment in deployments:
        endpoints.record(deployment)
    with ExitStack() as held:
        for plant in sorted({each.circuit.plant_id for each in deployments}):
            held.enter_context(endpoints.lock(plant))
        assert endpoints.prepare(deployments) == {}


def change(endpoints, deployment):
    live = endpoints.live(deployment.circuit.plant_id)
    ready(endpoints, deployment)
    endpoints.swap(live, live.with_changes({deployment.circuit: deployment}))


def test_a_plant_without_deployments_is_empty_at_generation_0(endpoints):
    assert endpoints.live("P1") == LiveManifest(plant_id="P1", generation=0, live={})
    assert list(endpoints.plants()) == []


def test_what_was_swapped_in_is_live(endpoints):
    deployment = a_deployment()
    change(endpoints, deployment)
    assert endpoints.live("P1").of(CIRCUIT) == deployment
    assert endpoints.live("P1").generation == 1


def test_plants_are_sorted(endpoints):
    for plant in ("P2", "P10", "P1"):
        change(endpoints, a_deployment(CircuitKey(plant, "C1")))
    assert list(endpoints.plants()) == ["P1", "P10", "P2"]


def test_what_is_made_ready_is_not_live_and_again_is_ready_still(endpoints):
    first, other = a_deployment(), a_deployment(CircuitKey("P2", "C1"))
    change(endpoints, first)
    second = a_deployment(version=2, release="r-" + "2" * 12)
    for _ in range(2):
        ready(endpoints, second, other)
    assert endpoints.live("P1").of(CIRCUIT) == first
    assert endpoints.live("P2").generation == 0
    endpoints.announce(["P1", "P2"])
    change(endpoints, second)
    assert endpoints.live("P1").of(CIRCUIT) == second


def test_a_swap_from_an_older_state_is_stale(endpoints):
    seen = endpoints.live("P1")
    change(endpoints, a_deployment())
    with pytest.raises(StaleError):
        endpoints.swap(seen, seen.with_changes({CIRCUIT: a_deployment(version=2)}))
    assert endpoints.live("P1").of(CIRCUIT).model_version == 1


def test_a_swap_from_the_same_generation_with_other_content_is_stale(endpoints):
    change(endpoints, a_deployment())
    seen = LiveManifest(plant_id="P1", generation=1, live={"C1": a_deployment(version=5)})
    with pytest.raises(StaleError):
        endpoints.swap(seen, seen.with_changes({}))


def test_generations_follow_each_other(endpoints):
    live = endpoints.live("P1")
    with pytest.raises(StaleError):
        endpoints.swap(live, replace(live.with_changes({}), generation=7))


def test_a_deployment_is_recorded_once(endpoints):
    deployment = a_deployment()
    assert endpoints.recorded(CIRCUIT, deployment.release) is None
    endpoints.record(deployment)
    endpoints.record(deployment)
    assert endpoints.recorded(CIRCUIT, deployment.release) == deployment
    with pytest.raises(StaleError):
        endpoints.record(replace(deployment, model_version=2))


def test_the_lock_may_be_held_over_a_swap(endpoints):
    with endpoints.lock("P1"), endpoints.lock("P1"):
        change(endpoints, a_deployment())
    assert endpoints.live("P1").generation == 1


def test_of_many_writers_that_saw_the_same_state_exactly_one_wins(endpoints):
    seen, outcomes = endpoints.live("P1"), []
    changes = [a_deployment(CircuitKey("P1", f"C{number}")) for number in range(1, 9)]
    ready(endpoints, *changes)

    def write(change):
        wanted = seen.with_changes({change.circuit: change})
        try:
            endpoints.swap(seen, wanted)
        except StaleError:
            outcomes.append(None)
        else:
            outcomes.append(change)

    threads = [threading.Thread(target=write, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [outcome for outcome in outcomes if outcome is not None]
    assert list(endpoints.live("P1").live.values()) == [winner]
