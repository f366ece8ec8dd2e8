"""Evaluation: metrics of forecasts, and the backtest that they come from.

Formulas: MAE, RMSE, WAPE = sum|e| / sum|y|, R2 as in Hyndman & Athanasopoulos, *Forecasting:
Principles and Practice* (3rd ed., section 5.8); MASE as in Hyndman & Koehler (2006), scaled by the
in-sample error of the seasonal naive with the daily season; coverage is the share of actuals inside
the interval. Champions are compared by the circular block bootstrap of
Politis and Romano (1992) over origins, because losses of neighbouring days are alike; the test
divides by the bootstrap's standard error and asks Student's t with one degree of freedom fewer than
there are blocks (closed form: Abramowitz and Stegun, 26.7.3-4), so that it still tells one part in
ten thousand from none where many circuits are judged at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Pooled over origins and horizon steps where an actual exists; units of the readings.

    NaN where nothing was scored, or where a ratio's denominator is zero and its errors are not.
    """

    mae: float
    rmse: float
    mase: float
    wape: float
    r2: float
    coverage_80: float
    coverage_95: float
    points: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """Rolling-origin forecasts: arrays of shape (origins, steps), NaN where no actual exists.

    ``forecast`` is at each origin that of the rival which the errors known there would have chosen,
    ``floor`` the seasonal naive's. ``incumbent`` is NaN at origins that it was trained on, where
    enough others remain.
    """

    origins: Sequence[datetime]
    actual: np.ndarray
    forecast: np.ndarray
    floor: np.ndarray
    incumbent: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Candidate against incumbent on the origins that both forecast.

    ``difference`` is the mean of the candidate's absolute error less the incumbent's, with its
    90 % bounds; ``incumbent_mae`` is what the margin is a share of.
    """

    origins: int
    difference: float
    lower: float
    upper: float
    incumbent_mae: float

    def significantly_worse(self, margin: float) -> bool:
        """Whether even the lower bound is above ``margin`` of the incumbent's error."""
        return self.origins > 0 and self.lower > margin * self.incumbent_mae


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionTest:
    """Whether the candidate's error exceeds the incumbent's by more than a margin.

    ``worse`` is the share by which it does on the common origins, ``lower`` its lower 95 % bound.
    ``p_value`` is the chance of such a loss where there is none beyond the margin; None with fewer
    than `FEWEST_TESTED_ORIGINS`, where nothing can be said with confidence.
    """

    origins: int
    worse: float
    lower: float
    p_value: float | None


FEWEST_TESTED_ORIGINS = 7


def seasonal_scale(values: np.ndarray, season_steps: int) -> float:
    """Return the mean absolute change over one season, NaN where no pair of readings exists."""
    import numpy as np

    change = np.abs(values[season_steps:] - values[:-season_steps])
    known = change[~np.isnan(change)]
    return float(known.mean()) if known.size else math.nan


def metrics(  # noqa: PLR0917 the arrays of one table
    actual: np.ndarray,
    forecast: np.ndarray,
    lo_80: np.ndarray,
    hi_80: np.ndarray,
    lo_95: np.ndarray,
    hi_95: np.ndarray,
    scale: float,
) -> Metrics:
    """Return the metrics of forecasts where an actual exists."""
    import numpy as np

    known = ~(np.isnan(actual) | np.isnan(forecast))
    truth = actual[known]
    error = truth - forecast[known]
    if not error.size:
        return _nothing_scored()
    mae = float(np.abs(error).mean())
    unexplained = float((error**2).sum())
    return Metrics(
        mae=mae,
        rmse=float(np.sqrt((error**2).mean())),
        mase=_ratio(mae, scale),
        wape=_ratio(float(np.abs(error).sum()), float(np.abs(truth).sum())),
        r2=1.0 - _ratio(unexplained, float(((truth - truth.mean()) ** 2).sum())),
        coverage_80=_coverage(truth, lo_80[known], hi_80[known]),
        coverage_95=_coverage(truth, lo_95[known], hi_95[known]),
        points=int(error.size),
    )


def _nothing_scored() -> Metrics:
    nan = math.nan
    return Metrics(
        mae=nan,
        rmse=nan,
        mase=nan,
        wape=nan,
        r2=nan,
        coverage_80=nan,
        coverage_95=nan,
        points=0,
    )


def _ratio(numerator: float, denominator: float) -> float:
    if denominator > 0:
        return numerator / denominator
    return 0.0 if numerator == 0 else math.nan


def _coverage(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    import numpy as np

    known = ~(np.isnan(low) | np.isnan(high))
    if not known.any():
        return math.nan
    inside = (truth[known] >= low[known]) & (truth[known] <= high[known])
    return float(inside.mean())


def paired_bound(backtest: Backtest, *, seed: int = 0, resamples: int = 2000) -> Comparison:
    """Compare the candidate with the incumbent on the origins that both forecast.

    Without an incumbent, or without a common origin, ``origins`` is 0 and nothing is worse.
    """
    import numpy as np

    nothing = Comparison(
        origins=0, difference=math.nan, lower=math.nan, upper=math.nan, incumbent_mae=math.nan
    )
    if backtest.incumbent is None:
        return nothing
    ours, theirs = _by_origin(backtest.actual, backtest.forecast, backtest.incumbent)
    if not ours.size:
        return nothing
    differences = ours - theirs
    drawn = _blocks(len(differences), seed, resamples)
    lower, upper = np.quantile(differences[drawn].mean(axis=1), [0.05, 0.95])
    return Comparison(
        origins=len(differences),
        difference=float(differences.mean()),
        lower=float(lower),
        upper=float(upper),
        incumbent_mae=float(theirs.mean()),
    )


def champion_test(
    actual: np.ndarray,
    forecast: np.ndarray,
    incumbent: np.ndarray,
    *,
    margin: float,
    seed: int = 0,
    resamples: int = 2000,
) -> ChampionTest | None:
    """Test on the common origins whether a candidate loses by more than a margin; None for none."""
    import numpy as np

    ours, theirs = _by_origin(actual, forecast, incumbent)
    if not ours.size:
        return None
    size, base = len(ours), float(theirs.mean())
    drawn = _blocks(size, seed, resamples)
    drawn_ours, drawn_theirs = ours[drawn].mean(axis=1), theirs[drawn].mean(axis=1)
    lower = float(np.quantile(drawn_ours - drawn_theirs, 0.05))
    p_value = None
    if size >= FEWEST_TESTED_ORIGINS:
        loss = float(ours.mean()) - (1 + margin) * base
        error = float((drawn_ours - (1 + margin) * drawn_theirs).std())
        freedom = -(-size // _block(size)) - 1
        p_value = _chance(loss, error, freedom)
    return ChampionTest(
        origins=size,
        worse=_share(float(ours.mean()) - base, base),
        lower=_share(lower, base),
        p_value=p_value,
    )


def _by_origin(
    actual: np.ndarray, forecast: np.ndarray, incumbent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both mean absolute errors of each origin that both forecast, over the same steps."""
    import numpy as np

    ours, theirs = np.abs(actual - forecast), np.abs(actual - incumbent)
    common = ~(np.isnan(ours) | np.isnan(theirs))
    scored = common.any(axis=1)
    count = common[scored].sum(axis=1)
    return (
        np.where(common, ours, 0.0)[scored].sum(axis=1) / count,
        np.where(common, theirs, 0.0)[scored].sum(axis=1) / count,
    )


def _block(size: int) -> int:
    return max(1, round(math.pow(size, 1 / 3)))


def _blocks(size: int, seed: int, resamples: int) -> np.ndarray:
    """Return resamples of origins in circular blocks, one a row."""
    import numpy as np

    block = _block(size)
    starts = np.random.default_rng(seed).integers(0, size, (resamples, -(-size // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :size] % size
    return np.asarray(drawn)


def _share(part: float, whole: float) -> float:
    if whole > 0:
        return part / whole
    return math.inf if part > 0 else 0.0


def _chance(loss: float, error: float, freedom: int) -> float:
    """Return P(T > loss / error) for Student's t; certain where the losses never vary."""
    if error <= abs(loss) * 1e-12:
        return 0.0 if loss > 0 else 1.0
    angle = math.atan2(abs(loss) / error, math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * power / (power + 1)
    inside = math.sin(angle) * total
    if odd:
        inside = 2 / math.pi * (angle + inside)
    tail = (1 - inside) / 2
    return tail if loss > 0 else 1 - tail


def skill(wape: float, floor_wape: float) -> float:
    """Return 1 - WAPE / WAPE of the floor; 0 where both are exact."""
    return 1.0 - (_ratio(wape, floor_wape) if floor_wape else float(wape > 0) + 1.0)


def pooled_skill(backtests: Iterable[Backtest]) -> float:
    """Return the skill over all circuits at once; errors are summed before they are divided."""
    import numpy as np

    model = floor = 0.0
    for backtest in backtests:
        known = ~(np.isnan(backtest.actual) | np.isnan(backtest.forecast))
        known &= ~np.isnan(backtest.floor)
        truth = backtest.actual[known]
        model += float(np.abs(truth - backtest.forecast[known]).sum())
        floor += float(np.abs(truth - backtest.floor[known]).sum())
    return skill(model, floor)
