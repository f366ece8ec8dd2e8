"""Monitor: the figures that leave the platform after forecasts were scored.

Rows are sent until they are taken: what could not be sent now goes with the next sending, from the
quality table itself. Gauges are of the moment, and are not sent late. A monitor that is down is
reported and stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.monitor import gauges_of, row_id, row_key, unsent
from mlops_assets.domain.quality import days_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from mlops_assets.domain.forecast import ForecastReport
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.quality import QualityReport
    from mlops_assets.ports import Lake, Monitoring

# A monitor that takes nothing for longer misses what is older; `lake/quality` keeps it.
RESENT_DAYS = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a monitor took now; ``problems`` say why it did not take the rest."""

    rows: int = 0
    gauges: int = 0
    problems: tuple[str, ...] = ()


def tell(
    lake: Lake,
    monitoring: Monitoring,
    reports: Mapping[CircuitKey, QualityReport],
    *,
    up_to: date,
    data_now: datetime,
    forecast: ForecastReport | None = None,
) -> Told:
    """Send the quality rows that were never taken, and the gauges of now.

    Args:
        lake: where the scored rows lie.
        monitoring: who takes them.
        reports: every live circuit's rolling quality.
        up_to: the last day that was scored.
        data_now: the present as the data see it.
        forecast: the batch that was just issued, if any.
    """
    problems = []
    rows = 0
    try:
        rows = _send_rows(lake, monitoring, first=up_to - timedelta(days=RESENT_DAYS - 1))
    except MlopsError as error:
        problems.append(str(error))
    newest = lake.readings.newest() if lake.readings.exists() else None
    gauges = gauges_of(reports, forecast, data_now - newest if newest else None)
    try:
        monitoring.monitor.gauges(gauges)
    except MlopsError as error:
        problems.append(str(error))
        gauges = ()
    return Told(rows=rows, gauges=len(gauges), problems=tuple(problems))


def _send_rows(lake: Lake, monitoring: Monitoring, *, first: date) -> int:
    """Send what is new since ``first``, then remember it: a kill between sends it twice."""
    with monitoring.sent.lock():
        sent = monitoring.sent.read()
        days = days_of(lake.quality.read(first=first))
        fresh = unsent(days, sent)
        if fresh:
            monitoring.monitor.rows(fresh)
        if (now := {row_key(day): row_id(day) for day in days}) != sent:
            monitoring.sent.write(now)
    return len(fresh)
