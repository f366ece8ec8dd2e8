"""The asset graph is the one that the architecture draws."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import AllPartitionMapping, IdentityPartitionMapping, LastPartitionMapping

from mlops_assets.definitions import defs

GRAPH = defs.resolve_asset_graph()

EDGES = {
    "sensor_files": set(),
    "historian_tables": set(),
    "readings": {"sensor_files", "historian_tables"},
    "circuit_readings": {"readings"},
    "circuit_config": set(),
    "environment": set(),
    "training_data": {"circuit_readings", "circuit_config"},
    "model": {"training_data", "circuit_config", "environment"},
    "evidence": {"model"},
    "release_candidate": {"evidence", "model"},
    "registry_model": {"release_candidate", "environment"},
    "test_validation": {"registry_model", "readings"},
    "production_deployment": {"test_validation"},
    "daily_forecast": {"production_deployment", "readings"},
    "predictions": {"daily_forecast"},
    "forecast_quality": {"predictions", "readings"},
}
GROUPS = {
    "ingest": {"sensor_files", "historian_tables", "readings", "circuit_readings"},
    "config": {"circuit_config", "environment"},
    "train": {"training_data", "model", "evidence"},
    "release": {
        "release_candidate",
        "registry_model",
        "test_validation",
        "production_deployment",
    },
    "serve": {"daily_forecast", "predictions", "forecast_quality"},
}
PARTITIONED = {
    None: {"sensor_files", "historian_tables", "readings", "environment"},
    "days": {"daily_forecast"},
    "circuits": {
        "circuit_readings",
        "circuit_config",
        "training_data",
        "model",
        "evidence",
        "release_candidate",
        "registry_model",
        "test_validation",
        "production_deployment",
        "predictions",
        "forecast_quality",
    },
}
CHECKS = {
    "readings": {"schema", "unique_keys", "freshness", "restatements"},
    "training_data": {"enough_rows", "gaps", "content_as_pinned"},
    "model": {"skill", "champion", "coverage"},
    "evidence": {"complete"},
    "registry_model": {"registry_approval"},
    "test_validation": {"rows", "horizon", "finite", "in_range", "latency", "no_errors"},
    "production_deployment": {"production_approval", "rollback_plan"},
    "predictions": {"complete", "fallback"},
    "forecast_quality": {"degraded", "drifted"},
}
EXTERNAL = {"sensor_files", "historian_tables", "circuit_config", "environment"}


def names(keys) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_every_asset_of_the_architecture_is_there_and_no_other():
    assert names(GRAPH.get_all_asset_keys()) == set(EDGES)


@pytest.mark.parametrize("asset", sorted(EDGES))
def test_an_asset_follows_exactly_what_the_architecture_draws(asset):
    assert names(GRAPH.get(dg.AssetKey(asset)).parent_keys) == EDGES[asset]


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_groups_are_the_stations_of_the_flow(group):
    found = {node.key.to_user_string() for node in GRAPH.asset_nodes if node.group_name == group}
    assert found == GROUPS[group]


def test_partitions_are_circuits_days_or_none():
    found: dict[str | None, set[str]] = {}
    for node in GRAPH.asset_nodes:
        definition = node.partitions_def
        kind = None
        if isinstance(definition, dg.DynamicPartitionsDefinition):
            kind = definition.name
        elif isinstance(definition, dg.DailyPartitionsDefinition):
            kind = "days"
        found.setdefault(kind, set()).add(node.key.to_user_string())
    assert found == PARTITIONED


def test_mappings_between_circuit_day_and_none_are_written_out():
    for node in GRAPH.asset_nodes:
        for parent in node.parent_keys:
            mapping = node.partition_mappings.get(parent)
            before, after = GRAPH.get(parent).partitions_def, node.partitions_def
            if before == after and before is not None:
                inside = mapping is None  # steps of one multi-asset map to themselves
                assert inside or isinstance(mapping, IdentityPartitionMapping)
            elif isinstance(before, dg.DailyPartitionsDefinition):
                assert isinstance(mapping, LastPartitionMapping), (node.key, parent)
            else:
                assert isinstance(mapping, AllPartitionMapping), (node.key, parent)


@pytest.mark.parametrize("asset", sorted(CHECKS))
def test_checks_ask_what_the_architecture_asks(asset):
    found = {key.name for key in GRAPH.asset_check_keys if key.asset_key == dg.AssetKey(asset)}
    assert found >= CHECKS[asset]


def test_checks_of_partitioned_assets_have_their_partitions():
    for key in GRAPH.asset_check_keys:
        assert GRAPH.get(key).partitions_def == GRAPH.get(key.asset_key).partitions_def


def test_everything_is_described_and_owned():
    for node in GRAPH.asset_nodes:
        assert node.description, node.key
        assert node.owners, node.key
        assert node.kinds, node.key


def test_what_others_write_cannot_be_materialized_here():
    executable = names(GRAPH.executable_asset_keys)
    assert executable == set(EDGES) - EXTERNAL


def test_schedules_and_sensors_run_from_the_start():
    repository = defs.get_repository_def()
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING, schedule.name
    for sensor in repository.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name


def test_the_etl_is_scheduled_every_three_hours():
    schedule = defs.get_repository_def().get_schedule_def("etl_every_3_hours")
    assert schedule.cron_schedule == "0 */3 * * *"


def test_circuits_of_one_selection_train_in_one_run():
    for asset in PARTITIONED["circuits"] - EXTERNAL:
        policy = GRAPH.get(dg.AssetKey(asset)).backfill_policy
        assert policy == dg.BackfillPolicy.single_run(), asset
