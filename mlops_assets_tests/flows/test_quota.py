"""A release that does not fit is refused before anybody signs it, and what differs is told."""

from __future__ import annotations

import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.gates import Verdict
from mlops_assets.flows.audit import verify
from mlops_assets_tests.fakes.release import C1, C2, ENGINEER, MANAGER, ReleaseHome

pytestmark = pytest.mark.azure

FULL = Verdict("quota", passed=False, reason="P1 has 11 circuits, 10 fit its endpoint")


@pytest.fixture
def home():
    return ReleaseHome()


@pytest.mark.parametrize("stage", ["test", "production"])
def test_a_release_that_does_not_fit_its_endpoints_is_refused_with_number_and_limit(home, stage):
    made = home.registered()
    if stage == "production":
        home.promote(made, "test")
        home.approve(made, "production", MANAGER)
    workspace = home.production.test if stage == "test" else home.production.prod
    asked = []
    workspace.endpoints.room = lambda circuits: asked.append(tuple(circuits)) or FULL
    with pytest.raises(RefusedError, match="P1 has 11 circuits, 10 fit its endpoint"):
        home.promote(made, stage)
    assert asked[0] == (C1, C2)
    assert workspace.endpoints.calls == []
    del workspace.endpoints.room
    home.promote(made, stage)


def test_a_registry_holds_any_number(home):
    for workspace in (home.production.test, home.production.prod):
        workspace.endpoints.room = lambda circuits: FULL
    made = home.create()
    home.approve(made, "registry", ENGINEER)
    assert home.promote(made, "registry").state == "registered"


def test_what_serves_something_else_than_is_live_is_a_problem(home):
    home.deployed()
    home.production.prod.endpoints.differences = lambda: ["P1: generation 2 is live, but not told"]
    found = verify(home.platform, now=home.now)
    assert (found["ok"], found["problems"]) == (False, ["P1: generation 2 is live, but not told"])
