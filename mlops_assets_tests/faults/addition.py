"""Kill -9 at every named step of an addition: the next ingest ends as if nothing had happened.

Part of the fault programme, because only a process that has used no polars yet may fork.
"""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

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


def additions(folder: Path, seed: int, *, short: bool) -> str:
    """Kill at each step, once; short at every third; run again; compare with a whole run."""
    driver = Driver(folder / "begun", seed)
    for _ in range(3):
        driver.send()
        _expect(ingested(driver.home, SOME) == 0, "a slice before the addition was killed")
    points = driver.copy(folder / "points")
    log = folder / "steps"
    log.write_text("")

    def heard(name: str) -> None:
        with log.open("a") as file:
            file.write(f"{name}\n")

    ingested(points.home, CONFIG, partial(failpoint.listen, points.home, heard))
    wanted = state(points.home)
    _expect(wanted.endswith("\n9"), "the late circuit lacks some of its hours")
    steps = list(dict.fromkeys(log.read_text().splitlines()))
    _expect(len(steps) > 10, f"only {len(steps)} steps were heard of")
    chosen = steps[::3] if short else steps
    for step in chosen:
        shutil.rmtree(folder / "victim", ignore_errors=True)
        victim = driver.copy(folder / "victim")
        kill = partial(failpoint.kill_at, victim.home, f"{step}:1")
        _expect(ingested(victim.home, CONFIG, kill) == signal.SIGKILL, f"{step} was not reached")
        _expect(ingested(victim.home, CONFIG) == 0, f"killed at {step}: it did not end")
        _expect(state(victim.home) == wanted, f"killed at {step}: the tables differ")
    return f"{len(chosen)} kills of an addition: nothing lost, nothing doubled"


def _expect(held: bool, said: str) -> None:  # noqa: FBT001 as an assertion has it
    if not held:
        raise AssertionError(said)
