"""What people type: ``mlops [--home DIR] [--config DIR] [--json] COMMAND``.

Exit 0: done, or already so. 1: something broke, or a rule said no; one line on stderr. 2: wrong
usage. Only the commands that run through Dagster import it, inside themselves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli import (
    audit,
    config,
    deployment,
    forecast,
    home,
    model,
    pull_request,
    quarantine,
    readings,
    release,
    retention,
)
from mlops_assets.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence


class Commands(click.Group):
    """The commands; with ``--json`` wrong usage is a document too."""

    def main(  # type: ignore[override]  # click overloads it by what it returns
        self,
        args: Sequence[str] | None = None,
        **settings: Any,  # noqa: ANN401 click's
    ) -> Any:  # noqa: ANN401 click's
        """Run what was typed, as click does."""
        words = list(sys.argv[1:] if args is None else args)
        if "--json" not in words:
            return super().main(words, **settings)
        try:
            sys.exit(super().main(words, **{**settings, "standalone_mode": False}))
        except click.ClickException as error:
            click.echo(json.dumps({"error": error.format_message()}))
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo(json.dumps({"error": "interrupted; run it again to go on"}))
            sys.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    pull_request,
):
    for command in commands.COMMANDS:
        main.add_command(command)
