"""A short part of the harm done to a realistic log, and what `verify` says of a real one."""

from __future__ import annotations

import pytest

from mlops_assets.domain.ledger import read_log
from mlops_assets.flows.audit import verify
from mlops_assets_tests.attacks.homes import DiskHome
from mlops_assets_tests.attacks.log import harmed, realistic, verdict

# A prime, so that each place within a byte is met.
EVERY = 61


@pytest.fixture(scope="module")
def log():
    return realistic()


def test_an_unharmed_log_has_nothing_to_name(log):
    assert verdict(log.data, log.anchors) == (None, "")
    events = {entry.event for entry in read_log(log.data)}
    assert events >= {
        "initialised", "released", "requested", "approved", "rejected", "expired", "consumed",
        "registered", "tested", "deployed", "rolled_back",
    }  # fmt: skip


def test_all_harm_is_found_and_the_first_broken_entry_named(log):
    found = harmed(log, every=EVERY)
    assert found.wrong == [], found.table()
    assert found.tried.keys() == {"bit", "truncation", "drop", "duplicate", "swap", "copy"}
    assert found.tried["bit"] >= len(log.data) * 8 // EVERY


def test_harm_that_is_not_found_would_be_counted(log):
    from mlops_assets_tests.attacks.log import Log

    blind = Log(log.data, ())
    assert harmed(blind, every=10_000).wrong


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = DiskHome(tmp_path_factory.mktemp("log") / "home")
    home.deployed()
    return home


@pytest.mark.parametrize("number", [0, 1, 4, -1])
def test_verify_names_the_first_broken_entry_of_a_real_ledger(home, number, tmp_path):
    copy = home.at(tmp_path / "home")
    assert verify(copy.platform, now=copy.now)["ok"]
    path = copy.layout.ledger / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b'"actor":"', b'"actor":"x', 1)
    path.write_bytes(b"".join(lines))

    said = verify(copy.again().platform, now=copy.now)

    assert not said["ok"]
    broken = range(len(lines))[number]
    assert f"ledger entry {broken} is not the one that was anchored" in said["problems"][0]
