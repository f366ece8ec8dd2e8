"""Commands about readings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import circuit_option, explains
from mlops_assets.cli.session import Refused, table

if TYPE_CHECKING:
    from mlops_assets.cli.session import Session


@click.command()
@click.option(
    "--raw",
    type=click.Path(path_type=Path),
    help="A folder of raw files, instead of the landing zone.",
)
@explains
def ingest(session: Session, raw: Path | None) -> None:
    """Merge one slice of new raw files and rows into the readings table."""
    from mlops_assets.flows.historian import unreachable
    from mlops_assets.launch import ingest as launch

    report = launch(session.settings, raw, session.progress)
    document = {
        name: getattr(report, name)
        for name in (
            "rows_read",
            "rows_inserted",
            "rows_updated",
            "rows_unchanged",
            "rows_quarantined",
            "rows_restated",
            "delta_version",
            "max_timestamp",
        )
    }
    lines = [f"{name.replace('_', ' '):18} {value}" for name, value in document.items()]
    lines += [f"quarantined: {count} {reason}" for reason, count in sorted(report.reasons.items())]
    if left := sorted({name for names in report.unknown_columns.values() for name in names}):
        lines.append(f"left out, named by no spec: {', '.join(left)}")
    unread: Counter[str] = sum(map(Counter, report.unread_cells.values()), Counter())
    lines += [f"left empty, no number: {count} cells of {name}" for name, count in unread.items()]
    if report.added:
        lines.append(f"read again for what was added: {', '.join(report.added)}")
    lines += [f"table {name}: {rows} new rows" for name, rows in sorted(report.tables.items())]
    session.answer(document, lines)
    if report.unreachable:
        raise Refused(unreachable(report))


@click.command()
@circuit_option
@explains
def restatements(session: Session, circuits: tuple[str, ...]) -> None:
    """Readings that changed after training, and every training set and model built on them.

    With --circuit, each change as it was recorded, with its old and its new value.
    """
    from mlops_assets.flows.readings import data_now
    from mlops_assets.flows.restatement import overview, recorded

    platform, config = session.platform, session.desired()
    chosen = session.circuits(circuits, sorted(config.circuits)) if circuits else None
    present = data_now(platform.kind, platform.lake, session.now())
    document = [
        {
            "circuit": row.circuit,
            "hours": len({cell.timestamp for each in row.data for cell in each.cells}),
            "first": min(each.first for each in row.data),
            "last": max(each.last for each in row.data),
            "training_data": [str(each.data_version) for each in row.data],
            "models": [
                {
                    "version": model.version,
                    "data_version": str(model.data_version),
                    "live": model.live is not None,
                    "release": model.live,
                    "wanted": model.wanted,
                }
                for model in row.models
            ],
            "command": row.command if row.matters else None,
            **({"changes": recorded(platform.lake, [row.circuit])} if chosen is not None else {}),
        }
        for row in overview(platform, config, chosen, data_now=present)
    ]
    session.answer(document, lambda: _restated(document))


def _restated(document: list[dict[str, Any]]) -> list[str]:
    if not document:
        return ["no training set holds a reading that changed since"]
    rows = [
        {
            **row,
            "models": [
                f"{model['version']}{' live' if model['live'] else ''}" for model in row["models"]
            ],
        }
        for row in document
    ]
    lines = table(rows, ("circuit", "hours", "first", "last", "training_data", "models"))
    for row in document:
        lines += [
            f"{row['circuit']}  {change['timestamp']}  {change['column']}: "
            f"{change['old_value']} became {change['new_value']}, from {change['source']}"
            for change in row.get("changes", ())
        ]
    return lines + [row["command"] for row in document if row["command"]]


COMMANDS = (
    restatements,
    ingest,
)
