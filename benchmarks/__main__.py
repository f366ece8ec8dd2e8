"""Measures what is named, or everything: ``python -m benchmarks [NAME...] [--quick] [--json]``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from typing import Any

NAMES = (
    "accuracy",
    "apply",
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
    """Print the figures as they come; 0 when every one holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON list on stdout")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(NAMES)}")
    documents: list[dict[str, Any]] = []
    for name in chosen.names or NAMES:
        documents += _measured(name, quick=chosen.quick, table=not chosen.json)
    if chosen.json:
        print(json.dumps(documents, indent=1, default=str))
    return 0 if all(document["holds"] for document in documents) else 1


def _measured(name: str, *, quick: bool, table: bool) -> list[dict[str, Any]]:
    """Measure one; what fails is a figure that does not hold, and the others are measured."""
    try:
        figures = importlib.import_module(f"benchmarks.{name}").measure(quick=quick)
    except Exception as error:  # noqa: BLE001 hours of other figures are not lost with this one
        traceback.print_exc()
        if table:
            print(f"{name:44} failed: {type(error).__name__}: {error}", flush=True)
        return [{"name": name, "failed": f"{type(error).__name__}: {error}", "holds": False}]
    for figure in figures if table else ():
        mark = "holds" if figure.holds else "MISSED"
        print(
            f"{figure.name:44} {figure.figure:>10} {figure.unit:6} limit {figure.limit:<8} {mark}",
            flush=True,
        )
    return [figure.document() for figure in figures]


if __name__ == "__main__":
    sys.exit(main())
