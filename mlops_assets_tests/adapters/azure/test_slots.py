"""Slots are leases: so many over all processes, and free again soon after a holder's death."""

from __future__ import annotations

import threading

import pytest
from azure.storage.blob import BlobLeaseClient

from mlops_assets.adapters.azure.slots import BlobTrainingSlots

pytestmark = pytest.mark.azure


def test_never_more_than_the_limit_train_at_once(azurite):
    blobs = azurite.blobs()
    inside, most, lock = [0], [0], threading.Lock()

    def train():
        with BlobTrainingSlots(blobs, 2).take():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            blobs.put("x", b"")
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=train) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 2
    assert inside == [0]


def test_who_waits_asks_again_until_a_slot_is_free(azurite):
    blobs, waits = azurite.blobs(), []
    with BlobTrainingSlots(blobs, 1).take():
        # What Azure does by itself when the holder is dead.
        def sleep(seconds):
            waits.append(seconds)
            if len(waits) == 3:
                BlobLeaseClient(blobs._client("slot-0")).break_lease(lease_break_period=0)

        with BlobTrainingSlots(blobs, 1, sleep=sleep).take() as number:
            assert number == 0
    assert waits == [0.1, 0.2, 0.4]


@pytest.mark.parametrize(("given", "limit"), [(3, 3), (0, 1), (lambda: 4, 4), (lambda: -1, 1)])
def test_the_limit_may_be_asked_late_and_is_at_least_one(azurite, given, limit):
    assert BlobTrainingSlots(azurite.blobs(), given).limit == limit
