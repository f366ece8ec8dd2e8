"""One call in a fresh interpreter, and what it cost: wall time, CPU time, peak memory.

The peak is `VmHWM`, the high-water mark of the process itself: the figure of `getrusage` would be
that of whoever started it, which it inherits across a vfork.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Measured:
    """What a call answered, and what its process took; ``cpu`` has its children's time in it."""

    answer: Any
    seconds: float
    cpu: float
    peak_megabytes: float


def measured(name: str, *arguments: object) -> Measured:
    """Call ``module:function`` with JSON arguments in a process of its own.

    Raises:
        RuntimeError: it failed; the last lines of what it said are in the message.
    """
    began = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.process", name, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if run.returncode:
        raise RuntimeError(f"{name}{arguments}: {run.stderr[-2000:]}")
    said = json.loads(run.stdout.splitlines()[-1])
    return Measured(said["answer"], seconds, said["cpu"], said["peak"])


def peak_megabytes() -> float:
    """Return the most memory that this process ever held."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    return sum(
        each.ru_utime + each.ru_stime
        for each in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


class Clock:
    """Wall and CPU time spent inside functions of the platform, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, dict[str, float]] = {}

    def watch(self, owner: object, function: str, name: str) -> None:
        """Count the calls of a function from now on; calls within calls count once."""
        inner: Callable[..., Any] = getattr(owner, function)
        found = self.spent.setdefault(name, {"calls": 0, "seconds": 0.0, "cpu": 0.0})
        depth = 0

        @wraps(inner)
        def counted(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 as the function has it
            nonlocal depth
            if depth:
                return inner(*arguments, **named)
            depth = 1
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return inner(*arguments, **named)
            finally:
                depth = 0
                found["calls"] += 1
                found["seconds"] += time.perf_counter() - wall
                found["cpu"] += time.process_time() - cpu

        setattr(owner, function, counted)

    def rounded(self) -> dict[str, dict[str, float]]:
        """Return what was counted, in milliseconds' precision."""
        return {
            name: {each: round(value, 3) for each, value in found.items()}
            for name, found in self.spent.items()
        }


def main(name: str, arguments: str) -> None:
    """Call, and print one line of JSON."""
    module, _, function = name.partition(":")
    answer = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    said = {"answer": answer, "cpu": cpu_seconds(), "peak": peak_megabytes()}
    print(json.dumps(said, default=str))
    sys.stdout.flush()
    os._exit(0)  # threads of libraries have nothing left to do


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
