"""The daily batch and its export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import Day, circuit_option, explains
from mlops_assets.domain.errors import DataError, UsageError

if TYPE_CHECKING:
    from datetime import date

    from mlops_assets.cli.session import Session


@click.command()
@click.option("--date", "day", type=Day(), help="The day to forecast; today by default.")
@circuit_option
@explains
def predict(session: Session, day: date | None, circuits: tuple[str, ...]) -> None:
    """Forecast a day for every live circuit."""
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.launch import predict as launch

    known = sorted(live_deployments(session.platform.prod))
    if not known:
        raise DataError("nothing is live: promote a release to production first")
    chosen = session.circuits(circuits, known) if circuits else None
    report = launch(session.settings, day, chosen, session.progress)
    done = report.circuits
    document: dict[str, Any] = {
        "date": report.issued_for,
        "predicted": len(done),
        "kept": sorted(str(key) for key, one in done.items() if one.kept),
        "fallback": {
            str(key): f"{one.fallback}: {one.fallback_reason}"
            for key, one in sorted(done.items())
            if one.fallback != "none"
        },
        "failed": {str(key): reason for key, reason in sorted(report.failed.items())},
        "rows": report.rows,
    }
    lines = [f"{report.issued_for}: {len(done)} circuits, {report.rows} rows written"]
    lines += [f"{key}: fallback {why}" for key, why in document["fallback"].items()]
    lines += [f"{key}: {why}" for key, why in document["failed"].items()]
    session.answer(document, lines)


@click.command()
@click.option("--date", "day", type=Day(), required=True, help="The day that was forecast.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder for predictions-DATE.csv and .parquet.",
)
@explains
def export(session: Session, day: date, out: Path) -> None:
    """Write one day's predictions as a CSV file and a Parquet file."""
    from mlops_assets.flows.export import export as write

    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file, name a folder")
    path, rows = write(session.platform.lake, day, out)
    session.answer({"file": path, "rows": rows}, [f"{path} and .parquet: {rows} rows"])


COMMANDS = (predict, export)
