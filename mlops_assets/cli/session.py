"""One call of the command line: where it runs, how it answers, how it fails.

With ``--json`` exactly one JSON document goes to stdout and all else to stderr. A failure is one
line on stderr; with ``--json`` it is also the document ``{"error": LINE}``.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.domain.errors import MlopsError, UsageError
from mlops_assets.domain.identifiers import CircuitKey, IdentifierError
from mlops_assets.domain.progress import Count
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlops_assets.domain.circuit import Config
    from mlops_assets.ports import Platform, Progress


def plain(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Return a value as JSON knows it: dates and keys as text, not-a-number as null."""
    match value:
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case datetime() | date():
            return value.isoformat()
        case CircuitKey() | Path():
            return str(value)
        case float():
            return value if value - value == 0 else None
        case _:
            return value


class Bar:
    """Progress on a terminal, otherwise a line at each tenth of the work; always on stderr."""

    def __init__(self) -> None:
        self._count = Count("", 0)
        self._bar: Any = None
        self._task: Any = None

    def begin(self, what: str, total: int) -> None:
        """Start a new count; on a terminal it is drawn as a bar."""
        self.close()
        self._count = Count(what, total)
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(what, total=total)
        else:
            self.say(f"{what}: {total}")

    def advance(self, label: str = "") -> None:
        """One more is done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=label or None)
        elif line := self._count.advance(label):
            self.say(line)

    def say(self, line: str) -> None:
        """Print one line."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


@dataclass
class Session:
    """What every command gets."""

    home: Path | None
    config: Path | None
    json: bool

    def __post_init__(self) -> None:
        self.bar = Bar()
        self._platform: Platform | None = None

    @property
    def progress(self) -> Progress:
        """Where long work says how far it is."""
        return self.bar

    @property
    def settings(self) -> Settings:
        """Where this command runs."""
        return Settings.find(self.home, self.config, os.environ, Path.cwd())

    @property
    def platform(self) -> Platform:
        """The home's ports; HomeError when there is no home."""
        if self._platform is None:
            from mlops_assets.resources import open_platform

            self._platform = open_platform(self.settings)
        return self._platform

    def now(self) -> datetime:
        """Return the present by the platform's clock."""
        return self.platform.clock.now()

    def desired(self, *, ref: str | None = None, working_tree: bool = False) -> Config:
        """Return the config at the watched ref; one warning line for uncommitted changes."""
        from mlops_assets.flows.plan import config_at

        platform = self.platform
        if not working_tree and platform.config.dirty():
            click.echo(
                "warning: uncommitted config changes are ignored; "
                "`mlops plan --working-tree` previews them",
                err=True,
            )
        return config_at(platform, ref=ref, working_tree=working_tree)

    def circuits(self, texts: Sequence[str], known: Sequence[CircuitKey]) -> list[CircuitKey]:
        """Return the circuits that ``P001/C003`` and ``P001/*`` select, in the order of ``known``.

        Raises UsageError for one that is not known.
        """
        chosen: set[CircuitKey] = set()
        for text in texts:
            if text.endswith("/*"):
                found = {key for key in known if key.plant_id == text[:-2]}
            else:
                try:
                    found = {CircuitKey.parse(text)} & set(known)
                except IdentifierError as error:
                    raise UsageError(
                        f"--circuit {text}: {error}, or PLANT/* for all of one"
                    ) from error
            if not found:
                from mlops_assets.catalog.reading import nearest

                raise UsageError(f"{text}: no such circuit{nearest(text, map(str, known))}")
            chosen |= found
        return [key for key in known if key in chosen]

    def answer(self, document: Any, lines: Sequence[str] | Callable[[], Sequence[str]]) -> None:  # noqa: ANN401 any JSON value
        """Print the document with ``--json``, else the lines."""
        self.bar.close()
        if self.json:
            click.echo(json.dumps(plain(document), allow_nan=False))
            return
        for line in lines() if callable(lines) else lines:
            click.echo(line)

    def hint(self, line: str | None) -> None:
        """Say on stderr what to run next, where there is something; the document stays as it is."""
        if line:
            click.echo(line, err=True)


def before_ingest(platform: Platform) -> str | None:
    """Name the command that a home without readings waits for."""
    if platform.lake.readings.exists():
        return None
    return "there are no readings yet: `mlops ingest`"


def fail(session: Session, error: MlopsError, document: Mapping[str, Any] | None = None) -> int:
    """Print the one line of a failure and return the exit code."""
    session.bar.close()
    text = str(error)
    if session.json:
        click.echo(json.dumps(plain(document) if document is not None else {"error": text}))
    click.echo(text, err=True)
    return error.exit_code


class Refused(MlopsError):  # noqa: N818 it is an answer, not a surprise
    """A command's own no: its document was printed already."""


@contextmanager
def explained(session: Session) -> Iterator[None]:
    """Turn every failure into one line and an exit code; no traceback reaches people."""
    try:
        yield
    except Refused as refused:
        session.bar.close()
        click.echo(str(refused), err=True)
        raise SystemExit(refused.exit_code) from None
    except MlopsError as error:
        raise SystemExit(fail(session, error)) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        reason = MlopsError(f"{where}{error.strerror or error}; make room or permission, repeat")
        raise SystemExit(fail(session, reason)) from None
    except KeyboardInterrupt:
        raise SystemExit(fail(session, MlopsError("interrupted; run it again to go on"))) from None


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return rows as aligned text lines with a heading."""
    if not rows:
        return ["nothing"]
    cells = [[cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(columns)]
    lines = ["  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True))]
    lines += ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    return [line.rstrip() for line in lines]


def review(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the column that marks what authors may sign, where there is any such row."""
    return () if all(row["reviewed"] for row in rows) else ("review",)


def marked(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with that column: with four eyes off, each says so."""
    return [{**row, "review": "" if row["reviewed"] else "UNREVIEWED"} for row in rows]


def cell(value: Any) -> str:  # noqa: ANN401 any JSON value
    """Return a value as people read it; a dash where there is nothing."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(str(item) for item in value) or "-"
        case _:
            return str(value)
