"""Options that several commands share, each read into the domain's own type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any

import click

from mlops_assets.cli.session import Session, explained

Command = Callable[..., None]


class Day(click.ParamType[date]):
    """A date, YYYY-MM-DD."""

    name = "date"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Read the date or say what to write."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date: write YYYY-MM-DD", param, ctx)


circuit_option = click.option(
    "--circuit",
    "circuits",
    multiple=True,
    metavar="KEY",
    help="A circuit such as P001/C003, or all of a plant: 'P001/*'. May be repeated.",
)


def explains(command: Callable[..., None]) -> Command:
    """Give a command its session, and its failures one line."""

    @click.pass_obj
    @wraps(command)
    def called(session: Session, /, *args: Any, **options: Any) -> None:  # noqa: ANN401 click's
        with explained(session):
            command(session, *args, **options)

    return called
