"""What people type: ``mlops [--home DIR] [--config DIR] [--json] COMMAND``.

Exit 0: done, or already so. 1: something broke, or a rule said no; one line on stderr. 2: wrong
usage. Only the commands that run through Dagster import it, inside themselves.
"""

from __future__ import annotations

from pathlib import Path

import click

from mlops_assets.cli import (
    audit,
    config,
    deployment,
    forecast,
    home,
    model,
    quarantine,
    readings,
    release,
    retention,
)
from mlops_assets.cli.session import Session


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept; $MLOPS_HOME, else .mlops.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, file_okay=False),
    help="The config repository; HOME/config where that exists, else config.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.version_option(package_name="mlops-assets")
@click.pass_context
def main(context: click.Context, home: Path | None, config: Path | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Run a fleet of forecasting models, from raw readings to daily predictions."""
    context.obj = Session(home, config, as_json)


for commands in (
    home,
    readings,
    quarantine,
    config,
    model,
    release,
    forecast,
    deployment,
    audit,
    retention,
):
    for command in commands.COMMANDS:
        main.add_command(command)
