"""One run tells each circuit's own result, and Dagster shows it as that circuit's."""

import base64
import math
from datetime import UTC, date, datetime

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from mlops_assets.assets.events import EventWriter, Fact, check_specs, picture, shown
from mlops_assets.assets.partitions import SELECTION, chosen, circuits, each, launch_on
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.plot import sparkline

KEYS = [f"P001/C{number:03d}" for number in range(1, 8)]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CHECKS = check_specs("thing", {"good": "Is it good?"}, circuits)


def fact(key: str, asset: str = "thing") -> Fact:
    return Fact(asset=asset, partition=key, version=f"v-{key}", metadata={"plant": key[:4]})


@dg.multi_asset(
    specs=[dg.AssetSpec("before", partitions_def=circuits, skippable=True)],
    name="before",
    can_subset=True,
    partitions_def=circuits,
    config_schema=SELECTION,
)
def before(context: dg.AssetExecutionContext):
    for key in chosen(context):
        context.log_event(fact(str(key), "before").materialization())
    yield from ()


@dg.multi_asset(
    specs=[dg.AssetSpec("thing", deps=[each("before")], partitions_def=circuits, skippable=True)],
    check_specs=CHECKS,
    name="thing",
    can_subset=True,
    partitions_def=circuits,
    config_schema=SELECTION,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def thing(context: dg.AssetExecutionContext):
    writer = EventWriter(context)
    bad = {}
    for key in chosen(context):
        if key.circuit_id == "C005":
            bad[key] = "it broke"
            continue
        writer.materialized(fact(str(key)), [Verdict("good", key.circuit_id != "C003", "why")])
    writer.refuse({"thing": bad})
    yield from ()


JOBS = dg.Definitions(
    assets=[before, thing],
    jobs=[
        dg.define_asset_job("before_job", selection=["before"]),
        dg.define_asset_job("thing_job", selection=["thing"]),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        made.add_dynamic_partitions(circuits.name, KEYS)
        run(made, KEYS, "before")
        yield made


def run(instance, keys, asset="thing"):
    how = launch_on(instance.get_dynamic_partitions(circuits.name), keys)
    return JOBS.resolve_job_def(f"{asset}_job").execute_in_process(
        instance=instance,
        partition_key=how.partition_key,
        tags=dict(how.tags),
        run_config={**QUIET, "ops": {asset: {"config": how.config}}},
        raise_on_error=False,
    )


def statuses(instance) -> tuple[set[str], set[str], set[str]]:
    """Materialized, failed and running partitions, as the web server counts them."""
    key = dg.AssetKey("thing")
    value = get_and_update_asset_status_cache_value(instance, key, circuits, instance)
    return tuple(
        set(subset.get_partition_keys())
        for subset in (
            value.deserialize_materialized_partition_subsets(circuits),
            value.deserialize_failed_partition_subsets(circuits),
            value.deserialize_in_progress_partition_subsets(circuits),
        )
    )


def checks(instance) -> dict[str, tuple[str, bool]]:
    """Each partition's newest check, and whether it is about the newest materialization."""
    key = dg.AssetCheckKey(dg.AssetKey("thing"), "good")
    infos = instance.event_log_storage.get_asset_check_partition_info([key])
    return {
        info.partition_key: (
            info.latest_execution_status.value,
            info.latest_target_materialization_storage_id == info.latest_materialization_storage_id,
        )
        for info in infos
    }


def test_a_set_with_holes_is_one_run_in_which_a_failed_circuit_fails_alone(instance):
    chosen_keys = [KEYS[0], KEYS[2], KEYS[3], KEYS[4], KEYS[6]]
    result = run(instance, chosen_keys)
    assert not result.success
    done, failed, running = statuses(instance)
    assert done == {KEYS[0], KEYS[2], KEYS[3], KEYS[6]}
    assert failed == {KEYS[4]}
    assert running == set()


def test_a_failed_circuit_outside_the_planned_block_fails_too(instance):
    run(instance, [KEYS[0], KEYS[1], KEYS[4]])
    assert statuses(instance) == ({KEYS[0], KEYS[1]}, {KEYS[4]}, set())


def test_checks_block_per_circuit_and_are_about_its_newest_materialization(instance):
    run(instance, [KEYS[0], KEYS[2], KEYS[3], KEYS[6]])
    assert checks(instance) == {
        KEYS[0]: ("SUCCEEDED", True),
        KEYS[2]: ("FAILED", True),
        KEYS[3]: ("SUCCEEDED", True),
        KEYS[6]: ("SUCCEEDED", True),
    }


def test_a_second_run_may_judge_the_same_circuits_again(instance):
    run(instance, KEYS[:2])
    run(instance, KEYS[:2])
    assert checks(instance) == dict.fromkeys(KEYS[:2], ("SUCCEEDED", True))


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS[:4], [KEYS[0], KEYS[3]]])
def test_no_planned_check_of_a_circuit_that_was_told_stays_open(instance, keys):
    run(instance, keys)
    assert {status for status, _ in checks(instance).values()} <= {"SUCCEEDED", "FAILED"}
    assert set(checks(instance)) == set(keys)


def test_a_run_without_a_choice_says_what_to_do(instance):
    result = JOBS.resolve_job_def("thing_job").execute_in_process(
        instance=instance, run_config=QUIET, raise_on_error=False
    )
    assert not result.success


def test_data_versions_and_metadata_are_each_circuits_own(instance):
    run(instance, [KEYS[0], KEYS[3]])
    records = instance.fetch_materializations(dg.AssetKey("thing"), limit=10).records
    told = {
        record.partition_key: record.asset_materialization.tags["dagster/data_version"]
        for record in records
    }
    assert told == {KEYS[0]: f"v-{KEYS[0]}", KEYS[3]: f"v-{KEYS[3]}"}


def test_what_is_not_known_is_left_out_of_metadata():
    found = shown({"a": None, "b": math.nan, "c": 1, "d": "x", "e": date(2026, 1, 2), "f": True})
    assert {name: value.value for name, value in found.items()} == {
        "c": 1,
        "d": "x",
        "e": "2026-01-02",
        "f": True,
    }
    assert isinstance(
        shown({"at": datetime(2026, 1, 1, tzinfo=UTC)})["at"], dg.TimestampMetadataValue
    )


def test_a_days_plot_is_small_enough_to_be_shown_at_once():
    values = [100.5 + 20 * math.sin(step / 24 * 6.28) for step in range(24)]
    low, high = [value - 9.3 for value in values], [value + 9.1 for value in values]
    shown_inline = picture(sparkline(values, low, high, title="P001/C001 for 2026-07-01"))
    text = str(shown_inline.value)
    assert len(text) < 1000
    data = base64.b64decode(text.split("base64,")[1].rstrip(")"))
    assert data.startswith(b"<svg")
    assert data.endswith(b"</svg>")
    assert picture("") is None
