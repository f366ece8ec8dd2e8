"""Deploying over fakes: all or nothing per plant, only what was signed, and tried in test first."""

from __future__ import annotations

import json

import pytest

from mlops_assets.domain.errors import EngineError, ModelError, StaleError
from mlops_assets.domain.identifiers import CircuitKey, canonical_json
from mlops_assets.domain.validation import TEST_VERDICTS
from mlops_assets.flows.deployment import deploy, live_deployments, rollback_plan
from mlops_assets.flows.validation import validate_in_test
from mlops_assets_tests.fakes.deployment import a_release, a_serving, an_entry, retired
from mlops_assets_tests.fakes.forecast import FORECASTING, model_files
from mlops_assets_tests.fakes.readings import a_config
from mlops_assets_tests.fakes.serving import DAY, MIDNIGHT, NOW, Production

C1, C2, OTHER = CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")


@pytest.fixture
def production():
    return Production()


def entries(production, *circuits, version=1, **settings):
    """One entry a circuit, its model registered."""
    return [
        an_entry(
            circuit,
            version=version,
            digest=production.shelf.add(circuit, version, **settings),
            replaces=production.live(circuit),
        )
        for circuit in circuits
    ]


def put(production, manifest, circuits=None):
    deploy(production.prod, production.registry, manifest, circuits, now=NOW)


def test_a_release_is_live_with_what_it_replaced(production):
    first = production.release(*entries(production, C1, C2))
    second = production.release(*entries(production, C1, version=2))
    live = live_deployments(production.prod)
    assert (live[C1].release, live[C1].replaces, live[C1].model_version) == (second, first, 2)
    assert (live[C2].release, live[C2].replaces) == (first, None)


def test_each_plant_changes_in_one_swap(production):
    put(production, a_release(*entries(production, C1, C2, OTHER)))
    assert production.prod.endpoints.swaps == 2
    assert production.prod.endpoints.live("P1").generation == 1


def test_every_plant_is_made_ready_before_the_first_one_changes(production):
    put(production, a_release(*entries(production, C1, C2, OTHER)))
    assert production.prod.endpoints.calls == [
        ("prepare", "P1/C1", "P1/C2", "P2/C1"),
        ("swap", "P1"),
        ("swap", "P2"),
        ("announce", "P1", "P2"),
    ]


def test_a_plant_that_cannot_be_made_ready_leaves_every_plant_as_it_was(production):
    first = production.release(*entries(production, C1, OTHER))
    production.prod.endpoints.broken = {"P2": "its deployment of C1 failed"}
    manifest = a_release(*entries(production, C1, OTHER, version=2))
    with pytest.raises(EngineError) as caught:
        put(production, manifest)
    assert str(caught.value) == (
        "P2: its deployment of C1 failed; every plant serves what it did: run the same command "
        "again"
    )
    assert (production.live(C1), production.live(OTHER)) == (first, first)
    production.prod.endpoints.broken = {}
    put(production, manifest)
    assert (production.live(C1), production.live(OTHER)) == (manifest.release, manifest.release)


def test_deploying_twice_changes_nothing(production):
    manifest = a_release(*entries(production, C1, C2))
    put(production, manifest)
    put(production, manifest)
    assert production.prod.endpoints.swaps == 1


def test_a_deployment_killed_between_plants_is_completed_by_running_it_again(production):
    manifest = a_release(*entries(production, C1, OTHER))
    put(production, manifest, [C1])
    assert production.live(OTHER) is None
    put(production, manifest)
    assert production.live(OTHER) == production.live(C1) == manifest.release


def test_a_stale_circuit_stops_every_plant_before_anything_changes(production):
    production.release(*entries(production, OTHER))
    before = dict(production.prod.endpoints.files)
    stale = an_entry(OTHER, digest=production.shelf.add(OTHER, 1), replaces=None, version=1)
    manifest = a_release(*entries(production, C1), stale, attempt=2)
    with pytest.raises(StaleError, match=r"P2/C1: r-\w+ is live, but r-\w+ was made to replace no"):
        put(production, manifest)
    assert production.prod.endpoints.files == before


def test_a_model_that_is_not_what_was_signed_is_not_deployed(production):
    manifest = a_release(*entries(production, C1))
    production.shelf.add(C1, 1, add=9.0)
    with pytest.raises(ModelError, match=r"model 1 in the registry has digest"):
        put(production, manifest)
    assert production.live(C1) is None


def test_damaged_bytes_are_not_deployed(production):
    manifest = a_release(*entries(production, C1))
    production.shelf.bytes[C1, 1] = model_files(add=9.0)
    with pytest.raises(ModelError, match="is damaged"):
        put(production, manifest)
    assert production.live(C1) is None


@pytest.mark.parametrize(
    "changed", [{"environment_digest": "f" * 64}, {"environment": "forecasting:2.0.0"}]
)
def test_an_environment_that_is_not_what_was_signed_is_not_deployed(production, changed):
    entry = an_entry(C1, digest=production.shelf.add(C1, 1), **changed)
    with pytest.raises(ModelError, match=r"environment forecasting:\d\.0\.0 in the registry is"):
        put(production, a_release(entry))
    assert production.live(C1) is None


def test_a_retired_circuit_is_taken_away_and_stays_away(production):
    first = production.release(*entries(production, C1, C2))
    manifest = a_release(retired(C1, first))
    put(production, manifest)
    put(production, manifest)
    assert production.live(C1) is None
    assert production.live(C2) == first
    assert production.prod.endpoints.swaps == 2


def test_the_rollback_plan_names_each_way_back_and_tries_it(production):
    first = production.release(*entries(production, C1))
    manifest = a_release(*entries(production, C1, C2, version=2))
    plan = rollback_plan(production.prod, production.registry, manifest)
    assert plan["refused"] == {}
    assert plan["circuits"]["P1/C1"]["target"] == first
    assert plan["circuits"]["P1/C2"] == {
        "target": None,
        "reason": "none: would be refused, this is its first deployment: it would stay live",
    }
    assert json.loads(canonical_json(plan)) == plan
    assert rollback_plan(production.prod, production.registry, manifest) == plan


def test_a_broken_way_back_is_named_in_the_plan(production):
    production.release(*entries(production, C1, C2))
    manifest = a_release(*entries(production, C1, C2, version=2), retired(OTHER, "r-" + "1" * 12))
    production.shelf.bytes[C1, 1] = model_files(add=9.0)
    production.prod.endpoints.deployments.pop((C2, production.live(C2)))
    plan = rollback_plan(production.prod, production.registry, manifest)
    assert "is damaged" in plan["refused"]["P1/C1"]
    assert "is not recorded on production" in plan["refused"]["P1/C2"]
    assert "it is retired" in plan["circuits"]["P2/C1"]["reason"]


def tried(production, manifest, data_now=NOW):
    return validate_in_test(
        production.test,
        production.registry,
        production.lake,
        manifest,
        a_config().policy,
        now=NOW,
        data_now=data_now,
        forecasting=FORECASTING,
    )


def refused(verdicts):
    return {verdict.gate: verdict.reason for verdict in verdicts if not verdict.passed}


def test_a_sound_model_passes_every_test_and_leaves_its_forecast(production):
    production.send(C1)
    manifest = a_release(*entries(production, C1))
    verdicts = tried(production, manifest)[C1]
    assert tuple(verdict.gate for verdict in verdicts) == TEST_VERDICTS
    assert refused(verdicts) == {}
    rows = production.test.predictions.files[C1, DAY]
    assert rows["timestamp"][0] == MIDNIGHT
    assert len(rows) == 24
    assert production.test.endpoints.live("P1").of(C1).release == manifest.release
    assert production.live(C1) is None


def test_the_verdicts_repeat(production):
    production.send(C1)
    manifest = a_release(*entries(production, C1))
    assert tried(production, manifest) == tried(production, manifest)


@pytest.mark.parametrize(
    ("settings", "gate"),
    [
        ({"error": "singular matrix"}, "no_errors"),
        ({"golden": False}, "no_errors"),
        ({"shorten": 2}, "rows"),
        ({"shorten": 2}, "horizon"),
        ({"infinite": True}, "finite"),
        ({"add": 1e6}, "in_range"),
    ],
)
def test_each_defect_of_a_model_fails_its_test(production, settings, gate):
    production.send(C1)
    production.send(C2)
    manifest = a_release(*entries(production, C1, **settings), *entries(production, C2))
    verdicts = tried(production, manifest)
    assert gate in refused(verdicts[C1])
    assert refused(verdicts[C2]) == {}
    assert (C1, DAY) not in production.test.predictions.files


def test_a_rung_that_cannot_serve_fails_the_ladder(production):
    production.send(C1)
    previous = production.shelf.add(C1, 1, error="gone")
    entry = an_entry(
        C1,
        version=2,
        digest=production.shelf.add(C1, 2),
        previous_model_version=1,
        previous_model_digest=previous,
    )
    reasons = refused(tried(production, a_release(entry))[C1])
    assert reasons == {"fallback_ladder": "previous_model: RuntimeError: gone"}


def test_a_circuit_without_readings_fails_every_test(production):
    production.send(C2)
    verdicts = tried(production, a_release(*entries(production, C1)))[C1]
    assert set(refused(verdicts)) == set(TEST_VERDICTS)
    assert refused(verdicts)["no_errors"].startswith("no readings")


def test_readings_that_end_within_a_day_are_tried_on_that_day(production):
    production.send(C1, until=NOW)
    manifest = a_release(*entries(production, C1))
    assert refused(tried(production, manifest)[C1]) == {}
    assert (C1, DAY) in production.test.predictions.files


def test_a_sensor_that_fell_silent_before_the_cutoff_is_tried_on_the_day_after_it(production):
    production.send(C1, until=MIDNIGHT)
    serving = a_serving(cutoff_date="2024-06-22")
    entry = an_entry(C1, digest=production.shelf.add(C1, 1), serving=serving)
    assert refused(tried(production, a_release(entry))[C1]) == {}
    assert [str(day) for _, day in production.test.predictions.files] == ["2024-06-23"]


def test_a_retired_circuit_leaves_the_test_endpoint(production):
    production.send(C1)
    production.send(C2)
    tried(production, a_release(*entries(production, C1, C2)))
    verdicts = tried(production, a_release(retired(C1, "r-" + "1" * 12)))
    assert verdicts == {}
    assert production.test.endpoints.live("P1").of(C1) is None
    assert production.test.endpoints.live("P1").of(C2) is not None
