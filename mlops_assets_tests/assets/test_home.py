"""The home of a Dagster process: what comes from a run's tags never becomes a path."""

from __future__ import annotations

import pytest

from mlops_assets.assets.home import Home
from mlops_assets.settings import Settings


@pytest.mark.parametrize(
    "tag", ["abcdefgh", "x/../../../ledger/approvals/y", "/etc/x", "..", "a\n", "a" * 5000]
)
def test_a_backfill_is_done_by_its_first_run_whatever_its_tag_holds(tmp_path, tag):
    home = Home(Settings(tmp_path / "home", tmp_path / "config"))
    for first in (True, False):
        with home.alone(tag) as alone:
            assert alone is first
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {
        home.settings.layout.locks
    }


def test_a_run_outside_of_any_backfill_is_always_alone(tmp_path):
    home = Home(Settings(tmp_path / "home", tmp_path / "config"))
    for _ in range(2):
        with home.alone(None) as alone:
            assert alone
    assert list(tmp_path.iterdir()) == []
