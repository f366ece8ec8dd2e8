"""Checks that every asset, command, file and test that docs/architecture.md names exists.

The page holds one table whose columns are *Box or arrow*, *Asset*, *Command*, *File*, *Test*. Names
stand in backticks; a dash means that there is none. Run by ``make check``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
COLUMNS = ("Box or arrow", "Asset", "Command", "File", "Test")
BOXES = (
    "raw files",
    "SQL tables",
    "ETL",
    "Delta table",
    "config",
    "change detection",
    "training data",
    "training",
    "dev registry",
    "build artifact",
    "registry stage",
    "test stage",
    "production stage",
    "daily inference",
    "predictions",
    "monitoring",
    "rollback",
)


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the table, header and rule left out."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = [row for row in cells if len(row) == len(COLUMNS)]
    return [row for row in table if tuple(row) != COLUMNS and not set("".join(row)) <= set("-: ")]


def names(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def missing_test(name: str) -> bool:
    """Whether ``path::test`` is not a test function in that file."""
    path, _, test = name.partition("::")
    file = ROOT / path
    return not (
        test and file.is_file() and re.search(rf"def {re.escape(test)}\b", file.read_text())
    )


def problems() -> list[str]:
    """Return one line for each name that leads nowhere."""
    import click

    from mlops_assets.cli import main
    from mlops_assets.definitions import defs

    assets = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    table = rows(PAGE.read_text(encoding="utf-8"))
    boxes = {row[0] for row in table}
    found = [f"no row for the box `{box}`" for box in BOXES if box not in boxes]
    for box, asset, command, file, test in table:
        found += [f"{box}: no asset `{name}`" for name in names(asset) if name not in assets]
        for name in names(command):
            node: click.Command | None = main
            for word in name.removeprefix("mlops ").split():
                node = node.commands.get(word) if isinstance(node, click.Group) else None
            if node is None:
                found.append(f"{box}: no command `{name}`")
        found += [f"{box}: no file `{name}`" for name in names(file) if not (ROOT / name).exists()]
        found += [f"{box}: no test `{name}`" for name in names(test) if missing_test(name)]
    return found


if __name__ == "__main__":
    lines = problems()
    for line in lines:
        sys.stderr.write(f"docs/architecture.md: {line}\n")
    sys.exit(1 if lines else 0)
