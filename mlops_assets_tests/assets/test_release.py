"""What an asset of a release tells of its signatures, and of those that are missing."""

from __future__ import annotations

import pytest

from mlops_assets.assets.deployment import stage_verdicts
from mlops_assets.flows.awaited import given
from mlops_assets.flows.gates import gate
from mlops_assets_tests.fakes.release import ENGINEER, MANAGER, ReleaseHome


@pytest.fixture
def home():
    return ReleaseHome(quorum=2)


def check(home, made, stage):
    """The approval's check, as every circuit of the release shows it."""
    verdicts = gate(home.platform, home.config, made, stage, now=home.now)
    return stage_verdicts(stage, verdicts, home.view(made))[0]


def test_each_signature_is_shown_with_who_gave_it_and_when(home):
    made = home.tested()
    home.approve(made, "production", MANAGER)
    home.approve(made, "production", ENGINEER)
    at = home.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    told = (f"{ENGINEER} at {at}", f"{MANAGER} at {at}")
    assert given(home.view(made), "production") == told
    assert given(home.view(made), "registry") == (f"{ENGINEER} at {at}",)
    assert check(home, made, "production").passed


def test_a_check_names_who_signed_what_is_missing_and_the_command(home):
    made = home.tested()
    assert given(home.view(made), "production") == ()
    home.approve(made, "production", MANAGER)
    said = check(home, made, "production")
    assert not said.passed
    assert f"signed by {MANAGER}, 1 of 2 needed" in said.reason
    assert (
        f"`mlops release approve {made} --stage production --key ~/.ssh/id_ed25519`" in said.reason
    )
