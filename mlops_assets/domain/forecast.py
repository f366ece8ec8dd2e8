"""Forecasts: rows of the predictions table and what one daily batch did.

A predictions frame is a polars DataFrame with exactly the columns of `COLUMNS`, sorted by
`PREDICTION_KEY`. ``model_version`` is the model that made the row and 0 for the seasonal naive,
which is no model of the registry. ``data_version`` is the version of the readings table that was
read. A forecast outside the circuit's limits is stored as the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.circuit import STEP
from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.readings import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import polars as pl

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.manifest import Serving
    from mlops_assets.domain.model import ForecastValues

Fallback = Literal["none", "previous_model", "seasonal_naive"]

PREDICTION_KEY = ("plant_id", "circuit_id", "issued_for", "timestamp")
VALUE_COLUMNS = ("value", "lo_80", "hi_80", "lo_95", "hi_95")
COLUMNS = (
    *PREDICTION_KEY,
    *VALUE_COLUMNS,
    "model_version",
    "release",
    "data_version",
    "issued_at",
    "hindcast",
    "fallback",
    "fallback_reason",
)
# Columns that say when and from which table version a row was issued, not what it forecasts.
ISSUE_COLUMNS = ("data_version", "issued_at", "hindcast")
HINDCAST_AFTER = timedelta(hours=24)
# Read for every circuit, however little its model looks at: a season for the fallback.
LEAST_WINDOW = timedelta(days=28)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitForecast:
    """What the batch did for one circuit, with the numbers a person looks for."""

    circuit: CircuitKey
    issued_for: date
    release: str
    model_version: int
    data_version: str
    delta_version: int
    fallback: Fallback
    fallback_reason: str
    rows: int
    kept: bool
    hindcast: bool
    mean: float
    minimum: float
    maximum: float
    seconds: float
    values: np.ndarray = field(repr=False, compare=False)
    lo_95: np.ndarray = field(repr=False, compare=False)
    hi_95: np.ndarray = field(repr=False, compare=False)

    @property
    def plot_svg(self) -> str:
        """The forecast with its interval, drawn when somebody looks."""
        from mlops_assets.domain.plot import sparkline

        title = f"{self.circuit} for {self.issued_for}"
        return sparkline(self.values, self.lo_95, self.hi_95, title=title)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastReport:
    """One daily batch. ``rows`` counts rows written by this call only.

    ``unreadable`` names plants whose live manifest cannot be read, with the reason: which circuits
    they serve is not known.
    """

    issued_for: date
    delta_version: int
    circuits: Mapping[CircuitKey, CircuitForecast] = field(default_factory=dict)
    failed: Mapping[CircuitKey, str] = field(default_factory=dict)
    rows: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One circuit's hours: known readings are ``start <= t < begin``, rows start at ``begin``."""

    start: datetime
    begin: datetime
    step: timedelta
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One circuit's forecast for one day, before it is stored."""

    circuit: CircuitKey
    release: str
    model_version: int
    fallback: Fallback
    fallback_reason: str
    values: ForecastValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What became of one circuit in a batch: its issue, or the sentence that says why it failed.

    ``copied`` says that its live model was among the copies that its plant's models are read from.
    """

    circuit: CircuitKey
    issue: Issue | None = None
    failed: str = ""
    seconds: float = 0.0
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered(Issued):
    """A circuit that nobody answered for: what should forecast it broke, and may be asked again."""


def window_of(serving: Serving, begin: datetime, *, context_steps: int) -> Window:
    """The readings a circuit's forecast may look at, and the rows it must give.

    The model looks ``context_steps`` back from the last reading, which may be up to the longest
    allowed gap before ``begin``.
    """
    step = next((step for name, step in STEP.items() if name == serving.interval), None)
    if step is None:
        raise DataError(f"interval {serving.interval!r} is not one of {', '.join(STEP)}")
    looked_at = context_steps * step + timedelta(hours=serving.maximum_gap_hours)
    return Window(
        start=begin - max(looked_at, LEAST_WINDOW),
        begin=begin,
        step=step,
        rows=timedelta(hours=serving.horizon) // step,
    )


def is_hindcast(issued: datetime, begin: datetime) -> bool:
    """Whether a forecast came too late to count as one."""
    return issued - begin > HINDCAST_AFTER


def series_by_circuit(
    rows: pl.DataFrame,
    windows: Mapping[CircuitKey, Window],
    features: Mapping[CircuitKey, Sequence[str]],
) -> dict[CircuitKey, Series]:
    """Each circuit's readings as a regular series that ends with its last reading.

    ``rows`` are sorted by key. Rows outside a circuit's window are left out; a circuit with no
    reading in its window is not in the result.
    """
    import numpy as np
    import polars as pl

    if rows.is_empty():
        return {}
    runs = rows.select(
        plant=pl.col("plant_id").cast(pl.String), circuit=pl.col("circuit_id").cast(pl.String)
    ).select(id=pl.struct("plant", "circuit").rle())
    runs = runs.unnest("id")
    ends = np.cumsum(runs["len"].to_numpy().astype(np.int64))
    names = runs["value"].to_list()
    at = {
        (name["plant"], name["circuit"]): slice(int(end - length), int(end))
        for name, length, end in zip(names, runs["len"].to_list(), ends, strict=True)
    }
    stamps = rows["timestamp"].dt.epoch("us").to_numpy()
    columns = {
        name: rows[name].cast(pl.Float64).to_numpy()
        for name in {"value", *(name for wanted in features.values() for name in wanted)}
        if name in rows.columns
    }
    found: dict[CircuitKey, Series] = {}
    for circuit, window in windows.items():
        part = at.get((circuit.plant_id, circuit.circuit_id))
        if part is None:
            continue
        series = _on_grid(
            stamps[part],
            {
                name: columns[name][part]
                for name in ("value", *features.get(circuit, ()))
                if name in columns
            },
            window,
        )
        if series is not None:
            found[circuit] = series
    return found


def gap_steps(series: Series, window: Window) -> int:
    """Steps between the last reading and the day's first row."""
    return (window.begin - series.end) // window.step


def gap_reason(series: Series, window: Window, serving: Serving) -> str:
    """Why the readings are too old for the model; empty when they are not."""
    gap = window.begin - series.end
    if gap <= timedelta(hours=serving.maximum_gap_hours):
        return ""
    hours = gap / timedelta(hours=1)
    return (
        f"no reading for {hours:g} h before the day's start; the limit is "
        f"{serving.maximum_gap_hours} h"
    )


def stored_part(values: ForecastValues, window: Window, serving: Serving) -> ForecastValues:
    """The rows of a forecast that belong to the day, held inside the circuit's limits.

    Raises:
        ModelError: rows are missing or not finite.
    """
    import numpy as np

    from mlops_assets.domain.model import ForecastValues

    skipped = (window.begin - values.start) // window.step
    begin = values.start + max(0, skipped) * window.step
    parts = [
        np.asarray(getattr(values, name), dtype=np.float64)[max(0, skipped) :]
        for name in VALUE_COLUMNS
    ]
    whole = all(len(part) == window.rows for part in parts)
    if values.step != window.step or begin != window.begin or not whole:
        raise ModelError(
            f"the model gave {min(len(part) for part in parts)} rows of {values.step} from "
            f"{begin:%Y-%m-%d %H:%M}, not {window.rows} of {window.step} from "
            f"{window.begin:%Y-%m-%d %H:%M}"
        )
    if not all(np.isfinite(part).all() for part in parts):
        raise ModelError("the model gave values that are not finite")
    low = -np.inf if serving.minimum is None else float(serving.minimum)
    high = np.inf if serving.maximum is None else float(serving.maximum)
    value, lo_80, hi_80, lo_95, hi_95 = (np.clip(part, low, high) for part in parts)
    return ForecastValues(
        start=window.begin,
        step=window.step,
        value=value,
        lo_80=lo_80,
        hi_80=hi_80,
        lo_95=lo_95,
        hi_95=hi_95,
        approximate=values.approximate,
    )


def frame_of(
    issues: Iterable[Issue],
    *,
    issued_for: date,
    data_version: str,
    issued_at: datetime,
    hindcast: Mapping[CircuitKey, bool],
) -> pl.DataFrame:
    """Rows of the predictions table for a batch, sorted by key."""
    import numpy as np
    import polars as pl

    batch = sorted(issues, key=lambda issue: issue.circuit)
    lengths = [len(issue.values.value) for issue in batch]

    def repeated(values: list[Any], kind: Any) -> pl.Series:  # noqa: ANN401 a polars type
        short = pl.Series(values, dtype=kind)
        return short.gather(np.repeat(np.arange(len(values), dtype=np.uint32), lengths))

    stamps = [
        np.datetime64(issue.values.start.replace(tzinfo=None), "us")
        + np.arange(length) * np.timedelta64(issue.values.step)
        for issue, length in zip(batch, lengths, strict=True)
    ]
    floats = {
        name: np.concatenate([getattr(issue.values, name) for issue in batch] or [np.empty(0)])
        for name in VALUE_COLUMNS
    }
    return pl.DataFrame(
        {
            "plant_id": repeated([issue.circuit.plant_id for issue in batch], pl.String),
            "circuit_id": repeated([issue.circuit.circuit_id for issue in batch], pl.String),
            "issued_for": pl.Series([issued_for], dtype=pl.Date).new_from_index(0, sum(lengths)),
            "timestamp": pl.Series(
                np.concatenate(stamps or [np.empty(0, dtype="datetime64[us]")]),
                dtype=pl.Datetime("us"),
            ).dt.replace_time_zone("UTC"),
            **{name: pl.Series(values, dtype=pl.Float64) for name, values in floats.items()},
            "model_version": repeated([issue.model_version for issue in batch], pl.Int64),
            "release": repeated([issue.release for issue in batch], pl.String),
            "data_version": repeated([data_version for _ in batch], pl.String),
            "issued_at": repeated([issued_at for _ in batch], pl.Datetime("us", "UTC")),
            "hindcast": repeated([hindcast[issue.circuit] for issue in batch], pl.Boolean),
            "fallback": repeated([issue.fallback for issue in batch], pl.String),
            "fallback_reason": repeated([issue.fallback_reason for issue in batch], pl.String),
        }
    )


def empty_frame() -> pl.DataFrame:
    """A predictions frame without rows."""
    return frame_of(
        (),
        issued_for=date(2000, 1, 1),
        data_version="",
        issued_at=_EPOCH,
        hindcast={},
    )


def says_the_same(before: pl.DataFrame, after: pl.DataFrame) -> bool:
    """Whether two forecasts of one circuit and day differ in nothing but their issue."""
    return before.drop(ISSUE_COLUMNS).equals(after.drop(ISSUE_COLUMNS))


def _on_grid(
    stamps: np.ndarray, columns: Mapping[str, np.ndarray], window: Window
) -> Series | None:
    """Readings in the grid's cells, which count back from ``begin`` as in training."""
    import numpy as np

    step = window.step // timedelta(microseconds=1)
    begin = _microseconds(window.begin)
    inside = (stamps >= _microseconds(window.start)) & (stamps < begin)
    cells = (stamps[inside] - begin) // step
    known = np.isfinite(columns["value"][inside])
    if not known.any():
        return None
    first, last = int(cells[known].min()), int(cells[known].max())
    shown = (cells >= first) & (cells <= last)
    grids = {}
    for name, column in columns.items():
        grid = np.full(last - first + 1, np.nan)
        grid[cells[shown] - first] = column[inside][shown]
        grids[name] = grid
    return Series(
        start=window.begin + first * window.step,
        step=window.step,
        values=grids.pop("value"),
        features=grids,
    )


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
