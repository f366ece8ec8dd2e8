"""The parts of the fault programme; each raises where a home did not come through."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from mlops_assets_tests.faults import failpoint
from mlops_assets_tests.faults.addition import additions
from mlops_assets_tests.faults.driver import Driver, KilledError, arm

KILLS = 500
KILL = -1
_SOURCE = Path(__file__).with_name("disk.c")


def failpoints(folder: Path, seed: int, *, short: bool) -> str:
    """Kill at every named step, once each; run again; judge."""
    begun = Driver(folder / "begun", seed)
    reached: dict[str, None] = {}
    killed = 0
    # The first slice makes the tables, the second changes rows, the third adds a column.
    for _ in range(3):
        begun.send()
        points = begun.copy(folder / "points").steps()
        names = [point for point in points if not (short and point.rpartition(":")[0] in reached)]
        for point in names:
            victim = begun.copy(folder / "victim")
            said = victim.run(partial(failpoint.kill_at, victim.home, point))
            if said != "killed":
                raise KilledError(f"{point} was not reached: {said}")
            if not short:
                victim.check()
            killed += 1
            try:
                victim.settle()
            except AssertionError as error:
                raise AssertionError(f"killed at {point}: {error}") from error
        reached |= dict.fromkeys(point.rpartition(":")[0] for point in points)
        begun.settle()
    return f"{killed} kills at {len(reached)} named steps: nothing lost, nothing doubled"


def moments(folder: Path, seed: int, *, short: bool) -> str:
    """Kill at random moments, files arriving on the way."""
    kills, every = (10, 5) if short else (KILLS, 25)
    driver = Driver(folder, seed)
    moment = random.Random(seed)
    ended: Counter[str] = Counter()
    longest = 0.5
    while ended["killed"] < kills:
        driver.send()
        said = driver.run(kill_after=moment.uniform(0.0, longest))
        ended[said] += 1
        if set(ended) - {"killed", "done"}:
            raise AssertionError(f"a run that nobody disturbed ended with: {said}")
        if said == "done" or moment.random() < 0.3:
            started = time.monotonic()
            if driver.run() != "done":
                raise AssertionError("a run after a kill did not end")
            longest = 0.5 * longest + 0.5 * 1.2 * (time.monotonic() - started)
        if ended["killed"] % every == 0:
            driver.settle()
    driver.settle()
    return (
        f"{ended['killed']} kills, {ended['done']} runs came through before theirs, "
        f"{driver.sent} files: nothing lost, nothing doubled"
    )


def calls(folder: Path, seed: int, *, short: bool) -> str:
    """Kill before, and fail from, each call that changes the disk, in a process of its own."""
    library = folder / "disk.so"
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise FileNotFoundError("no C compiler: install gcc, or name one in CC")
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(words, check=True)
    script = (
        "import sys; from pathlib import Path; from mlops_assets_tests.faults import programme; "
        f"print(programme.armed_calls(Path({str(folder)!r}), {seed}, short={short}))"
    )
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if found.returncode:
        raise AssertionError(f"seed {seed}: the armed process ended with {found.returncode}")
    return found.stdout.strip()


def armed_calls(folder: Path, seed: int, *, short: bool) -> str:
    """Do what `calls` says, where the library is loaded."""
    begun = Driver(folder / "begun", seed)
    done: Counter[str] = Counter()
    for _ in range(2):
        begun.send()
        last = _calls_of(begun.copy(folder / "counted"))
        numbers = range(1, last + 1)
        if short:
            numbers = sorted(random.Random(seed).sample(numbers, 4))
        for number in numbers:
            for name, how in (("kill", KILL), ("EIO", errno.EIO), ("ENOSPC", errno.ENOSPC)):
                victim = begun.copy(folder / "victim")
                said = victim.run(arm(victim.home, number, how))
                if "Traceback" in said or "\n" in said:
                    raise AssertionError(f"{name} at call {number} was not explained: {said}")
                done[f"{name}, {'done' if said == 'done' else 'stopped'}"] += 1
                try:
                    victim.settle()
                except (AssertionError, KilledError) as error:
                    raise AssertionError(f"{name} at call {number}: {said}: {error}") from error
        begun.settle()
    told = ", ".join(f"{count} x {name}" for name, count in sorted(done.items()))
    return f"{told}: nothing lost, nothing doubled, each one line"


def _calls_of(driver: Driver) -> int:
    """How many calls of one slice change the disk."""
    import ctypes

    count = driver.home.with_name("calls")

    def counted() -> None:
        arm(driver.home, 0, 0)()
        library = ctypes.CDLL(None)
        # What comes after the last step is told by nobody; it is a flush.
        failpoint.listen(driver.home, lambda _: count.write_text(str(library.disk_calls() + 1)))

    assert driver.run(counted) == "done"
    return int(count.read_text())


def torn(folder: Path, seed: int, *, short: bool) -> str:
    """Damage each file of each table's newest commit as a power cut can, newest file first."""
    whole = Driver(folder / "whole", seed)
    for _ in range(3):
        whole.send()
        whole.settle()
    damages = {
        "emptied": lambda data: b"",
        "cut": lambda data: data[: len(data) // 2],
        "cut at its last line": lambda data: data[: data.rfind(b"\n") + 1],
        "zeroed": lambda data: bytes(len(data)),
    }
    done = 0
    for table in ("readings", "quarantine", "restatements"):
        for place in _newest_files(whole.home / "lake" / table):
            for name, damage in list(damages.items())[:: 3 if short else 1]:
                victim = whole.copy(folder / "victim")
                file = victim.home / place.relative_to(whole.home)
                data = file.read_bytes()
                if damage(data) == data:
                    continue
                file.write_bytes(damage(data))
                said = victim.run()
                if "`mv " not in said or "\n" in said:
                    raise AssertionError(f"{file.name} {name} was not refused by name: {said}")
                subprocess.run(said.split("`")[1], shell=True, check=True)  # noqa: S602 as told
                try:
                    victim.settle()
                except AssertionError as error:
                    raise AssertionError(f"{table}: {file.name} {name}: {error}") from error
                done += 1
    return f"{done} damages refused by name; after the command told, every acknowledged row is back"


def _newest_files(table: Path) -> list[Path]:
    commit = max((table / "_delta_log").glob("0*.json"))
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    return [commit, *(table / line["add"]["path"] for line in lines if "add" in line)]


def writers(folder: Path, seed: int, *, short: bool) -> str:
    """Processes that merge into the same days at once: every merge is there, each row once."""
    processes, merges = (4, 10) if short else (8, 50)
    started = time.monotonic()
    words = [sys.executable, str(Path(__file__).with_name("writer.py")), str(folder / "t")]
    running = [
        subprocess.Popen([*words, str(number), str(merges), str(seed)], stdout=subprocess.PIPE)
        for number in range(processes)
    ]
    told = [process.communicate()[0] for process in running]
    seconds = time.monotonic() - started
    if any(process.returncode for process in running):
        raise AssertionError(f"writers failed: {[process.returncode for process in running]}")
    lost = [json.loads(each)["retries"] for each in told]
    problem = _writers_problem(folder / "t", processes, merges)
    if problem:
        raise AssertionError(problem)
    return (
        f"{processes * merges} of {processes * merges} merges in {seconds:.1f} s, "
        f"{sum(lost)} retries, each row once, no update lost"
    )


def _writers_problem(path: Path, processes: int, merges: int) -> str:
    import polars as pl

    rows = pl.read_delta(str(path))
    own = rows.filter(pl.col("circuit_id") != "SHARED")
    shared = rows.filter(pl.col("circuit_id") == "SHARED")
    if not rows.select("plant_id", "circuit_id", "timestamp").is_unique().all():
        return "some keys are there twice"
    if len(own) != processes * merges:
        return f"{len(own)} rows of {processes * merges}"
    # Each writer adds a feature of its own to the shared rows: an update that was lost shows there.
    for number in range(processes):
        if (count := shared[f"w{number}"].count()) != merges:
            return f"writer {number} finds {count} of its {merges} updates"
    return ""


PARTS = {
    "failpoints": failpoints,
    "moments": moments,
    "calls": calls,
    "torn": torn,
    "writers": writers,
    "additions": additions,
}
