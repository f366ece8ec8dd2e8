"""Commands about readings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import explains

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
    session.answer(document, lines)


COMMANDS = (ingest,)
