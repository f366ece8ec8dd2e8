"""What alerts must do: the fake, the local ones, and those in blobs."""

from __future__ import annotations

import io

import pytest

from mlops_assets.adapters.local.alert import LocalAlertLog, LocalAlerts
from mlops_assets.adapters.tree.alert import TreeAlertLog, TreeAlerts
from mlops_assets.domain.circuit import AlertPolicy
from mlops_assets_tests.fakes.alert import FakeAlertLog, FakeAlerts, a_letter

PLACES = ["fake", "local", pytest.param("azure", marks=pytest.mark.azure)]


@pytest.fixture(params=PLACES)
def log(request, tmp_path):
    if request.param == "azure":
        return TreeAlertLog(request.getfixturevalue("azurite").tree("alerts"))
    return FakeAlertLog() if request.param == "fake" else LocalAlertLog(tmp_path / "alerts")


@pytest.fixture(params=PLACES)
def alerts(request, tmp_path):
    if request.param == "azure":
        tree = request.getfixturevalue("azurite").tree("alerts")
        return TreeAlerts(tree, "alerts.jsonl", AlertPolicy(), terminal=io.StringIO())
    if request.param == "fake":
        return FakeAlerts()
    return LocalAlerts(tmp_path / "alerts.jsonl", AlertPolicy(), terminal=io.StringIO())


def test_a_name_is_taken_once_and_keeps_what_it_first_held(log):
    assert log.put("raised", "no_forecast.0.0", b"first")
    assert not log.put("raised", "no_forecast.0.0", b"first")
    assert not log.put("raised", "no_forecast.0.0", b"second")
    assert log.get("raised", "no_forecast.0.0") == b"first"


def test_names_are_sorted_and_of_one_kind(log):
    assert list(log.names("raised")) == []
    for name in ("b.0", "a.0"):
        log.put("raised", name, b"")
    log.put("done", "a.0", b"")
    assert list(log.names("raised")) == ["a.0", "b.0"]
    assert log.get("sent", "a.0") is None


def test_sending_can_be_held(log):
    with log.lock():
        log.put("sent", "a.0.file", b"")
    with log.lock():
        assert list(log.names("sent")) == ["a.0.file"]


def test_the_file_takes_every_alert_and_the_same_one_again(alerts):
    for name in ("a.0", "b.0", "a.0"):
        alerts.send(a_letter(name=name), "file")
