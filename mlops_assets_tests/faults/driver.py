"""One home under faults: sends raw files, runs the real ETL in a child, kills it, keeps a history.

The process imports everything once and then forks a child for each run: the child runs the flow
over the adapters of a home as `mlops ingest` does, and dies as that would. Nothing here calls
polars or Delta before a fork, because their threads do not live on in a child.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import random
import shutil
import signal
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import deltalake  # noqa: F401 imported before the fork, used after it
import numpy as np  # noqa: F401 imported before the fork, used after it
import polars as pl  # noqa: F401 imported before the fork, used after it
import pyarrow.ipc  # noqa: F401 imported before the fork, used after it

from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
from mlops_assets.flows.readings import ingest
from mlops_assets.settings import HomeLayout
from mlops_assets.stores.local import upkeep_of
from mlops_assets_tests.fakes.readings import a_circuit, a_config, a_lake
from mlops_assets_tests.faults import checker, failpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.ports import Lake

NOW = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2024, 6, 1, tzinfo=UTC)
CIRCUITS = ("C1", "C2", "C3")
CONFIG = a_config(*(a_circuit(f"P1/{name}") for name in CIRCUITS), features=("rain",))
# A child that takes longer than this hangs, which is a failure of its own.
HANGS_SECONDS = 120
_LOOK_SECONDS = 0.002


class KilledError(Exception):
    """A run that should have ended did not."""


class Driver:
    """A home in ``folder`` and the history of what was done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.home = folder / "home"
        self.history = folder / "history.jsonl"
        self.random = random.Random(seed)
        self.sent = 0
        (self.home / "lake" / "raw").mkdir(parents=True, exist_ok=True)

    def send(self) -> None:
        """Put the next raw file into the landing zone: new hours, changed ones, and odd rows."""
        number = self.sent
        lines, rows, odd = ["plant_id,circuit_id,timestamp,value,rain"], [], []
        hours = [(hour, 0) for hour in range(3 * number, 3 * number + 3)]
        if number:
            changed = sorted(self.random.sample(range(3 * number - 1), 2))
            hours += [(hour, number) for hour in changed]
            hours.append((3 * number - 1, 0))
        for circuit in CIRCUITS:
            for hour, change in hours:
                stamp = (START + timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M")
                level = 100 + 10 * math.sin(2 * math.pi * hour / 24) + int(circuit[1:])
                value = round(level + hour / 1000 + change / 1000, 6)
                lines.append(f"P1,{circuit},{stamp},{value!r},{'' if number < 2 else number}")
                rows.append([circuit, stamp, value])
            stamp = (START + timedelta(hours=3 * number)).strftime("%Y-%m-%d")
            odd.append([len(lines) + 1, "off_grid"])
            lines.append(f"P1,{circuit},{stamp} 00:07,1.0,")
        name = f"{number:06}.csv"
        data = ("\n".join(lines) + "\n").encode()
        hidden = self.home / "lake" / "raw" / f".{name}"
        hidden.write_bytes(data)
        hidden.rename(hidden.with_name(name))
        self.sent += 1
        digest = hashlib.sha256(data).hexdigest()
        self.tell(event="sent", file=name, sha256=digest, rows=rows, odd=odd)

    def run(
        self, before: Callable[[], None] = lambda: None, *, kill_after: float | None = None
    ) -> str:
        """Run one slice in a child.

        Returns:
            ``done``, ``killed``, or the line that it failed with.
        """
        self.tell(event="started")
        answer = self.home.with_name("answer")
        answer.write_bytes(b"")
        child = os.fork()
        if child == 0:
            _child(self.home, answer, before)
        ended = _wait(child, kill_after)
        said = "killed" if ended == -signal.SIGKILL else answer.read_text() or f"exit {ended}"
        self.tell(event="done" if said == "done" else "killed", said=said)
        return said

    def settle(self) -> None:
        """Run until everything is acknowledged, and let the checker judge."""
        if (said := self.run()) != "done":
            raise KilledError(f"a run without a fault ended with: {said}")
        self.check(settled=True)

    def check(self, *, settled: bool = False) -> None:
        """Let the checker judge, in a child of its own."""
        answer = self.home.with_name("verdict")
        child = os.fork()
        if child == 0:
            try:
                problems = checker.judge(self.history, self.home, settled=settled)
            except BaseException:  # noqa: BLE001 told to the parent
                problems = [traceback.format_exc()]
            answer.write_text("\n".join(problems))
            os._exit(0)
        ended = _wait(child, None)
        found = answer.read_text()
        if ended or found:
            raise AssertionError(f"the checker ended with {ended} and found:\n{found}")

    def tell(self, **event: object) -> None:
        with self.history.open("a") as file:
            file.write(json.dumps(event) + "\n")

    def copy(self, folder: Path) -> Driver:
        """This home and history under another name."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.home.parent, folder)
        made = Driver(folder, 0)
        made.random.setstate(self.random.getstate())
        made.sent = self.sent
        return made

    def steps(self) -> list[str]:
        """Run one slice to its end; returns its failpoints, each with its number."""
        log = self.home.with_name("steps")
        log.write_text("")

        def listen() -> None:
            def heard(name: str) -> None:
                with log.open("a") as file:
                    file.write(name + "\n")

            failpoint.listen(self.home, heard)

        assert self.run(listen) == "done"
        seen: dict[str, int] = {}
        points = []
        for name in log.read_text().splitlines():
            seen[name] = seen.get(name, 0) + 1
            points.append(f"{name}:{seen[name]}")
        return points


def lake_of(home: Path) -> Lake:
    """The lake of a home, with what an ETL slice touches."""
    layout = HomeLayout(home)
    return a_lake(
        landing=LocalLandingZone(layout.raw, seen=layout.ingested / "seen.json"),
        journal=LocalIngestJournal(layout.ingested),
        readings=LocalReadingsTable(layout.readings),
        quarantine=LocalRowLog(layout.quarantine, "quarantine"),
        restatements=LocalRowLog(layout.restatements, "restatements"),
        upkeep=upkeep_of(layout),
    )


def arm(home: Path, number: int, how: int) -> Callable[[], None]:
    """Arm the library of `disk.c`, if it is loaded, in the child that calls this."""
    return lambda: ctypes.CDLL(None).disk_arm(str(home).encode(), number, how)


def _child(home: Path, answer: Path, before: Callable[[], None]) -> None:
    """Run the slice, say how it ended, and leave without any of the parent's clean-up."""
    said = "done"
    try:
        lake = lake_of(home)
        before()
        ends = dict.fromkeys(CONFIG.circuits, NOW)
        ingest(lake, CONFIG, now=NOW, trained_until=lambda: ends)
    except BaseException as error:  # noqa: BLE001 told to the parent
        from mlops_assets.domain.errors import MlopsError

        said = str(error) if isinstance(error, MlopsError) else traceback.format_exc()
    if armed := getattr(ctypes.CDLL(None), "disk_arm", None):
        armed(b"", 0, 0)
    answer.write_text(said)
    os._exit(0)


def _wait(child: int, kill_after: float | None) -> int:
    """Wait for a child, or kill it after so many seconds; returns how it ended."""
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    # Counted in looks, not by the clock: this process may be stopped itself, and that is no hang.
    for _ in range(int(HANGS_SECONDS / _LOOK_SECONDS)):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_LOOK_SECONDS)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise KilledError(f"a run hung for {HANGS_SECONDS} s")
