"""Local slots over several processes, counted by somebody who is none of them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from datetime import UTC

import pytest

from mlops_assets.adapters.local.clock import SystemClock
from mlops_assets.adapters.local.slots import LocalTrainingSlots

HOLDER = """
import os, sys, time
from pathlib import Path
from mlops_assets.adapters.local.slots import LocalTrainingSlots

folder, slots = Path(sys.argv[1]), int(sys.argv[2])
rounds, seconds = int(sys.argv[3]), float(sys.argv[4])
for turn in range(rounds):
    with LocalTrainingSlots(folder / "slots", slots).take():
        mark = folder / f"held-{os.getpid()}-{turn}"
        mark.touch()
        time.sleep(seconds)
        mark.unlink()
"""


def start(folder, *, slots, rounds, seconds):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = [str(folder), str(slots), str(rounds), str(seconds)]
    return subprocess.Popen([sys.executable, "-c", HOLDER, *arguments], env=environment)


def held(folder):
    return len(list(folder.glob("held-*")))


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_over_all_processes_never_more_than_the_slots_and_all_of_them_in_use(tmp_path):
    processes = [start(tmp_path, slots=2, rounds=4, seconds=0.1) for _ in range(4)]
    counts = []
    while any(process.poll() is None for process in processes):
        counts.append(held(tmp_path))
        time.sleep(0.002)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert max(counts) == 2


def test_the_slot_of_a_killed_holder_is_free_at_once(tmp_path):
    holder = start(tmp_path, slots=1, rounds=1, seconds=600)
    wait_until(lambda: held(tmp_path) == 1)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with LocalTrainingSlots(tmp_path / "slots", 1).take() as number:
        assert number == 0


def test_a_killed_waiter_keeps_nobody_waiting(tmp_path):
    slots = LocalTrainingSlots(tmp_path / "slots", 1)
    with slots.take():
        waiter = start(tmp_path, slots=1, rounds=1, seconds=0)
        time.sleep(0.3)
        waiter.kill()
        waiter.wait()
    with slots.take() as number:
        assert number == 0


@pytest.mark.parametrize(("given", "limit"), [(5, 5), (lambda: 4, 4), (0, 1)])
def test_the_limit_may_be_asked_late_and_travels_as_a_number(tmp_path, given, limit):
    slots = LocalTrainingSlots(tmp_path, given)
    assert slots.limit == limit
    assert pickle.loads(pickle.dumps(slots)) == LocalTrainingSlots(tmp_path, limit)  # noqa: S301


def test_the_present_is_aware_and_in_utc():
    assert SystemClock().now().tzinfo is UTC
