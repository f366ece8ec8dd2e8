"""No more circuits in training at once than the policy allows, over every process of a home."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import accumulate

import pytest

from mlops_assets.adapters.local.slots import LocalTrainingSlots
from mlops_assets.engines import processes
from mlops_assets.engines.processes import ProcessEngine
from mlops_assets_tests.engines.test_processes import job
from mlops_assets_tests.fakes.engine import TOGETHER, TRACE

LIMIT, RUNS, FITS = TOGETHER, 4, 4

# One training of its own process, as a run or a command line is, on a machine of three cores.
RUN = """
import sys
from pathlib import Path
from mlops_assets_tests.engines.test_parallel import training
print(training(Path(sys.argv[1]), sys.argv[2]))
"""


def training(folder, name):
    """Fit some circuits; returns how many gave a model."""
    processes.cores = lambda: 3
    slots = LocalTrainingSlots(folder, LIMIT)
    engine = ProcessEngine(LIMIT, slots, fit_function="mlops_assets_tests.fakes.engine:traced_fit")
    jobs = [job(f"{name}-{number}") for number in range(FITS)]
    return sum(not isinstance(result, str) for _, result in engine.fit(jobs))


def in_training(trace):
    """How many fits ran at each instant at which one began or ended."""
    events = sorted(
        tuple(int(word) for word in line.split()) for line in trace.read_text().splitlines()
    )
    return list(accumulate(change for _, change in events))


@pytest.mark.skipif(sys.platform != "linux", reason="one monotonic clock for all processes")
def test_three_runs_and_a_command_line_train_five_at_once_and_never_more(tmp_path):
    trace = tmp_path / "trace"
    environment = {
        **os.environ,
        TRACE: str(trace),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path), f"RUN{number}"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(RUNS)
    ]
    said = [run.communicate(timeout=300)[0].strip() for run in runs]
    assert said == [str(FITS)] * RUNS
    counts = in_training(trace)
    assert len(counts) == 2 * RUNS * FITS
    assert max(counts) == LIMIT
    assert counts[-1] == 0
    assert not (tmp_path / f"slot-{LIMIT}").exists()
