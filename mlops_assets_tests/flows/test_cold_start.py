"""From a new circuit to its own forecaster: cold start, one proposal, refreshed spec, new model."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from mlops_assets.domain.circuit import AlertPolicy
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.alert import Findings, announce, open_incidents
from mlops_assets.flows.cold_start import proposals
from mlops_assets.flows.plan import plan
from mlops_assets_tests.fakes.alert import fake_alerting
from mlops_assets_tests.fakes.release import C1, ReleaseHome
from mlops_assets_tests.fakes.serving import MIDNIGHT
from mlops_assets_tests.fakes.training import Desk

NEW = CircuitKey("P1", "NEW")
BEGAN = datetime(2024, 6, 15, tzinfo=UTC)
EARLY = datetime(2024, 6, 22, 12, tzinfo=UTC)
LATER = datetime(2024, 6, 30, 12, tzinfo=UTC)
COMMAND = "mlops refresh --cutoff 2024-06-29 --circuit P1/NEW"


class Young:
    """A desk with one circuit that has always been there and one that began a week ago."""

    def __init__(self):
        self.desk = Desk("P1/OLD", forecaster="seasonal_naive")
        self.desk.want("P1/NEW", forecaster="seasonal_naive")
        self.desk.send("P1/NEW", start=BEGAN, days=8)
        _, _, self.alerting = fake_alerting()

    def raised(self, now):
        """What is raised now."""
        found = tuple(proposals(self.desk.lake, self.desk.config, data_now=now))
        return announce(
            self.alerting, AlertPolicy(), Findings(alerts=found, asked=frozenset()), now=now
        )

    def planned(self, now):
        lines = plan(self.desk.platform, self.desk.config, now=now)
        return {line.circuit: (line.action, line.reason) for line in lines}


@pytest.fixture
def young():
    young = Young()
    young.desk.train(now=EARLY)
    return young


def test_nothing_is_proposed_while_there_is_too_little(young):
    assert young.desk.models.versions(NEW)
    assert young.raised(EARLY) == ()
    assert "refresh" not in young.planned(EARLY)[NEW][1]


def test_the_refresh_is_proposed_once_for_each_circuit(young):
    young.desk.send("P1/NEW", start=BEGAN, days=16)
    (told,) = young.raised(LATER)
    assert (told.command, told.severity, told.cause) == (COMMAND, "notice", "P1/NEW")
    assert told.subject == "P1/NEW has enough readings for its own forecaster"
    assert young.raised(LATER) == ()
    young.desk.send("P1/NEW", start=BEGAN, days=30)
    assert young.raised(datetime(2024, 7, 10, tzinfo=UTC)) == ()


def test_the_plan_ends_with_the_command(young):
    young.desk.send("P1/NEW", start=BEGAN, days=16)
    action, reason = young.planned(LATER)[NEW]
    assert action == "redeploy"
    assert reason.endswith(f"; it has enough readings now: `{COMMAND}`")
    assert "refresh" not in young.planned(LATER)[CircuitKey("P1", "OLD")][1]


def test_the_refreshed_circuit_is_trained_by_its_own_forecaster(young):
    jobs = [job.spec.forecaster for job in young.desk.engine.fitted if job.circuit == NEW]
    young.desk.send("P1/NEW", start=BEGAN, days=16)
    young.desk.want("P1/NEW", forecaster="seasonal_naive", cutoff_date=date(2024, 6, 29))
    outcome = young.desk.one("P1/NEW", now=LATER)
    assert (outcome.status, outcome.record.version) == ("trained", 2)
    jobs.append(young.desk.engine.fitted[-1].spec.forecaster)
    assert jobs == ["cold_start", "seasonal_naive"]
    assert young.raised(LATER) == ()


def test_a_circuit_without_readings_is_refused_by_name_and_nothing_is_proposed():
    young = Young()
    young.desk.want("P1/SILENT")
    outcome = young.desk.one("P1/SILENT", now=LATER)
    assert (outcome.status, outcome.left_out, outcome.reason) == ("failed", True, "no readings")
    assert young.planned(LATER)[CircuitKey("P1", "SILENT")] == ("none", "no reading")
    assert "P1/SILENT" not in {each.cause for each in young.raised(LATER)}


def test_readings_that_begin_after_the_cutoff_date_are_proposed_too():
    young = Young()
    young.desk.want("P1/LATE", cutoff_date=date(2024, 6, 1))
    young.desk.send("P1/LATE", start=BEGAN, days=16)
    action, reason = young.planned(LATER)[CircuitKey("P1", "LATE")]
    assert action == "none"
    assert reason == (
        "no reading up to its cutoff date 2024-06-01; it has enough readings now: "
        "`mlops refresh --cutoff 2024-06-29 --circuit P1/LATE`"
    )


class EarlyHome(ReleaseHome):
    """A home whose first circuit was configured within its first days."""

    @property
    def config(self):
        config = super().config
        early = replace(config.circuits[C1].spec, cutoff_date=date(2024, 5, 25))
        circuits = {**config.circuits, C1: replace(config.circuits[C1], spec=early)}
        return replace(config, circuits=circuits)


def test_the_sensor_of_alerts_looks_for_it():
    home = EarlyHome()
    found = open_incidents(home.platform, home.config, now=home.now, data_now=MIDNIGHT)
    assert "cold_start_over" in found.asked
    told = [each for each in found.alerts if each.kind == "cold_start_over"]
    assert [each.command for each in told] == [
        "mlops refresh --cutoff 2024-06-19 --circuit P001/C001"
    ]
