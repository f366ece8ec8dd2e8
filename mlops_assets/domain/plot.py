"""Plots as small SVG text: the same numbers give the same bytes, and no library draws them.

Colours are middle tones that read on a white page and on a dark one. Lines break at gaps. Long
series are thinned to the lowest and highest value of each stretch, so that peaks stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SPARKLINE_BYTES = 4096

Role = Literal["actual", "forecast", "floor", "incumbent"]
_COLOUR: dict[Role, str] = {
    "actual": "#7f7f7f",
    "forecast": "#2f81f7",
    "floor": "#d9822b",
    "incumbent": "#a371f7",
}
_TEXT = "#7f7f7f"
_GRID = "#7f7f7f"

_SPARK_WIDTH, _SPARK_HEIGHT = 360, 64
_SPARK_POINTS = (96, 72, 48, 32, 24, 16, 8)
_TITLE_CHARACTERS = 80

_WIDTH, _HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 46, 40
_CHART_POINTS = 700
_LARGEST_DRAWN = 1e300
_Y_TICKS = 4
_X_TICKS = 10
_TICK_STEPS = tuple(
    timedelta(hours=h) for h in (1, 3, 6, 12, 24, 48, 96, 168, 336, 672, 2184, 8736)
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; ``values[i]`` lies at the chart's ``start + i * step``."""

    label: str
    values: Iterable[float | None]
    role: Role


@dataclass(frozen=True, slots=True)
class Band:
    """An interval around a line, such as 95 %."""

    label: str
    lo: Iterable[float | None]
    hi: Iterable[float | None]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where data coordinates lie on the picture."""

    left: float
    top: float
    width: float
    height: float
    count: int
    low: float
    high: float

    def x(self, index: float) -> float:
        return self.left + self.width * index / max(self.count - 1, 1)

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - (value - self.low) / (self.high - self.low))


def sparkline(
    values: Iterable[float | None],
    lo: Iterable[float | None] | None = None,
    hi: Iterable[float | None] | None = None,
    actual: Iterable[float | None] | None = None,
    *,
    title: str,
) -> str:
    """Draw a forecast with its interval and the actuals in at most `SPARKLINE_BYTES` bytes."""
    lines = [Line("", _finite(values), "forecast")]
    if actual is not None:
        lines.insert(0, Line("", _finite(actual), "actual"))
    bands = [] if lo is None or hi is None else [Band("", _finite(lo), _finite(hi))]
    text = ""
    for points in _SPARK_POINTS:
        text = _sparkline(lines, bands, points, title)
        if len(text.encode()) <= SPARKLINE_BYTES:
            break
    return text


def _sparkline(lines: list[Line], bands: list[Band], points: int, title: str) -> str:
    low, high = _range([*lines, *bands])
    count = _count([*lines, *bands])
    frame = _Frame(2, 3, _SPARK_WIDTH - 4, _SPARK_HEIGHT - 6, count, low, high)
    shown = escape(_printable(title)[:_TITLE_CHARACTERS])
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" '
        f'width="{_SPARK_WIDTH}" height="{_SPARK_HEIGHT}" role="img"><title>{shown}</title>'
    )
    return "".join(
        [
            opening,
            *(_band(band, frame, points, 0) for band in bands),
            *(_line(line, frame, points, 0) for line in lines),
            "</svg>",
        ]
    )


def chart(
    lines: Sequence[Line],
    *,
    title: str,
    start: datetime,
    step: timedelta,
    unit: str = "",
    band: Band | None = None,
) -> str:
    """Draw lines over time with axes, a legend, and an interval if there is one.

    Times are written in UTC.
    """
    lines = [Line(line.label, _finite(line.values), line.role) for line in lines]
    bands = [] if band is None else [Band(band.label, _finite(band.lo), _finite(band.hi))]
    low, high = _range([*lines, *bands])
    ticks = _nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    frame = _Frame(
        _LEFT,
        _TOP,
        _WIDTH - _LEFT - _RIGHT,
        _HEIGHT - _TOP - _BOTTOM,
        _count([*lines, *bands]),
        low,
        high,
    )
    shown = escape(_printable(title))
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" font-family="sans-serif" '
        f'font-size="11" fill="{_TEXT}"><title>{shown}</title>'
    )
    return "".join(
        [
            opening,
            f'<text x="{_LEFT}" y="16" font-size="13" font-weight="bold">{shown}</text>',
            _legend(lines, bands),
            _y_axis(frame, ticks, unit),
            _x_axis(frame, start.astimezone(UTC), step),
            *(_band(item, frame, _CHART_POINTS, 1) for item in bands),
            *(_line(line, frame, _CHART_POINTS, 1) for line in lines),
            "</svg>",
        ]
    )


def _legend(lines: Sequence[Line], bands: Sequence[Band]) -> str:
    entries = [(line.label, _COLOUR[line.role], "1") for line in lines]
    entries += [(band.label, _COLOUR["forecast"], "0.25") for band in bands]
    parts, x = [], float(_LEFT)
    for label, colour, opacity in entries:
        text = _printable(label)
        parts.append(
            f'<rect x="{x:.0f}" y="25" width="14" height="8" fill="{colour}" '
            f'fill-opacity="{opacity}"/><text x="{x + 18:.0f}" y="33">{escape(text)}</text>'
        )
        x += 34 + 6.3 * len(text)
    return "".join(parts)


def _y_axis(frame: _Frame, ticks: Sequence[float], unit: str) -> str:
    digits = _digits(ticks)
    right = frame.left + frame.width
    parts = [
        f'<path d="M{frame.left:.0f},{frame.y(tick):.1f}H{right:.0f}" stroke="{_GRID}" '
        f'stroke-opacity="0.25"/><text x="{frame.left - 6:.0f}" y="{frame.y(tick) + 4:.1f}" '
        f'text-anchor="end">{tick:.{digits}f}</text>'
        for tick in ticks
    ]
    if unit:
        parts.append(
            f'<text x="{right:.0f}" y="16" text-anchor="end">{escape(_printable(unit))}</text>'
        )
    return "".join(parts)


def _x_axis(frame: _Frame, start: datetime, step: timedelta) -> str:
    span = step * max(frame.count - 1, 1)
    every = next((item for item in _TICK_STEPS if span / item <= _X_TICKS), _TICK_STEPS[-1])
    end = start + span
    origin = datetime(start.year, 1, 1, tzinfo=UTC)
    tick = origin + math.ceil((start - origin) / every) * every
    base = frame.top + frame.height
    parts = []
    while tick <= end:
        x = frame.x((tick - start) / step)
        parts.append(
            f'<path d="M{x:.1f},{base:.0f}v4" stroke="{_GRID}"/>'
            f'<text x="{x:.1f}" y="{base + 16:.0f}" text-anchor="middle">'
            f"{_time_text(tick, every)}</text>"
        )
        tick += every
    parts.append(
        f'<text x="{frame.left + frame.width:.0f}" y="{base + 32:.0f}" text-anchor="end">'
        "time, UTC</text>"
    )
    return "".join(parts)


def _time_text(moment: datetime, every: timedelta) -> str:
    if every < timedelta(days=1):
        return moment.strftime("%m-%d" if moment.hour == 0 else "%H:%M")
    return moment.strftime("%m-%d" if every < timedelta(days=28) else "%Y-%m-%d")


def _line(line: Line, frame: _Frame, points: int, digits: int) -> str:
    pieces = _pieces(_thinned(list(line.values), points))
    path = "".join("M" + " ".join(_point(frame, i, v, digits) for i, v in run) for run in pieces)
    if not path:
        return ""
    return (
        f'<path d="{path}" fill="none" stroke="{_COLOUR[line.role]}" stroke-width="1.5" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )


def _band(band: Band, frame: _Frame, points: int, digits: int) -> str:
    lo, hi = list(band.lo), list(band.hi)
    size = max(1, math.ceil(len(lo) / points))
    lower: list[tuple[int, float | None]] = []
    upper: dict[int, float] = {}
    for first in range(0, len(lo), size):
        below = [value for value in lo[first : first + size] if value is not None]
        above = [value for value in hi[first : first + size] if value is not None]
        known = bool(below and above)
        lower.append((first, min(below) if known else None))
        if known:
            upper[first] = max(above)
    parts = []
    for run in _pieces(lower):
        outline = [*run, *((first, upper[first]) for first, _ in reversed(run))]
        parts.append("M" + " ".join(_point(frame, i, v, digits) for i, v in outline) + "Z")
    if not parts:
        return ""
    return f'<path d="{"".join(parts)}" fill="{_COLOUR["forecast"]}" fill-opacity="0.2"/>'


def _point(frame: _Frame, index: int, value: float, digits: int) -> str:
    return f"{frame.x(index):.{digits}f},{frame.y(value):.{digits}f}"


def _thinned(values: list[float | None], points: int) -> list[tuple[int, float | None]]:
    """At most ``points`` values with their places; the extremes of each stretch are kept."""
    if len(values) <= points:
        return list(enumerate(values))
    size = math.ceil(2 * len(values) / points)
    kept: list[tuple[int, float | None]] = []
    for first in range(0, len(values), size):
        stretch = [
            (first + offset, value)
            for offset, value in enumerate(values[first : first + size])
            if value is not None
        ]
        if not stretch:
            kept.append((first, None))
            continue
        lowest = min(stretch, key=lambda item: (item[1], item[0]))
        highest = max(stretch, key=lambda item: (item[1], item[0]))
        kept.extend(sorted({lowest, highest}))
    return kept


def _pieces(points: Iterable[tuple[int, float | None]]) -> list[list[tuple[int, float]]]:
    """Runs without a gap."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _finite(values: Iterable[float | None]) -> list[float | None]:
    """Return what can be drawn: arithmetic on an axis overflows long before a float does."""
    return [
        float(value) if value is not None and abs(value) <= _LARGEST_DRAWN else None
        for value in values
    ]


def _count(parts: Iterable[Line | Band]) -> int:
    return max(
        (len(list(part.values if isinstance(part, Line) else part.lo)) for part in parts),
        default=0,
    )


def _range(parts: Iterable[Line | Band]) -> tuple[float, float]:
    """Lowest and highest value, never equal."""
    known = [
        value
        for part in parts
        for values in ([part.values] if isinstance(part, Line) else [part.lo, part.hi])
        for value in values
        if value is not None
    ]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if not math.isfinite(high - low):
        low, high = low / 4, high / 4
    if high - low <= abs(high) * 1e-9:
        margin = abs(high) * 0.05 or 1.0
        return low - margin, high + margin
    return low, high


def _nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers that cover the range: 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / _Y_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(first, last + 1)]


def _digits(ticks: Sequence[float]) -> int:
    step = ticks[1] - ticks[0]
    return min(max(0, -math.floor(math.log10(step) + 1e-9)), 12)


def _printable(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(character if character.isprintable() else " " for character in text)
