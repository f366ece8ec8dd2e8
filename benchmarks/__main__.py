"""Measures what is named, or everything: ``python -m benchmarks [NAME...] [--quick] [--json]``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

NAMES = (
    "accuracy",
    "audit",
    "contracts",
    "daily_batch",
    "events",
    "forecast_reads",
    "growth",
    "import_time",
    "real_readings",
    "replay",
    "rollback",
    "slices",
    "training",
    "training_time",
)


def main() -> int:
    """Print the figures; 0 when every one holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON list on stdout")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(NAMES)}")
    figures = []
    for name in chosen.names or NAMES:
        figures += importlib.import_module(f"benchmarks.{name}").measure(quick=chosen.quick)
    if chosen.json:
        print(json.dumps([figure.document() for figure in figures], indent=1, default=str))
    else:
        for figure in figures:
            mark = "holds" if figure.holds else "MISSED"
            print(
                f"{figure.name:32} {figure.figure:>10} {figure.unit:4} limit {figure.limit}  {mark}"
            )
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
