"""What a release waits for shows on its circuits' checks within a tick, and is told once."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.assets.approval import approval_checks_job, waiting_approvals
from mlops_assets_tests.fakes.release import C1, C2, MANAGER, ReleaseHome
from mlops_assets_tests.fakes.watched import WatchedHome


@pytest.fixture
def home():
    return WatchedHome(ReleaseHome())


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def tick(home, instance, cursor=None):
    """One tick with the run that it asks for; returns the cursor, None where nothing was asked."""
    context = dg.build_sensor_context(
        instance=instance, resources={"home": home}, cursor=cursor, repository_def=None
    )
    answer = waiting_approvals(context)
    if isinstance(answer, dg.SkipReason):
        return None
    (request,) = answer.run_requests
    done = approval_checks_job.execute_in_process(
        run_config=request.run_config, resources={"home": home}, instance=instance
    )
    assert done.success
    return answer.cursor


def shown(instance, check):
    """The newest evaluation of a check by circuit."""
    asset = {"registry_approval": "registry_model", "production_approval": "production_deployment"}
    key = dg.AssetCheckKey(dg.AssetKey(asset[check]), check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = {}
    for record in records:
        evaluation = record.event.dagster_event.asset_check_evaluation_data
        found.setdefault(evaluation.partition, evaluation)
    return found


def test_a_waiting_release_shows_on_every_circuit_before_any_stage_has_run(home, instance):
    made = home.made.create()
    assert tick(home, instance)
    found = shown(instance, "registry_approval")
    assert set(found) == {str(C1), str(C2)}
    one = found[str(C1)]
    assert not one.passed
    assert one.severity is dg.AssetCheckSeverity.WARN
    command = f"mlops release approve {made} --stage registry --key ~/.ssh/id_ed25519"
    assert command in one.description
    assert one.metadata["command"].value == command
    assert one.metadata["page"].value.endswith(f"{made}/page.html")


def test_a_signature_is_told_at_the_next_tick_and_then_no_more(home, instance):
    made = home.made.tested()
    cursor = tick(home, instance)
    assert "signed by nobody" in shown(instance, "production_approval")[str(C1)].description
    assert tick(home, instance, cursor) is None
    home.made.approve(made, "production", MANAGER)
    assert tick(home, instance, cursor)
    one = shown(instance, "production_approval")[str(C1)]
    assert one.passed
    assert f"{MANAGER} at " in one.metadata["signed_by"].value


def test_a_run_that_names_nothing_tells_all_that_waits_and_opens_nothing(home, instance):
    made = home.made.create()
    log = home.made.ledger.log
    done = approval_checks_job.execute_in_process(resources={"home": home}, instance=instance)
    assert done.success
    assert set(shown(instance, "registry_approval")) == {str(C1), str(C2)}
    assert home.made.ledger.log == log
    assert home.made.state(made) == "candidate"


def test_a_release_that_nobody_knows_is_not_told(home, instance):
    config = {"ops": {"tell_approvals": {"config": {"releases": ["r-0", "../x"]}}}}
    home.made.create()
    done = approval_checks_job.execute_in_process(
        run_config=config, resources={"home": home}, instance=instance
    )
    assert done.success
    assert shown(instance, "registry_approval") == {}
