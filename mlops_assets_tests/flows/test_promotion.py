"""Stages are done when their gate is open, once, and end in the same state however often killed."""

from __future__ import annotations

from mlops_assets_tests.fakes.release import C1, C2, ENGINEER, MANAGER, ReleaseHome


def test_a_release_goes_through_its_three_stages():
    home = ReleaseHome()
    made = home.create()

    assert home.state(made) == "candidate"
    assert home.approve(made, "registry", ENGINEER).accepted
    assert home.state(made) == "awaiting_registry"
    assert home.promote(made, "registry").circuits == (C1, C2)
    assert home.state(made) == "registered"
    assert home.promote(made, "test").state == "tested"
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"
    assert home.live(C1) == home.live(C2) == made
    assert home.create() is None
