"""Commands about rows that are held back: see them, release them, hold readings back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import circuit_option, explains
from mlops_assets.cli.session import table

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.cli.session import Session
    from mlops_assets.flows.quarantine import Choice, Decision

_COLUMNS = ("id", "circuit", "timestamp", "value", "reason", "file", "row")
_WORDS = ("circuit", "timestamp", "value", "state", "by", "note")


class Moment(click.ParamType[datetime]):
    """A moment, YYYY-MM-DD or YYYY-MM-DDTHH:MM, in UTC where it names no offset."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read the moment or say what to write."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no moment: write YYYY-MM-DDTHH:MM", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_from = click.option("--from", "start", type=Moment(), help="First moment, UTC.")
_to = click.option("--to", "end", type=Moment(), help="First moment after, UTC.")
_as = click.option("--as", "by", required=True, metavar="PRINCIPAL", help="Who says it: e-mail.")
_reason = click.option("--reason", "note", required=True, help="Why, for whoever asks later.")


@click.group()
def quarantine() -> None:
    """Rows that are no readings, why, and what people say of them."""


@quarantine.command("list")
@circuit_option
@click.option("--reason", "reasons", multiple=True, metavar="R", help="Such as stuck. Repeatable.")
@click.option("--since", "start", type=Moment(), help="First moment of the rows, UTC.")
@click.option("--until", "end", type=Moment(), help="First moment after, UTC.")
@click.option("--words", is_flag=True, help="What people released and withheld, instead.")
@explains
def list_(  # noqa: PLR0917 click passes options by name
    session: Session,
    circuits: tuple[str, ...],
    reasons: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    words: bool,  # noqa: FBT001 click passes it by name
) -> None:
    """Show what is held back now, with its reason, file and row."""
    from mlops_assets.flows import quarantine as flow

    choice = _choice(session, circuits, start, end)
    lake = session.platform.lake
    if words:
        said = _rows(flow.words(lake, choice), (*_WORDS, "reason"))
        session.answer(said, lambda: table(said, _WORDS))
        return
    held = _rows(flow.listed(lake, choice, reasons=reasons), _COLUMNS)
    session.answer(held, lambda: table(held, _COLUMNS))


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@circuit_option
@_from
@_to
@_as
@_reason
@explains
def release(  # noqa: PLR0917 click passes options by name
    session: Session,
    ids: tuple[str, ...],
    circuits: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    by: str,
    note: str,
) -> None:
    """Make readings of held rows, named by id or by circuit and time; the same value stays one."""
    from mlops_assets.domain.errors import UsageError
    from mlops_assets.flows.quarantine import release as say
    from mlops_assets.flows.training_data import trained_until

    if not ids and not (circuits and start and end):
        raise UsageError("name rows by ID, or by --circuit KEY --from TIME --to TIME")
    config, platform = session.desired(), session.platform
    done = say(
        platform.lake,
        config,
        _choice(session, circuits, start, end, ids),
        by=by,
        note=note,
        now=session.now(),
        trained_until=lambda: trained_until(platform.dev.training_data, config.circuits),
    )
    _tell(session, done, f"readings now: {done.entered}")


@quarantine.command()
@circuit_option
@_from
@_to
@_as
@_reason
@explains
def hold(  # noqa: PLR0917 click passes options by name
    session: Session,
    circuits: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    by: str,
    note: str,
) -> None:
    """Hold readings back that no rule does, or take a release back."""
    from mlops_assets.flows.quarantine import withhold
    from mlops_assets.flows.training_data import trained_until

    config, platform = session.desired(), session.platform
    done = withhold(
        platform.lake,
        config,
        _choice(session, circuits, start, end),
        by=by,
        note=note,
        now=session.now(),
        trained_until=lambda: trained_until(platform.dev.training_data, config.circuits),
    )
    _tell(session, done, f"held back now: {done.withdrawn}")


def _choice(
    session: Session,
    circuits: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    ids: tuple[str, ...] = (),
) -> Choice:
    from mlops_assets.flows.quarantine import Choice

    chosen = None
    if circuits:
        chosen = session.circuits(circuits, sorted(session.desired().circuits))
    return Choice(circuits=chosen, start=start, end=end, ids=ids)


def _rows(found: pl.DataFrame, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    import polars as pl

    named = found.with_columns(
        pl.concat_str("plant_id", pl.lit("/"), "circuit_id").alias("circuit")
    )
    return named.select(columns).to_dicts()


def _tell(session: Session, done: Decision, line: str) -> None:
    document = {
        "rows": done.rows,
        "entered": done.entered,
        "withdrawn": done.withdrawn,
        "restated": done.restated,
        "refused": dict(done.refused),
        "delta_version": done.delta_version,
    }
    lines = [line, *(f"left as they are: {count} {why}" for why, count in done.refused.items())]
    if done.restated:
        lines.append(f"models learned from {done.restated} of them: `mlops restatements`")
    session.answer(document, lines)


COMMANDS = (quarantine,)
