"""Kill -9 anywhere, run again: the product state is that of a run that was never killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from mlops_assets_tests.journeys.command import mlops, mlops_process
from mlops_assets_tests.journeys.product_state import product_state

SEED = 20240628
KILLS = int(os.environ.get("MLOPS_KILLS", "2"))
DEMO = ("demo", "--circuits", "2", "--effort", "fast")


def kill(process) -> None:
    """Kill the process with everything it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def initialised_home(folder: Path) -> Path:
    """A home of which no more than its beginning was made, so that both runs share its commits."""
    home = folder / "begun"
    process = mlops_process(home, *DEMO)
    log = home / "ledger" / "log.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        assert time.monotonic() < deadline, "the demo did not begin"
        time.sleep(0.01)
    kill(process)
    return home


@pytest.mark.slow
def test_a_killed_demo_that_is_run_again_ends_in_the_same_product_state(tmp_path):
    begun = initialised_home(tmp_path)
    whole = Path(shutil.copytree(begun, tmp_path / "whole"))
    started = time.monotonic()
    mlops(whole, *DEMO)
    seconds = time.monotonic() - started
    expected = product_state(whole)
    moments = random.Random(SEED)
    print(f"seed {SEED}, {KILLS} kills within {seconds:.1f} s")
    for number in range(KILLS):
        home = Path(shutil.copytree(begun, tmp_path / f"killed-{number}"))
        process = mlops_process(home, *DEMO)
        moment = moments.uniform(0.1, 0.95) * seconds
        time.sleep(moment)
        kill(process)
        mlops(home, *DEMO)
        assert product_state(home) == expected, f"killed after {moment:.2f} s"
        assert mlops(home, "verify")["ok"]
        shutil.rmtree(home)


def test_a_demo_that_is_run_again_changes_nothing(demo_home):
    before = product_state(demo_home)
    mlops(demo_home, "demo", "--circuits", "3", "--effort", "fast")
    assert product_state(demo_home) == before


def test_every_command_run_twice_changes_nothing(demo_home):
    before = product_state(demo_home)
    assert mlops(demo_home, "ingest")["rows_inserted"] == 0
    assert mlops(demo_home, "train")["trained"] == []
    assert mlops(demo_home, "train")["release"] is None
    assert mlops(demo_home, "predict")["rows"] == 0
    assert product_state(demo_home) == before
