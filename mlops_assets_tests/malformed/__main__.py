"""Malformed raw files, config and models by the thousand, each in its own process.

``python -m mlops_assets_tests.malformed [raw|config|model] [--count N] [--seed S]``, by default
10,000 of each with seed 20240601; ``make malformed`` runs it. It takes about ten minutes of one
core. The exit code is 0 when every file gave one clear line or was read, nothing was written to
stderr, 99 of 100 files took less than 50 ms of processor time and the memory stayed under 512 MiB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from mlops_assets_tests.malformed.programme import PROGRAMMES

SEED = 20240601


def main() -> int:
    parser = argparse.ArgumentParser(prog="mlops_assets_tests.malformed", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMMES))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    names = given.names or list(PROGRAMMES)
    if len(names) > 1:
        same = [f"--count={given.count}", f"--seed={given.seed}"]
        codes = {
            name: subprocess.run(
                [sys.executable, "-m", "mlops_assets_tests.malformed", name, *same],
                check=False,
            ).returncode
            for name in names
        }
        for name, code in codes.items():
            if code < 0:
                print(f"malformed {name} was ended by signal {-code}")
        return 1 if any(codes.values()) else 0
    [name] = names
    tally = PROGRAMMES[name](given.count, given.seed)
    print(f"malformed {name}, seed {given.seed}")
    print("\n".join(tally.table()))
    for complaint in tally.complaints[:20]:
        print(complaint)
    if tally.stderr:
        print(f"stderr began with: {tally.stderr[:500]!r}")
    print("holds" if tally.holds() else "MISSED")
    return 0 if tally.holds() else 1


if __name__ == "__main__":
    sys.exit(main())
