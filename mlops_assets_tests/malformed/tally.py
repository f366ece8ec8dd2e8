"""What a programme of malformed files found, kind by kind, and whether the limits hold."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

P99_SECONDS = 0.05
MEMORY_MIB = 512


@dataclass
class Tally:
    """Counts by kind and outcome, seconds of each file, and every complaint."""

    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    stderr: str = ""

    @contextmanager
    def timed(self):
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)

    def count(self, kind, outcome):
        self.outcomes[kind, outcome] = self.outcomes.get((kind, outcome), 0) + 1

    def check_line(self, what, line):
        """One clear line that begins with the file."""
        if "\n" in line or not line.startswith(what) or len(line) > 700:
            self.complaints.append(f"{what}: no clear line: {line[:200]!r}")
        if "Traceback" in line or "panicked" in line:
            self.complaints.append(f"{what}: machine talk: {line[:200]!r}")

    def p99(self, seconds):
        return sorted(seconds)[int(len(seconds) * 0.99)]

    def holds(self):
        """Whether every limit is held, times in the processor's, which others do not lengthen."""
        quiet = not self.complaints and not self.stderr
        return quiet and self.p99(self.cpu) < P99_SECONDS and peak_mib() < MEMORY_MIB

    def table(self):
        names = sorted({outcome for _, outcome in self.outcomes})
        kinds = list(dict.fromkeys(kind for kind, _ in self.outcomes))
        width = max(len(kind) for kind in kinds)
        lines = [" ".join([" " * width, *(f"{name:>12}" for name in names)])]
        for kind in kinds:
            cells = (f"{self.outcomes.get((kind, name), 0):>12}" for name in names)
            lines.append(" ".join([kind.ljust(width), *cells]))
        wall, cpu = self.p99(self.wall) * 1000, self.p99(self.cpu) * 1000
        slowest = max(self.cpu) * 1000
        lines.append(
            f"files {len(self.wall)}, p99 {cpu:.1f} ms CPU ({wall:.1f} ms wall), "
            f"slowest {slowest:.0f} ms CPU"
        )
        lines.append(
            f"memory at most {peak_mib()} MiB, bytes on stderr {len(self.stderr)}, "
            f"complaints {len(self.complaints)}"
        )
        return lines


def peak_mib() -> int:
    """The most memory this process ever held, MiB.

    Linux counts the parent's memory into the ``ru_maxrss`` of a child that it started by vfork,
    so a large test process would be charged to this one; ``VmHWM`` begins anew with the programme.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@contextmanager
def stderr_of_process(tally: Tally):
    """Catch what anything in this process writes to stderr, native code included."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            tally.stderr += file.read().decode(errors="replace")
