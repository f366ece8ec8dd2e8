"""A monitor in memory, and days of quality to send to it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.monitor import row_id
from mlops_assets.domain.quality import DayQuality
from mlops_assets.ports import Monitoring


class FakeMonitor:
    """Takes everything, but for what ``down`` says; ``taken`` has each row once, by its id."""

    def __init__(self):
        self.taken = {}
        self.seen = []
        self.sendings = 0
        self.down = None

    def rows(self, days):
        if self.down:
            raise self.down
        self.sendings += 1
        self.taken |= {row_id(day): day for day in days}

    def gauges(self, gauges):
        if self.down:
            raise self.down
        self.seen = list(gauges)

    def values(self, name):
        """What a gauge said of each circuit."""
        return {gauge.circuit: gauge.value for gauge in self.seen if gauge.name == name}


class FakeSentRows:
    def __init__(self):
        self.sent = {}

    def read(self):
        return dict(self.sent)

    def write(self, sent):
        self.sent = dict(sent)

    @contextmanager
    def lock(self):
        yield


def fake_monitoring():
    """A monitor, and what flows take of it."""
    monitor = FakeMonitor()
    return monitor, Monitoring(monitor=monitor, sent=FakeSentRows())


def a_day(circuit="P1/C1", **changes) -> DayQuality:
    """One scored day that differs as named."""
    given = {
        "circuit": CircuitKey.parse(circuit),
        "issued_for": date(2024, 6, 20),
        "release": "r-0123456789ab",
        "model_version": 3,
        "fallback": "none",
        "rows": 24,
        "mae": 1.5,
        "mase": float("nan"),
        "wape": 0.125,
        "bias": -0.5,
        "coverage_80": 0.75,
        "coverage_95": 1.0,
        "absolute_error": 36.0,
        "absolute_actual": 288.0,
    }
    return DayQuality(**(given | changes))
