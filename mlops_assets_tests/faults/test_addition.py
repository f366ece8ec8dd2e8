"""Kill -9 at every named step of an addition: the next ingest ends as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from dataclasses import replace
from functools import partial

from mlops_assets.domain.quarantine_log import standing
from mlops_assets.domain.readings import KEY
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.faults import failpoint
from mlops_assets_tests.faults.driver import CONFIG, NOW, Driver, lake_of

LATE = max(CONFIG.circuits)
SOME = replace(
    CONFIG,
    circuits={key: each for key, each in CONFIG.circuits.items() if key != LATE},
    feature_columns=(),
)


def in_child(work):
    """Do work in a process of its own; returns the signal that ended it, 0 for none.

    The parent must never touch a table: what reads them does not survive a fork.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 told to the parent
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def ingested(home, config, before=lambda: None):
    def work():
        before()
        ingest(lake_of(home), config, now=NOW)

    return in_child(work)


def state(home):
    """All that must be the same, as text."""
    told = home.with_name("state")

    def work():
        lake = lake_of(home)
        held = standing(lake.quarantine.read())
        parts = [
            lake.readings.read().drop("ingested_at").rows(),
            held.select(*KEY, "value", "reason", "file", "row").rows(),
            [record.addition for record in lake.journal.history()],
            lake.journal.pending(),
            sorted(lake.journal.catalogue().circuits),
            lake.readings.read(circuits=[LATE]).height,
        ]
        told.write_text("\n".join(map(repr, parts)))

    assert in_child(work) == 0
    return told.read_text()


def test_nothing_is_lost_or_doubled_wherever_an_addition_is_killed(tmp_path):
    driver = Driver(tmp_path / "begun", seed=11)
    for _ in range(3):
        driver.send()
        assert ingested(driver.home, SOME) == 0
    points = driver.copy(tmp_path / "points")
    log = tmp_path / "steps"
    log.write_text("")

    def heard(name):
        with log.open("a") as file:
            file.write(f"{name}\n")

    assert ingested(points.home, CONFIG, partial(failpoint.listen, points.home, heard)) == 0
    wanted = state(points.home)
    assert wanted.endswith("\n9"), "the late circuit has all of its hours"
    steps = list(dict.fromkeys(log.read_text().splitlines()))
    assert len(steps) > 10
    for step in steps:
        shutil.rmtree(tmp_path / "victim", ignore_errors=True)
        victim = driver.copy(tmp_path / "victim")
        kill = partial(failpoint.kill_at, victim.home, f"{step}:1")
        assert ingested(victim.home, CONFIG, kill) == signal.SIGKILL, step
        assert ingested(victim.home, CONFIG) == 0
        assert state(victim.home) == wanted, step
