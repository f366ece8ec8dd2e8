"""Leaves to cosmic-ray what mutmut passes over: constants, defaults, decorators and properties.

``python -m mlops_assets_tests.mutants SESSION`` takes out of a cosmic-ray session, before it runs,
every mutation inside a function that mutmut mutates too; `make mutants` runs both. Releases are
small and decide everything else, so they stay whole and both tools try them.
"""

from __future__ import annotations

import ast
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

WHOLE = "mlops_assets/domain/release.py"
# Decorated functions that mutmut mutates nevertheless.
KNOWN = {"classmethod", "staticmethod"}


def lines_of_mutmut(source: str) -> frozenset[int]:
    """Return the numbers of the lines inside functions that mutmut mutates."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and all(
            isinstance(each, ast.Name) and each.id in KNOWN for each in node.decorator_list
        ):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(found)


def reduce_session(session: Path) -> tuple[int, int]:
    """Take out what mutmut does; return how many mutations were there and how many are left."""
    with closing(sqlite3.connect(session)) as store, store:
        rows = store.execute(
            "SELECT job_id, module_path, start_pos_row FROM mutation_specs"
        ).fetchall()
        passed_over = {
            module: lines_of_mutmut(Path(module).read_text(encoding="utf-8"))
            for module in {module for _, module, _ in rows} - {WHOLE}
        }
        gone = [(job,) for job, module, row in rows if row in passed_over.get(module, ())]
        store.executemany("DELETE FROM mutation_specs WHERE job_id = ?", gone)
        store.executemany("DELETE FROM work_items WHERE job_id = ?", gone)
    return len(rows), len(rows) - len(gone)


if __name__ == "__main__":
    before, after = reduce_session(Path(sys.argv[1]))
    sys.stdout.write(f"{after} of {before} mutations are left to cosmic-ray\n")
