"""One run covers exactly the circuits that were chosen, neighbours or not."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.assets.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    SELECTION,
    add_circuits,
    chosen,
    circuits,
    launch_on,
)
from mlops_assets.domain.identifiers import CircuitKey

ORDER = [f"P001/C{number:03d}" for number in range(1, 10)]


def covered(launch, order) -> set[str]:
    """What Dagster and the run's config make of a launch."""
    if launch.partition_key is not None:
        own = {launch.partition_key}
    else:
        first = order.index(launch.tags[RANGE_START_TAG])
        last = order.index(launch.tags[RANGE_END_TAG])
        own = set(order[first : last + 1])
    return own | set(launch.config["circuits"])


@given(st.sets(st.sampled_from(ORDER), min_size=1))
def test_a_launch_covers_its_circuits_and_no_other(keys):
    assert covered(launch_on(ORDER, keys), ORDER) == keys


@given(st.sets(st.sampled_from(ORDER), min_size=1), st.permutations(ORDER))
def test_the_order_of_addition_changes_nothing(keys, order):
    assert covered(launch_on(order, keys), order) == keys


def test_one_circuit_is_a_partition_run():
    launch = launch_on(ORDER, ["P001/C004"])
    assert launch.partition_key == "P001/C004"
    assert launch.tags == {}
    assert launch.config == {"circuits": [], "release": ""}


def test_neighbours_are_a_range_run():
    launch = launch_on(ORDER, ORDER[2:5])
    assert launch.partition_key is None
    assert launch.tags == {RANGE_START_TAG: ORDER[2], RANGE_END_TAG: ORDER[4]}
    assert launch.config["circuits"] == []


def test_the_longest_block_is_planned_by_dagster_and_config_names_all():
    keys = [ORDER[0], *ORDER[4:7]]
    launch = launch_on(ORDER, keys)
    assert launch.tags == {RANGE_START_TAG: ORDER[4], RANGE_END_TAG: ORDER[6]}
    assert launch.config["circuits"] == keys


def test_circuits_are_added_once_and_in_order(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        keys = [CircuitKey("P002", "C001"), CircuitKey("P001", "C002"), CircuitKey("P001", "C001")]
        add_circuits(instance, keys[:2])
        add_circuits(instance, keys)
        assert list(instance.get_dynamic_partitions(circuits.name)) == [
            "P001/C002",
            "P002/C001",
            "P001/C001",
        ]


@dg.asset(partitions_def=circuits, config_schema=SELECTION)
def asks_for_its_circuits(context: dg.AssetExecutionContext) -> None:
    chosen(context)


@pytest.mark.parametrize("key", ["C001", "P001/C001\n", "../C001", "\uff30001/C001", "P001/C001/x"])
def test_what_is_no_circuit_fails_the_step_in_one_line(key):
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(circuits.name), [key])
        result = dg.materialize(
            [asks_for_its_circuits], instance=instance, partition_key=key, raise_on_error=False
        )
    (failure,) = result.get_step_failure_events()
    data = failure.step_failure_data
    assert data.user_failure_data.description.startswith("this run's circuits: ")
    assert "\n" not in data.user_failure_data.description
