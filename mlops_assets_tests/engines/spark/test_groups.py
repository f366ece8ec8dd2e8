"""How circuits of a batch are spread over tasks: evenly, and a plant's models are read once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.engines.spark.forecast import groups


def fleet(sizes):
    """Plants of these sizes, in the order of their keys."""
    return [
        CircuitKey(f"P{plant:03}", f"C{circuit:03}")
        for plant, size in enumerate(sizes)
        for circuit in range(size)
    ]


def tasks_of(plant, made):
    return sum(any(key.plant_id == plant for key in group) for group in made)


def test_plants_that_fit_in_a_task_are_read_by_one():
    made = groups(fleet([10] * 15), 4)
    assert sorted(map(len, made)) == [30, 40, 40, 40]
    assert all(tasks_of(f"P{plant:03}", made) == 1 for plant in range(15))


def test_one_large_plant_is_spread_over_all_tasks():
    assert [len(group) for group in groups(fleet([149]), 4)] == [38, 38, 38, 35]


def test_fewer_circuits_than_tasks_make_fewer():
    assert [len(group) for group in groups(fleet([1, 1]), 4)] == [1, 1]


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=20), most=st.integers(1, 16))
def test_every_circuit_is_in_one_group_and_no_group_is_far_above_its_share(sizes, most):
    circuits = fleet(sizes)
    made = groups(circuits, most)
    share = -(-len(circuits) // most)
    assert sorted(key for group in made for key in group) == circuits
    assert 1 <= len(made) <= most
    assert all(0 < len(group) < 2 * share or len(group) == 1 for group in made)
    for plant, size in enumerate(sizes):
        assert tasks_of(f"P{plant:03}", made) <= -(-size // share)
