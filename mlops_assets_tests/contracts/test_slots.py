"""What training slots must do: the fake, the local ones, and those in blobs."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.azure.slots import BlobTrainingSlots
from mlops_assets.adapters.local.slots import LocalTrainingSlots
from mlops_assets_tests.fakes.engine import FakeTrainingSlots


@pytest.fixture(params=["fake", "local", pytest.param("azure", marks=pytest.mark.azure)])
def slots(request, tmp_path):
    if request.param == "azure":
        return BlobTrainingSlots(request.getfixturevalue("azurite").blobs(), 3)
    if request.param == "fake":
        return FakeTrainingSlots()
    return LocalTrainingSlots(tmp_path / "locks" / "training", 3)


def test_slots_held_at_once_have_different_numbers(slots):
    with slots.take() as first, slots.take() as second, slots.take() as third:
        assert {first, second, third} == {0, 1, 2}


def fail_in(slots, numbers):
    with slots.take() as number:
        numbers.append(number)
        raise ZeroDivisionError


def test_a_slot_is_free_again_after_use_and_after_a_failure(slots):
    numbers = []
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            fail_in(slots, numbers)
    with slots.take() as number:
        assert [*numbers, number] == [0] * 6
