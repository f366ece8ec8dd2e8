"""The fault programme: ``python -m mlops_assets_tests.faults [NAME...] [--short] [--seed N]``.

``failpoints``  kill -9 at every named step of a first, a second and a later slice
``moments``     kill -9 at 500 random moments
``calls``       kill -9 before every call that changes the disk, and EIO and ENOSPC from it on
``torn``        the newest commit of each table, file by file, emptied, cut or zeroed
``additions``   kill -9 at every step that gives a circuit named later its history
``writers``     8 processes with 50 merges each, all on the same days

After each fault the ETL runs again, and `checker.py`, which knows nothing of the platform, judges
the home by the history of what was sent and acknowledged. ``--short`` is the part that every change
runs. ``calls`` compiles `disk.c` with the C compiler. Needs some 20 minutes of one core in full.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from mlops_assets_tests.faults import programme

SEED = 20240628


def main() -> int:
    """Run what is named, or everything; 0 when nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets_tests.faults")
    parser.add_argument("names", nargs="*", choices=[[], *programme.PARTS], metavar="NAME")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    chosen = parser.parse_args()
    for name in chosen.names or programme.PARTS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            said = programme.PARTS[name](Path(folder), chosen.seed, short=chosen.short)
        print(
            f"{name}: {said} ({time.monotonic() - started:.0f} s, seed {chosen.seed})", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
