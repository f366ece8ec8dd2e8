"""Simulated meters sent as plants send them: a file a plant and week, each plant in its own way.

| way | is |
|---|---|
| parquet | Parquet, time stamps in UTC |
| offset | CSV with commas, local time with its offset |
| german | CSV with semicolons, a byte order mark, D.M.YYYY stamps and decimal commas |
| american | CSV, M/D/YYYY stamps, thousands commas, newest row first, many words for nothing |

Files overlap by some hours; late rows come a week later, revised ones come again; some come twice.
"""

from __future__ import annotations

import io
from datetime import UTC, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_assets.domain.simulation import FIRST_DAY, LAST_DAY, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date, datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.simulation import Meter
    from mlops_assets.ports import LandingZone, Progress

    Row = tuple[str, str, datetime, float | None]

OVERLAP = timedelta(hours=6)
_WEEK = timedelta(days=7)
_NOTHING = ("NA", "MISSING", "EMPTY", " ", "")


def send(
    landing: LandingZone,
    config: Config,
    *,
    seed: int = 0,
    first: date = FIRST_DAY,
    last: date = LAST_DAY,
    progress: Progress | None = None,
) -> list[RawFile]:
    """Write every file of a simulated company; the same call again writes nothing."""
    meters = simulate(config.circuits.values(), seed=seed, first=first, last=last)
    if progress is not None:
        progress.begin("simulated plants", len(config.plants))
    sent = []
    for number, plant_id in enumerate(sorted(config.plants)):
        ours = {key: meter for key, meter in meters.items() if key.plant_id == plant_id}
        zones = [config.circuits[key].spec.timezone for key in ours]
        suffix, write = _WAYS[number % len(_WAYS)]
        for day, rows in _deliveries(list(ours.values())):
            name = f"{plant_id}/{day.isoformat()}.{suffix}"
            sent.append(landing.put(name, write(rows, zones[0])))
        if progress is not None:
            progress.advance(plant_id)
    return sent


def _deliveries(meters: Sequence[Meter]) -> Iterator[tuple[date, list[Row]]]:
    """One delivery a week, named by the day on which it is sent, and one for what came after."""
    if not meters:
        return
    start = min(meter.start for meter in meters)
    end = max(meter.start + len(meter.truth) * meter.step for meter in meters)
    sent = start
    while sent < end:
        begin, sent = sent, min(sent + _WEEK, end)
        yield sent.date(), _rows(meters, begin, sent)
    yield (end + timedelta(days=1)).date(), _rows(meters, end, end + _WEEK)


def _rows(meters: Sequence[Meter], begin: datetime, end: datetime) -> list[Row]:
    """Rows of ``begin..end`` with the overlap before it, late rows and revisions of the last."""
    rows: list[Row] = []
    for meter in meters:
        place = (begin - _WEEK - meter.start) // meter.step
        stop = min((end - meter.start) // meter.step, len(meter.truth))
        for each in range(max(place, 0), stop):
            moment = meter.moment(each)
            fresh = moment >= begin
            again = meter.late[each] or meter.revised[each]
            if fresh and meter.late[each]:
                continue
            if not fresh and not again and moment < begin - OVERLAP:
                continue
            value = float((meter.first if fresh else meter.recorded)[each])
            row = (
                meter.key.plant_id,
                meter.key.circuit_id,
                moment,
                None if value != value else value,  # noqa: PLR0124 not a number
            )
            rows += [row, row] if fresh and meter.duplicated[each] else [row]
    return rows


def _parquet(rows: Sequence[Row], zone: str) -> bytes:  # noqa: ARG001 Parquet knows UTC
    import polars as pl
    import pyarrow.parquet as pq

    columns = ("plant_id", "circuit_id", "timestamp", "value")
    frame = pl.DataFrame(
        rows,
        schema={
            "plant_id": pl.String,
            "circuit_id": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
            "value": pl.Float64,
        },
        orient="row",
    )
    target = io.BytesIO()
    pq.write_table(frame.select(columns).to_arrow(), target)
    return target.getvalue()


def _offset(rows: Sequence[Row], zone: str) -> bytes:
    local = ZoneInfo(zone)
    return _csv(
        rows, ",", lambda moment: moment.astimezone(local).isoformat(), lambda value: f"{value:.2f}"
    ).encode()


def _german(rows: Sequence[Row], zone: str) -> bytes:  # noqa: ARG001 sent in UTC
    text = _csv(
        rows,
        ";",
        lambda moment: moment.strftime("%d.%m.%Y %H:%M"),
        lambda value: f"{value:.2f}".replace(".", ","),
    )
    return text.replace("\n", "\r\n").encode("utf-8-sig")


def _american(rows: Sequence[Row], zone: str) -> bytes:  # noqa: ARG001 sent in UTC
    newest_first = sorted(rows, key=lambda row: row[2], reverse=True)
    return _csv(
        newest_first,
        ",",
        lambda each: f"{each.month}/{each.day}/{each.year} {each.hour}:{each.minute:02}",
        lambda value: f'"{value:,.2f}"',
        nothing=_NOTHING,
    ).encode()


def _csv(
    rows: Sequence[Row],
    separator: str,
    stamp: Callable[[datetime], str],
    number: Callable[[float], str],
    nothing: Sequence[str] = ("",),
) -> str:
    lines = [separator.join(("plant_id", "circuit_id", "timestamp", "value"))]
    for place, (plant, circuit, moment, value) in enumerate(rows):
        text = nothing[place % len(nothing)] if value is None else number(value)
        lines.append(separator.join((plant, circuit, stamp(moment.astimezone(UTC)), text)))
    return "\n".join(lines) + "\n"


_WAYS: tuple[tuple[str, Callable[[Sequence[Row], str], bytes]], ...] = (
    ("parquet", _parquet),
    ("csv", _offset),
    ("csv", _german),
    ("csv", _american),
)
