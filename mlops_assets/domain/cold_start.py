"""The end of a cold start: a circuit trained on too few readings has enough of them now."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_assets.domain.circuit import effective_spec
from mlops_assets.domain.model import COLD_START_DAYS
from mlops_assets.domain.training_data import MINIMUM_SHARE, data_end

if TYPE_CHECKING:
    from datetime import date, datetime

    from mlops_assets.domain.circuit import Spec


def end_of_cold_start(
    spec: Spec, first: datetime, last: datetime, rows: int, data_now: datetime
) -> date | None:
    """Return the cutoff date that a spec may have now, None while it needs no other.

    It needs one where its own leaves too few readings for its forecaster. Then the newest local day
    that is over, and no later than the last reading, ends the cold start, as soon as training would
    take the readings up to it.

    Args:
        spec: what config asks for.
        first: the circuit's first reading.
        last: its newest one.
        rows: how many it has.
        data_now: the present as the data see it.
    """
    if spec.forecaster == "cold_start" or effective_spec(spec, first) == spec:
        return None
    zone = ZoneInfo(spec.timezone)
    over = (data_now.astimezone(zone) - timedelta(days=1)).date()
    newest = min(over, last.astimezone(zone).date())
    enough_days = data_end(newest, spec.timezone) - first >= timedelta(days=COLD_START_DAYS)
    enough_rows = rows >= int(MINIMUM_SHARE * COLD_START_DAYS * spec.steps_per_day)
    return newest if enough_days and enough_rows else None
