"""Kills the process at a named step: ``MLOPS_FAILPOINT=NAME@FOLDER:N python -m ... WORDS``.

The platform says the name of each step between two changes of the disk to Python's audit hooks.
A failpoint is that name with the folder in the home where it is reached, such as
``file.written@lake/ingested/intents``; N counts how often it was reached. As a module this runs
``mlops WORDS`` with the failpoint of the environment.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_VARYING = re.compile(r"[0-9a-f]{12,}|\d{4}-\d\d-\d\d|\d+")


def name_of(step: str, path: str, home: Path) -> str:
    """The failpoint of a step: its name and the folder it is reached in, without ids."""
    place = Path(path)
    inside = place.relative_to(home) if place.is_relative_to(home) else Path("elsewhere") / "x"
    folder = inside if step.startswith(("delta.", "folder.made")) else inside.parent
    return f"{step}@{_VARYING.sub('*', folder.as_posix())}"


def listen(home: Path, heard: Callable[[str], None]) -> None:
    """Call ``heard`` at each step of this process from now on."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "mlops_assets.step":
            heard(name_of(str(arguments[0]), str(arguments[1]), home))

    sys.addaudithook(hook)


def kill_at(home: Path, failpoint: str) -> None:
    """Kill this process at the N-th time that it reaches NAME, told as ``NAME:N``."""
    name, _, number = failpoint.rpartition(":")
    reached: Counter[str] = Counter()

    def heard(step: str) -> None:
        reached[step] += 1
        if step == name and reached[step] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    listen(home, heard)


def main() -> None:
    """Run the command line under the failpoint that the environment names."""
    from mlops_assets.cli import main as command

    home = Path(sys.argv[sys.argv.index("--home") + 1])
    kill_at(home, os.environ["MLOPS_FAILPOINT"])
    command()


if __name__ == "__main__":
    main()
