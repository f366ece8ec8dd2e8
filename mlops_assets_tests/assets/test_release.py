"""What an asset of a release tells of its signatures, and of those that are missing."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from mlops_assets.assets.deployment import deployment_fact, stage_verdicts
from mlops_assets.assets.deployment import test_fact as deployed_in_test
from mlops_assets.assets.forecast import prediction_fact
from mlops_assets.assets.release import candidate_fact, registry_fact
from mlops_assets.domain.forecast import CircuitForecast
from mlops_assets.flows.awaited import given
from mlops_assets.flows.deployment import live_deployments
from mlops_assets.flows.gates import gate
from mlops_assets.flows.ledger import manifest_of
from mlops_assets_tests.fakes.release import C1, ENGINEER, MANAGER, ReleaseHome


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


def test_each_circuit_of_a_release_names_its_page_from_candidate_to_production(home):
    made = home.tested()
    home.approve(made, "production", MANAGER)
    home.approve(made, "production", ENGINEER)
    home.promote(made, "production")
    view = home.view(made)
    manifest = manifest_of(home.ledger, view)
    entry = manifest.entry(C1)
    live = live_deployments(home.platform.prod)[C1]
    page = f"workspaces/dev/evidence/releases/{made}/page.html"
    for fact in (
        candidate_fact(manifest, entry),
        registry_fact(manifest, entry, view),
        deployed_in_test(manifest, entry),
        deployment_fact(live, view),
    ):
        assert fact.metadata["page"] == page, fact.asset


def test_each_prediction_names_the_command_that_follows_it_to_its_proof():
    day = date(2026, 7, 1)
    values = np.zeros(24)
    told = prediction_fact(
        CircuitForecast(
            circuit=C1,
            issued_for=day,
            release="r-0123456789ab",
            model_version=1,
            data_version="2026-06-23",
            delta_version=3,
            fallback="none",
            fallback_reason="",
            rows=24,
            kept=False,
            hindcast=False,
            mean=0.0,
            minimum=0.0,
            maximum=0.0,
            seconds=0.1,
            values=values,
            lo_95=values,
            hi_95=values,
        )
    ).metadata
    assert told["proof"] == "mlops trace P001/C001 --date 2026-07-01"
    assert told["page"] == "workspaces/dev/evidence/releases/r-0123456789ab/page.html"
