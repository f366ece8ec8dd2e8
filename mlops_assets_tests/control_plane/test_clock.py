"""Virtual time: it passes only while all wait, and together for those who wait together."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from azure.ai.ml.entities import BatchEndpoint
from hypothesis import given
from hypothesis import strategies as some

from mlops_assets_tests.control_plane import ControlPlane, Latency, VirtualClock
from mlops_assets_tests.control_plane.clock import START
from mlops_assets_tests.fakes.azure_ml import a_backend, clients_of

pytestmark = pytest.mark.azure


def test_a_sleep_takes_its_time_and_no_time():
    clock, began = VirtualClock(), time.monotonic()
    clock.sleep(3600)
    clock.sleep(0.25)
    assert clock.now() == START + timedelta(seconds=3600.25)
    assert time.monotonic() - began < 600


def test_who_sleeps_at_the_same_time_sleeps_together():
    clock = VirtualClock()
    with ThreadPoolExecutor(20) as pool:
        with clock.busy():
            sleepers = [pool.submit(clock.sleep, seconds) for seconds in range(1, 21)]
            while len(clock._wakes) < len(sleepers):
                time.sleep(0.001)
        for each in sleepers:
            each.result(120)
    assert clock.elapsed == 20


def test_time_stands_still_while_something_works():
    clock = VirtualClock()
    with ThreadPoolExecutor(1) as pool, clock.busy():
        sleeper = pool.submit(clock.sleep, 60)
        time.sleep(0.1)
        assert not sleeper.done()
        assert clock.elapsed == 0
        clock._busy -= 1
        sleeper.result(120)
        clock._busy += 1
    assert clock.elapsed == 60


@given(some.lists(some.floats(0, 1000), max_size=6))
def test_alone_time_is_the_sum_of_the_sleeps(sleeps):
    clock = VirtualClock(quiet=0.0)
    for seconds in sleeps:
        clock.sleep(seconds)
    assert clock.elapsed == pytest.approx(sum(sleeps))


def test_updates_that_run_at_the_same_time_take_as_long_as_the_slowest():
    clock = VirtualClock(quiet=0.03)
    plane = ControlPlane(
        a_backend(), clock=clock, latency=Latency(update=30.0, spread=90.0), polls=0
    )
    client = clients_of(plane, "prod").workspace("prod")
    with clock.busy():
        pollers = [
            client.batch_endpoints.begin_create_or_update(BatchEndpoint(name=f"plant-{number}"))
            for number in range(8)
        ]
    for poller in pollers:
        poller.result()
    # The longest takes 120 seconds, all one after the other ten minutes; a busy machine lets some
    # ask late.
    assert 90 < clock.elapsed < 300
    plane.close()
