"""A run hands its figures to whoever watches, and goes on where nobody can take them."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from mlops_assets.assets.home import Home
from mlops_assets.assets.quality import watched
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.quality import score
from mlops_assets.resources import open_monitoring
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.monitor import fake_monitoring
from mlops_assets_tests.fakes.readings import a_config
from mlops_assets_tests.fakes.serving import DAY, NOW, Production

pytestmark = pytest.mark.azure

C1 = CircuitKey("P1", "C1")


@pytest.fixture
def production():
    made = Production()
    made.serve(C1)
    return made


def told(production, monitoring, caplog):
    """What the run's log says after its figures were handed over."""
    forecast = production.predict()
    reports = score(
        production.lake, production.prod, production.registry, a_config().policy, up_to=DAY
    )
    home = SimpleNamespace(platform=production, data_now=lambda: NOW)
    if isinstance(monitoring, Exception):
        home = _Broken(home, monitoring)
    else:
        home.monitoring = monitoring
    context = SimpleNamespace(log=logging.getLogger("run"))
    with caplog.at_level(logging.INFO, logger="run"):
        watched(context, home, DAY, reports, forecast)
    return [record.getMessage() for record in caplog.records if record.name == "run"]


class _Broken:
    def __init__(self, home, error):
        self.platform, self.data_now, self._error = home.platform, home.data_now, error

    @property
    def monitoring(self):
        raise self._error


def test_the_figures_of_a_batch_are_handed_over_and_the_log_says_how_many(production, caplog):
    monitor, monitoring = fake_monitoring()
    lines = told(production, monitoring, caplog)
    assert lines == [f"the monitor took 0 rows and {len(monitor.seen)} gauges"]
    assert monitor.values("mlops.forecast_failed") == {C1: 0.0}


def test_a_monitor_that_is_down_is_said_and_stops_nothing(production, caplog):
    monitor, monitoring = fake_monitoring()
    monitor.down = DataError("Logs Ingestion answers 503")
    assert "Logs Ingestion answers 503" in told(production, monitoring, caplog)


def test_settings_that_name_no_rule_are_said_and_stop_nothing(production, caplog):
    error = UsageError("settings: monitor: rule is missing")
    assert told(production, error, caplog) == [f"the monitor was told nothing: {error}"]


def test_where_nobody_watches_nothing_is_read(production, caplog):
    assert told(production, None, caplog) == []


def test_a_folder_of_this_machine_watches_where_it_is_named(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path / "home", config=tmp_path / "config")
    assert open_monitoring(settings, {}) is None
    monkeypatch.setenv("MLOPS_MONITORING", str(tmp_path / "figures"))
    monitoring = Home(settings).monitoring
    monitoring.monitor.gauges([])
    monitoring.sent.write({"P1/C1:2024-06-20": "a"})
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "metrics.prom",
        "sent.json",
    ]
