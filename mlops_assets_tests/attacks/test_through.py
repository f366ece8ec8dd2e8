"""A short part of the attacks that go the whole way, in memory and on a disk."""

from __future__ import annotations

import pytest

from mlops_assets_tests.attacks.generate import SEED
from mlops_assets_tests.attacks.homes import DiskHome
from mlops_assets_tests.attacks.tally import Tally
from mlops_assets_tests.attacks.through import attacked, prepared
from mlops_assets_tests.fakes.release import ReleaseHome


@pytest.mark.parametrize(("where", "count"), [("in memory", 150), ("on a disk", 90)])
def test_no_paper_that_is_handed_in_opens_a_gate(where, count, tmp_path):
    home = prepared(ReleaseHome() if where == "in memory" else DiskHome(tmp_path / "home"))
    tally = attacked(home, count, where, SEED, Tally())
    assert tally.wrong == [], tally.table()
    assert tally.tried == count
    assert min(tally.controls[family] for family in tally.codes) == 1
