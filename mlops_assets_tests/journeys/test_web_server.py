"""What people do in Dagster's UI, through the web server and daemon that `mlops ui` starts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows import approval
from mlops_assets.flows.ledger import views
from mlops_assets.flows.plan import config_at
from mlops_assets_tests.journeys.people import ENGINEER, approve, commit, created, opened
from mlops_assets_tests.journeys.product_state import product_state
from mlops_assets_tests.journeys.server import Server, served

ASSETS = {
    "sensor_files",
    "historian_tables",
    "readings",
    "circuit_readings",
    "circuit_config",
    "environment",
    "training_data",
    "model",
    "evidence",
    "release_candidate",
    "registry_model",
    "test_validation",
    "production_deployment",
    "daily_forecast",
    "predictions",
    "forecast_quality",
}
KEY = CircuitKey("P001", "C001")
LAUNCH = """mutation($params: ExecutionParams!) {
    launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(
    backfillParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message } } }"""


def launch(server: Server, assets: list[str], partition: str) -> str:
    """Materialize assets for one partition, as the UI's button does; returns the run's status."""
    answer = server.ask(
        LAUNCH,
        params={
            "selector": {
                **server.selector,
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": [name]} for name in assets],
                "assetCheckSelection": None,
            },
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        },
    )["launchPipelineExecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return server.wait_for_run(answer["run"]["runId"])


def backfill(server: Server, assets: list[str], partitions: list[str]) -> str:
    """Materialize assets for a set of partitions; returns the backfill's status."""
    answer = server.ask(
        BACKFILL,
        params={
            "assetSelection": [{"path": [name]} for name in assets],
            "partitionNames": partitions,
            "fromFailure": False,
        },
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return server.wait_for_backfill(answer["backfillId"])


@pytest.mark.slow
def test_people_can_do_in_the_ui_what_the_command_line_does(demo_home):
    before = product_state(demo_home)
    with served(demo_home) as server:
        nodes = server.ask(
            """{ assetNodes { assetKey { path } groupName description
            assetChecksOrError { ... on AssetChecks { checks { name } } }
            partitionStats { numFailed numMaterialized numPartitions } } }"""
        )["assetNodes"]
        assert {node["assetKey"]["path"][0] for node in nodes} == ASSETS
        assert all(node["groupName"] and node["description"] for node in nodes)
        failed = {
            node["assetKey"]["path"][0]: node["partitionStats"]
            for node in nodes
            if node["partitionStats"] and node["partitionStats"]["numFailed"]
        }
        assert failed == {}

        # One partition, then a set that is not contiguous: all up to date, so green and unchanged.
        assert launch(server, ["training_data", "model", "evidence"], "P001/C001") == "SUCCESS"
        status = backfill(server, ["model"], ["P001/C001", "P001/C003"])
        assert status == "COMPLETED_SUCCESS"
        day = _newest_day(server)
        assert launch(server, ["daily_forecast"], day) == "SUCCESS"

        _checks_show(server)
        _partial_release_is_refused(server)
        _daily_schedule_ticks(server)
        after = product_state(demo_home)
        assert after == before

        _a_waiting_release_shows_and_goes_on_when_it_is_signed(server, demo_home)


def _newest_day(server: Server) -> str:
    node = server.ask(
        """{ assetNodeOrError(assetKey: {path: ["daily_forecast"]}) { ... on AssetNode {
        assetMaterializations(limit: 50) { partition } } } }"""
    )["assetNodeOrError"]
    return max(event["partition"] for event in node["assetMaterializations"])


def _checks_show(server: Server) -> None:
    """Every blocking check of the train and release groups has passed for every circuit."""
    nodes = server.ask(
        """{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
        name blocking executionForLatestMaterialization { status } } } } } }"""
    )["assetNodes"]
    checks = {
        (node["assetKey"]["path"][0], check["name"]): check
        for node in nodes
        for check in node["assetChecksOrError"].get("checks", [])
    }
    for key in [
        ("readings", "unique_keys"),
        ("training_data", "enough_rows"),
        ("model", "skill"),
        ("evidence", "complete"),
        ("registry_model", "registry_approval"),
        ("test_validation", "finite"),
        ("production_deployment", "production_approval"),
    ]:
        assert key in checks, sorted(checks)
    bad = {
        key
        for key, check in checks.items()
        if check["executionForLatestMaterialization"]
        and check["executionForLatestMaterialization"]["status"] != "SUCCEEDED"
    }
    assert bad == set()


def _partial_release_is_refused(server: Server) -> None:
    """The one release holds three circuits: a stage of one of them is refused."""
    assert launch(server, ["production_deployment"], str(KEY)) == "FAILURE"


def _a_waiting_release_shows_and_goes_on_when_it_is_signed(server: Server, home: Path) -> None:
    """A circuit is retired: its check tells who may sign and how, then who did and when."""
    config = home / "config"
    (config / "plants" / f"{KEY}.yml").unlink()
    master = config / "plants_circuits.yml"
    master.write_text(master.read_text().replace(f"{KEY.circuit_id}, ", ""))
    commit(config, "Retire a circuit")
    made = created(home, KEY)
    platform = opened(home)
    approval.request(platform, config_at(platform), made, "registry", now=platform.clock.now())
    told = _newest_check(server, f"{made}: signed by nobody, 0 of 1 needed")
    command = f"mlops release approve {made} --stage registry --key ~/.ssh/id_ed25519"
    assert (told["success"], told["severity"], told["partition"]) == (False, "WARN", str(KEY))
    assert told["metadata"]["command"] == command
    assert f"may sign: {ENGINEER}; open until 20" in told["description"]
    assert f"`{command}` signs it" in told["description"]
    assert (home / told["metadata"]["page"]).is_file()

    approve(home, made, "registry")
    told = _newest_check(server, f"signed by {ENGINEER}, 1 of 1 needed ({ENGINEER} at 20")
    assert told["success"]
    server.wait_until(lambda: _state(home, made) in {"registered", "tested"})


def _state(home: Path, made: str) -> str:
    platform = opened(home)
    return next(
        view.state for view in views(platform, platform.clock.now()) if view.release == made
    )


def _newest_check(server: Server, said: str) -> dict[str, Any]:
    """Wait until the newest evaluation of the circuit's registry approval says something."""

    def newest() -> dict[str, Any] | None:
        executions = server.ask(
            """{ assetCheckExecutions(assetKey: {path: ["registry_model"]},
            checkName: "registry_approval", limit: 5) { evaluation { success severity partition
            description metadataEntries { label ... on TextMetadataEntry { text } } } } }"""
        )["assetCheckExecutions"]
        told = [one["evaluation"] for one in executions if one["evaluation"]]
        found = [one for one in told if one["partition"] == str(KEY)]
        if not found or said not in found[0]["description"]:
            return None
        entries = found[0].pop("metadataEntries")
        texts = {entry["label"]: entry.get("text") for entry in entries}
        return {**found[0], "metadata": texts}

    return server.wait_until(newest)


def _daily_schedule_ticks(server: Server) -> None:
    answer = server.ask(
        """mutation($selector: ScheduleSelector!, $timestamp: Float) {
        scheduleDryRun(selectorData: $selector, timestamp: $timestamp) { __typename
        ... on DryRunInstigationTick { evaluationResult { skipReason error { message }
        runRequests { runKey } } } ... on PythonError { message } } }""",
        selector={**server.selector, "scheduleName": "daily_forecast_schedule"},
        timestamp=time.time(),
    )["scheduleDryRun"]
    assert answer["__typename"] == "DryRunInstigationTick", answer
    result = answer["evaluationResult"]
    assert result["error"] is None
    assert result["runRequests"] or result["skipReason"]
