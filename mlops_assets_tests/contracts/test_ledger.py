"""What every ledger must do: the fake, the local one, and the one in blobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.local.ledger import LocalLedger
from mlops_assets.adapters.tree.ledger import TreeLedger
from mlops_assets.domain.errors import DataError, StaleError
from mlops_assets.domain.ledger import GENESIS, hash_of
from mlops_assets_tests.fakes.ledger import FakeLedger

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["fake", "local", pytest.param("azure", marks=pytest.mark.azure)])
def ledger(request, tmp_path):
    if request.param == "fake":
        return FakeLedger()
    anchors: list[str] = []
    if request.param == "azure":
        tree = request.getfixturevalue("azurite").tree("ledger")
        return TreeLedger(tree, anchors.append, lambda: anchors)
    return LocalLedger(tmp_path / "ledger", anchors.append, lambda: anchors)


def test_a_new_ledger_is_empty(ledger):
    assert list(ledger.entries()) == []
    assert list(ledger.names("releases")) == []
    assert ledger.get("releases", "r-1.json") is None


def test_entries_follow_each_other(ledger):
    first = ledger.append("initialised", "platform", {"format": 1}, NOW)
    second = ledger.append("released", "a@b.example", {"circuits": ["P1/C1"]}, NOW)

    assert list(ledger.entries()) == [first, second]
    assert (first.seq, first.prev) == (0, GENESIS)
    assert (second.seq, second.prev) == (1, hash_of(first))
    assert (second.event, second.actor) == ("released", "a@b.example")
    assert second.data == {"circuits": ["P1/C1"]}


def test_time_is_kept_in_whole_seconds_and_never_runs_back(ledger):
    first = ledger.append("a", "platform", {}, NOW + timedelta(seconds=1.9))
    second = ledger.append("b", "platform", {}, NOW)
    assert first.at == second.at == NOW + timedelta(seconds=1)


def test_a_read_and_an_append_may_be_held_together(ledger):
    with ledger.lock(), ledger.lock():
        assert list(ledger.entries()) == []
        ledger.append("a", "platform", {}, NOW)
    assert len(ledger.entries()) == 1


def test_a_file_is_written_once(ledger):
    assert ledger.put("approvals", "b.json", b"1")
    assert not ledger.put("approvals", "b.json", b"1")
    with pytest.raises(StaleError, match="written once"):
        ledger.put("approvals", "b.json", b"2")
    ledger.put("approvals", "a.sig", b"3")
    ledger.put("consumed", "c.json", b"4")
    assert list(ledger.names("approvals")) == ["a.sig", "b.json"]
    assert ledger.get("approvals", "b.json") == b"1"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("secrets", "a"), ("approvals", "../log.jsonl"), ("approvals", "/etc/passwd"),
     ("approvals", ".lock"), ("..", "a"), ("approvals", "a/b")],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(ledger, kind, name):
    with pytest.raises(DataError, match="is not a name"):
        ledger.put(kind, name, b"")
    with pytest.raises(DataError, match="is not a name"):
        ledger.get(kind, name)
