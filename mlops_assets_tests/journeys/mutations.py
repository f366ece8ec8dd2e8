"""Every GraphQL mutation of Dagster, with arguments that would help a forger.

`ARGUMENTS` is compared with the schema of the running server, so that a mutation which a new
version of Dagster brings cannot be forgotten.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_assets_tests.journeys.server import Server

SCHEMA = """{ __schema { mutationType { fields {
    name type { ...T } args { name type { ...T } } } } } }
fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name } } } } }"""
# These take the code server away, so they come last, in this order.
LAST = ("shutdownRepositoryLocation", "reloadRepositoryLocation", "reloadWorkspace")


def launch_params(
    server: Server,
    job: str,
    *,
    assets: list[str] | None = None,
    config: Any = None,
    tags: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What the UI sends to launch a run."""
    selection = None if assets is None else [{"path": [name]} for name in assets]
    return {
        "selector": {**server.selector, "pipelineName": job, "assetSelection": selection},
        "mode": "default",
        "runConfigData": config or {},
        "executionMetadata": {
            "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]
        },
    }


class Schema:
    """The mutations that a server offers, and how each is asked."""

    def __init__(self, server: Server) -> None:
        fields = server.ask(SCHEMA)["__schema"]["mutationType"]["fields"]
        self.fields = {field["name"]: field for field in fields}

    def query(self, name: str) -> str:
        """The text of one mutation with all its arguments as variables."""
        field = self.fields[name]
        heads = ", ".join(f"${arg['name']}: {_type(arg['type'])}" for arg in field["args"])
        bodies = ", ".join(f"{arg['name']}: ${arg['name']}" for arg in field["args"])
        answer = field["type"]
        while answer.get("ofType"):
            answer = answer["ofType"]
        inner = "" if answer["kind"] in {"SCALAR", "ENUM"} else " { __typename }"
        return (
            f"mutation{f'({heads})' if heads else ''} "
            f"{{ answer: {name}{f'({bodies})' if bodies else ''}{inner} }}"
        )


def _type(kind: dict[str, Any]) -> str:
    match kind["kind"]:
        case "NON_NULL":
            return f"{_type(kind['ofType'])}!"
        case "LIST":
            return f"[{_type(kind['ofType'])}]"
        case _:
            return str(kind["name"])


def arguments(
    server: Server, run: str, backfill: str, waiting: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Arguments for every mutation; ``waiting`` maps a stage to the release that waits for it."""
    place = server.selector["repositoryLocationName"]
    circuits = {"repositorySelector": server.selector, "partitionsDefName": "circuits"}
    forged = [
        launch_params(
            server,
            stage,
            config={"ops": {asset: {"config": {"release": waiting[stage]}}}},
            tags={"dagster/partition": partition, "mlops/approved_by": "engineer@demo.example"},
        )
        for stage, asset, partition in (
            ("registry", "registry_model", "P001/C001"),
            ("production", "production_deployment", "P001/C002"),
        )
    ]
    again = {"parentRunId": run, "strategy": "ALL_STEPS", "useParentRunTags": True}
    schedules = [
        {"scheduleSelector": {**server.selector, "scheduleName": name}}
        for name in ("daily_forecast_schedule", "etl_every_3_hours", "rollback_drill_weekly")
    ]
    sensors = [
        {"sensorSelector": {**server.selector, "sensorName": name}}
        for name in ("approvals", "config_changes", "ledger_reports", "degradation")
    ]
    assets = ["registry_model", "test_validation", "production_deployment"]
    materialized = [
        {
            "eventParams": {
                "eventType": kind,
                "assetKey": {"path": [asset]},
                "partitionKeys": ["P001/C001", "P001/C002"],
                "description": "signed by engineer@demo.example",
            }
        }
        for asset in assets
        for kind in ("ASSET_MATERIALIZATION", "ASSET_OBSERVATION")
    ]
    passed = [
        {
            "eventParams": {
                "assetKey": {"path": [asset]},
                "checkName": check,
                "passed": True,
                "partitionKeys": ["P001/C001", "P001/C002"],
                "serializedMetadata": json.dumps({"signed_by": "engineer@demo.example"}),
            }
        }
        for asset, check in (
            ("registry_model", "registry_approval"),
            ("test_validation", "no_errors"),
            ("production_deployment", "production_approval"),
        )
    ]
    running = {
        kind: server.ask(
            f"""query($s: {kind.title()}Selector!) {{ found: {kind}OrError({kind}Selector: $s) {{
            ... on {kind.title()} {{ state: {kind}State {{ id }} }} }} }}""",
            s={**server.selector, f"{kind}Name": name},
        )["found"]["state"]["id"]
        for kind, name in (("schedule", "etl_every_3_hours"), ("sensor", "approvals"))
    }
    component = {"componentId": "gate", "locationName": place}
    return {
        "addDynamicPartition": [
            {**circuits, "partitionKey": key} for key in ("P009/C999", "../../ledger/approvals/x")
        ],
        "cancelPartitionBackfill": [{"backfillId": backfill}],
        "deleteAppManagedComponent": [component],
        "deleteConcurrencyLimit": [{"concurrencyKey": "training"}],
        "deleteDynamicPartitions": [
            {**circuits, "partitionKeys": ["P009/C999", "P001/C003"], "wipeMaterializations": wipe}
            for wipe in (True, False)
        ],
        "deletePipelineRun": [{"runId": run}],
        "deleteRun": [{"runId": run}],
        "freeConcurrencySlots": [{"runId": run, "stepKey": None}],
        "freeConcurrencySlotsForRun": [{"runId": run}],
        "launchMultipleRuns": [{"executionParamsList": forged}],
        "launchPartitionBackfill": [
            {
                "backfillParams": {
                    "assetSelection": [{"path": [asset]}],
                    "partitionNames": ["P001/C001", "P001/C002"],
                    "fromFailure": False,
                    "tags": [{"key": "mlops/release", "value": waiting["production"]}],
                }
            }
            for asset in assets
        ],
        "launchPipelineExecution": [{"executionParams": each} for each in forged],
        "launchPipelineReexecution": [{"executionParams": None, "reexecutionParams": again}],
        "launchRun": [{"executionParams": each} for each in forged],
        "launchRunReexecution": [{"executionParams": None, "reexecutionParams": again}],
        "logTelemetry": [{"action": "a", "clientId": "b", "clientTime": "0", "metadata": "{}"}],
        "reexecutePartitionBackfill": [
            {"reexecutionParams": {"parentRunId": backfill, "strategy": "ALL_STEPS"}}
        ],
        "refreshComponentState": [{"defsStateKey": "x", "locationName": place}],
        "reloadRepositoryLocation": [{"repositoryLocationName": place}],
        "reloadWorkspace": [{}],
        "reportAssetCheckEvaluations": passed,
        "reportRunlessAssetEvents": materialized,
        "resetSchedule": schedules,
        "resetSensor": sensors,
        "resumePartitionBackfill": [{"backfillId": backfill}],
        "scheduleDryRun": [
            {"selectorData": each["scheduleSelector"], "timestamp": 4e9} for each in schedules
        ],
        "sensorDryRun": [
            {"selectorData": each["sensorSelector"], "cursor": "forged"} for each in sensors
        ],
        "setAppManagedComponent": [
            {**component, "componentType": "dagster.PythonScriptComponent", "attributes": "{}"}
        ],
        "setAutoMaterializePaused": [{"paused": True}],
        "setConcurrencyLimit": [{"concurrencyKey": "training", "limit": 1000}],
        "setNuxSeen": [{}],
        "setSensorCursor": [{**each, "cursor": "0" * 40} for each in sensors],
        "shutdownRepositoryLocation": [{"repositoryLocationName": place}],
        "startSchedule": schedules,
        "startSensor": sensors,
        "stopRunningSchedule": [
            {"id": running["schedule"], "scheduleOriginId": None, "scheduleSelectorId": None}
        ],
        "stopSensor": [{"id": running["sensor"], "jobOriginId": None, "jobSelectorId": None}],
        "terminatePipelineExecution": [
            {"runId": run, "terminatePolicy": "MARK_AS_CANCELED_IMMEDIATELY"}
        ],
        "terminateRun": [{"runId": run, "terminatePolicy": "SAFE_TERMINATE"}],
        "terminateRuns": [{"runIds": [run], "terminatePolicy": "MARK_AS_CANCELED_IMMEDIATELY"}],
        "wipeAssets": [
            {"assetPartitionRanges": [{"assetKey": {"path": [asset]}, "partitions": None}]}
            for asset in (*assets, "release_candidate", "daily_forecast")
        ],
    }
