"""No more circuits in training at once than the policy and the cores allow, whoever trains.

Runs of Dagster and a command line train side by side, each a process of its own. They are counted
from outside: the kernel tells which processes hold the home's slots and which wait for one. Fits
last until the test ends them, so that what it counts stands still meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops_assets.flows.plan import config_at
from mlops_assets.launch import dagster_home
from mlops_assets.resources import open_platform
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.ingested_home import ingested_home
from mlops_assets_tests.fakes.simulated import LET_GO, begun, let_go
from mlops_assets_tests.journeys.command import ENVIRONMENT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel's list of locks"),
]
# Longer than any machine takes; a test that is right never waits for so long.
PATIENCE = 300
ALLOWED = 5


@dataclass
class House:
    """A home whose circuits have readings and no model."""

    settings: Settings
    gate: Path
    runs: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def models(self):
        """How many circuits have a model."""
        models = open_platform(self.settings).dev.models
        return sum(bool(models.versions(key)) for key in self.circuits())

    def circuits(self):
        return sorted(config_at(open_platform(self.settings)).circuits)

    def start(self, cores, *words):
        """Start a command on a machine of so many cores."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlops_assets_tests.fakes.simulated", str(cores), *words],
            env={
                **ENVIRONMENT,
                LET_GO: str(self.gate),
                "DAGSTER_HOME": str(dagster_home(self.settings)),
                "MLOPS_HOME": str(self.settings.home),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, cores, plant):
        """Start a run of Dagster that trains a plant."""
        keys = [str(key) for key in self.circuits() if key.plant_id == plant]
        words = ["--select", "training_data,model", "--partition-range", f"{keys[0]}...{keys[-1]}"]
        module = ["-m", "mlops_assets.definitions"]
        run = self.start(cores, "dagster", "asset", "materialize", *module, *words)
        self.runs.append(run)
        return run

    def command(self, cores, plant):
        """Start a command line that trains a plant."""
        return self.start(cores, "mlops", "--json", "train", "--circuit", f"{plant}/*")

    def training(self):
        """Which processes hold a slot, and which wait for one."""
        folder = self.settings.layout.locks / "training"
        slots = {path.stat().st_ino for path in folder.glob("slot-*")}
        turn = folder / "turn"
        turns = {turn.stat().st_ino} if turn.exists() else set()
        holding, waiting = set(), set()
        for line in Path("/proc/locks").read_text().splitlines():
            # Whoever waits is marked by an arrow.
            words = [word for word in line.split()[1:] if word != "->"]
            process, inode = words[3], int(words[4].rpartition(":")[2])
            if words[0] == "FLOCK" and inode in slots | turns:
                (holding if inode in slots else waiting).add(int(process))
        return holding, waiting - holding

    def until(self, so, limit):
        """Wait until what is counted is so; never may more than the limit train."""
        end = time.monotonic() + PATIENCE
        while True:
            holding, waiting = self.training()
            assert len(holding) <= limit
            if so(holding, waiting):
                return holding
            # One that broke never trains: what it said is the reason, not that nobody waits.
            for run in self.runs:
                assert not run.poll(), said(run)
            assert time.monotonic() < end, (holding, waiting)
            time.sleep(0.01)

    def end_one_by_one(self, fits, limit):
        """End every fit; each time another begins, as long as any waits."""
        ended: set[str] = set()
        for left in range(fits, 0, -1):
            there = min(limit, left)
            # Processes alone say too little: the one that ended may hold a slot again at once.
            self.until(
                lambda now, _: len(now) == len(begun(self.gate) - ended) == there,  # noqa: B023
                limit,
            )
            first = min(begun(self.gate) - ended)
            ended.add(first)
            let_go(self.gate, first)
        self.until(lambda now, waiting: not now | waiting, limit)


@pytest.fixture
def house(tmp_path):
    """Plant A has one circuit more than a run has workers, the others have two."""
    names = [f"A/C{number}" for number in range(ALLOWED + 1)]
    names += [f"{plant}/C{number}" for plant in "BCD" for number in range(2)]
    settings = ingested_home(tmp_path, names)
    (tmp_path / "gate").mkdir()
    return House(settings, tmp_path / "gate")


def ended(stack, *processes):
    """Have processes that are still there when the test ends killed."""
    for process in processes:
        stack.enter_context(process)
        stack.callback(process.kill)
    return processes


def said(process):
    """What an ended process printed, and its exit code."""
    out, err = process.communicate(timeout=PATIENCE)
    return out, err, process.returncode


def test_three_runs_and_a_command_line_train_five_at_once_and_never_more(house):
    with ExitStack() as stack:
        *runs, command = ended(
            stack, *(house.run(8, plant) for plant in "ABC"), house.command(8, "D")
        )
        # Plant A has five workers for its six circuits, the others have one for each.
        house.until(lambda now, waiting: (len(now), len(waiting)) == (ALLOWED, 6), ALLOWED)
        house.end_one_by_one(12, ALLOWED)
        for run in runs:
            _, err, code = said(run)
            assert code == 0, err
            assert "the cores bind" not in err
        out, err, _ = said(command)
    assert len(json.loads(out)["metrics"]) == 2, err
    assert "the cores bind" not in err
    assert house.models == 12


def test_where_cores_are_fewer_they_are_the_limit_of_all_and_every_log_says_so(house):
    with ExitStack() as stack:
        run, command = ended(stack, house.run(2, "B"), house.command(2, "D"))
        house.until(lambda now, waiting: (len(now), len(waiting)) == (2, 2), 2)
        house.end_one_by_one(4, 2)
        (_, logged, code), (out, printed, _) = said(run), said(command)
    assert code == 0, logged
    assert len(json.loads(out)["metrics"]) == 2, printed
    line = "2 fits at once over all trainings: the policy allows 5, the cores bind"
    assert line in logged
    assert line in printed
    assert house.models == 4
