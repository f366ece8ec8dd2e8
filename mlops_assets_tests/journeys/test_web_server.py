"""What people do in Dagster's UI, through the web server and daemon that `mlops ui` starts."""

from __future__ import annotations

import time

import pytest

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
    """The one release is deployed: a part of it changes nothing, whatever the run says."""
    assert launch(server, ["production_deployment"], "P001/C001") in {"SUCCESS", "FAILURE"}


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
