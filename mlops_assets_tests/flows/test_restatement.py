"""Readings that change after training: named, proposed, and refused until people sign for it."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.history import History
from mlops_assets.flows.alert import open_incidents
from mlops_assets.flows.page import page
from mlops_assets.flows.plan import plan
from mlops_assets.flows.restatement import overview
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.release import C1, C2, ENGINEER, MANAGER, ReleaseHome
from mlops_assets_tests.fakes.serving import MIDNIGHT

STAGES = ["registry", "test", "production"]


@pytest.fixture
def home():
    return ReleaseHome()


def restate(home, key, *, days_ago=20, hours=1, by=5.0, name="late"):
    """Change readings as a slice does: merged, and recorded with old and new value."""
    lake = home.production.lake
    start = MIDNIGHT - timedelta(days=days_ago)
    rows = lake.readings.read(start=start, end=start + timedelta(hours=hours), circuits=[key])
    slice_id = f"{name}-{key}-{days_ago}-{hours}-{by}"
    result = lake.readings.merge(rows.with_columns(pl.col("value") + by), slice_id=slice_id)
    lake.restatements.append(
        result.changed.with_columns(
            pl.lit(result.delta_version, dtype=pl.Int64).alias("delta_version"),
            pl.lit(slice_id).alias("slice"),
        ),
        slice_id=slice_id,
    )


def lines(home):
    return {line.circuit: line for line in plan(home.platform, home.config, now=home.now)}


def found(home):
    return overview(home.platform, home.config, data_now=home.now)


def alerts(home):
    told = open_incidents(
        home.platform, home.config, now=home.now, data_now=home.now, forecasting=FORECASTING
    )
    return [alert for alert in told.alerts if alert.kind == "restated"]


def brought_to(home, stage):
    """A release whose next stage this is, signed where people sign."""
    if stage == "registry":
        made = home.create()
        assert home.approve(made, "registry", ENGINEER).accepted
    elif stage == "test":
        made = home.registered()
    else:
        made = home.tested()
        assert home.approve(made, "production", MANAGER).accepted
    return made


def test_a_restatement_names_training_data_model_and_whether_it_is_live(home):
    made = home.deployed()
    restate(home, C1, hours=3)
    [row] = found(home)
    assert row.circuit == C1
    [data], [model] = row.data, row.models
    assert (str(data.data_version), data.hours) == ("2024-06-14", 3)
    assert (model.version, model.live, model.wanted) == (1, made, True)
    assert row.command == "mlops refresh --cutoff 2024-06-19 --circuit P001/C001"


def test_a_change_after_the_cutoff_is_no_restatement(home):
    home.deployed()
    restate(home, C1, days_ago=2)
    assert found(home) == ()
    assert alerts(home) == []


def test_a_value_that_changes_back_is_no_restatement_any_more(home):
    restate(home, C1, by=5.0)
    assert found(home)
    restate(home, C1, by=-5.0)
    assert found(home) == ()


def test_the_plan_proposes_a_refresh_and_trains_nothing_by_itself(home):
    home.deployed()
    restate(home, C1)
    line = lines(home)[C1]
    assert line.action == "none"
    assert "1 reading of 2024-06-14 changed, at 2024-05-31T00:00:00Z" in line.reason
    assert "`mlops refresh --cutoff 2024-06-19 --circuit P001/C001`" in line.reason
    assert "restated" not in lines(home)[C2].reason


def test_a_model_that_learned_the_new_readings_ends_it(home):
    home.deployed()
    restate(home, C1)
    home.edit(C1)
    assert "restated" not in lines(home)[C1].reason
    [row] = found(home)
    assert [(model.version, model.wanted) for model in row.models] == [(1, False)]
    assert row.matters  # version 1 is live still
    home.deployed(C1)
    assert not found(home)[0].matters
    assert alerts(home) == []


def test_people_are_told_once_for_each_slice_whatever_comes_after(home):
    home.deployed()
    restate(home, C1, name="monday")
    restate(home, C2, days_ago=10, name="tuesday")
    first, second = alerts(home)
    assert {first.cause.split("-")[0], second.cause.split("-")[0]} == {"monday", "tuesday"}
    assert first.command == "mlops refresh --cutoff 2024-06-19 --circuit P001/C001"
    assert "learned by version 1 (live by r-" in first.says
    assert first.severity == "warning"
    causes = {first.cause, second.cause}
    restate(home, C1, days_ago=9, name="wednesday")
    assert {alert.cause for alert in alerts(home)} > causes


@pytest.mark.parametrize("stage", STAGES)
def test_a_restatement_between_signature_and_stage_refuses_every_stage(home, stage):
    made = brought_to(home, stage)
    before = home.production.prod.endpoints.swaps
    restate(home, C1)
    with pytest.raises(RefusedError, match="restatements: P001/C001: 1 reading of 2024-06-14"):
        home.promote(made, stage)
    assert home.production.prod.endpoints.swaps == before


def test_nobody_can_ask_or_sign_for_a_restated_model(home):
    made = home.create()
    restate(home, C1)
    assert any("restatements" in reason for reason in home.request(made, "registry").missing)
    assert home.approve(made, "registry", ENGINEER).code == "E_EVIDENCE"


def test_an_acknowledged_restatement_goes_the_whole_way(home):
    plain = home.create()
    restate(home, C1)
    made = home.create(acknowledge=True)
    assert made not in (None, plain)
    assert home.approve(made, "registry", ENGINEER).accepted
    home.promote(made, "registry")
    home.promote(made, "test")
    assert home.approve(made, "production", MANAGER).accepted
    assert home.promote(made, "production").state == "deployed"
    assert home.live(C1) == made


def test_what_people_sign_covers_the_acknowledgement(home):
    restate(home, C1)
    made = home.create(acknowledge=True)
    manifest = json.loads(home.ledger.get("releases", f"{made}.json"))
    restated = {each["circuit"]: each.get("restated") for each in manifest["entries"]}
    assert len(restated["P001/C001"]) == 64
    assert restated["P001/C002"] is None
    home.request(made, "registry")
    statement = json.loads(home.statement(made, "registry", ENGINEER))
    assert statement["subject"][0]["digest"]["sha256"] == home.view(made).digest


def test_another_restatement_after_the_acknowledgement_refuses_again(home):
    restate(home, C1)
    made = home.create(acknowledge=True)
    assert home.approve(made, "registry", ENGINEER).accepted
    restate(home, C1, days_ago=19, name="more")
    with pytest.raises(RefusedError, match="after the release acknowledged others"):
        home.promote(made, "registry")


def test_a_release_without_the_acknowledgement_is_not_cut_beside_one_with_it(home):
    restate(home, C1)
    made = home.create(acknowledge=True)
    assert home.create() is None
    assert home.create(acknowledge=True) is None
    restate(home, C1, days_ago=19, name="more")
    again = home.create(acknowledge=True)
    assert again not in (None, made)


def test_a_stage_that_had_begun_is_finished(home, monkeypatch):
    made = brought_to(home, "production")
    endpoints = home.production.prod.endpoints
    with monkeypatch.context() as patched:
        patched.setattr(endpoints, "swap", _die)
        with pytest.raises(KeyboardInterrupt):
            home.promote(made, "production")
    restate(home, C1)
    assert home.promote(made, "production").state == "deployed"
    assert (C1, made) in History(home.ledger.entries()).deployed


def _die(*_):
    raise KeyboardInterrupt


def test_the_page_lists_what_is_acknowledged_value_by_value(home):
    restate(home, C1, hours=2)
    made = home.create(acknowledge=True)
    html = page(home.platform, home.config, made, now=home.now).decode()
    assert "2 values, digest" in html
    assert "2024-05-31T00:00:00Z value" in html
    assert "was learned" in html


def test_broken_training_data_of_one_circuit_refuse_no_other(home):
    made = home.registered()
    [data] = home.dev.training_data.versions(C1)
    del home.dev.training_data.assets[C1, data.version]
    with pytest.raises(RefusedError) as refused:
        home.promote(made, "test")
    assert "P001/C001: cannot be compared" in str(refused.value)
    assert "P001/C002" not in str(refused.value)
