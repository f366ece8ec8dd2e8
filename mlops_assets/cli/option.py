"""Options that several commands share, each read into the domain's own type."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.session import Session, explained

if TYPE_CHECKING:
    import os

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


class KeyFilePath(click.Path):
    """A key's file; `~` is the home folder in shells too that do not say so."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Put the home folder in and look whether the file is there."""
        return super().convert(Path(value).expanduser(), param, ctx)


class Moment(click.ParamType[datetime]):
    """A moment in UTC, YYYY-MM-DDTHH:MM:SSZ, or the beginning of a day, YYYY-MM-DD."""

    name = "moment"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read the moment or say what to write."""
        if isinstance(value, datetime):
            return value
        for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"):
            with suppress(ValueError):
                return datetime.strptime(value, form).replace(tzinfo=UTC)
        return self.fail(
            f"{value!r} is no moment: write YYYY-MM-DDTHH:MM:SSZ or YYYY-MM-DD", param, ctx
        )


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
