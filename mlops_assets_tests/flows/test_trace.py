"""Tracing a prediction: the whole chain where it holds, the broken link by name where not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import DataVersion
from mlops_assets.domain.readings import RawFile
from mlops_assets.flows.evidence import page
from mlops_assets.flows.trace import trace
from mlops_assets_tests.domain.test_evidence import PROOF
from mlops_assets_tests.fakes.forecast import FORECASTING
from mlops_assets_tests.fakes.release import AUTHOR, C1, C2, ENGINEER, MANAGER, ReleaseHome
from mlops_assets_tests.fakes.serving import DAY

LINKS = [
    "deployment",
    "signatures",
    "evidence",
    "model",
    "environment",
    "training_data",
    "readings",
    "config",
]


@pytest.fixture
def home():
    from mlops_assets.flows.forecast import predict

    made = ReleaseHome()
    for models in (made.dev.models, made.registry.models):
        models.folder = lambda record: f"models/{record.circuit}/{record.version}"
    for key in (C1, C2):
        record = made.dev.models.get(key, 1)
        made.dev.evidence.bundles.clear() if key == C1 else None
        made.dev.models.proofs[key, 1] = json.dumps(PROOF).encode()
        figures = {"model": PROOF["metrics"], "floor": PROOF["floor"], "incumbent": None}
        figures["forecaster"] = PROOF["forecaster"]
        made.prove(record, figures)
    made.release_id = made.deployed()
    predict(
        made.production.lake,
        made.production.prod,
        made.registry,
        day=DAY,
        now=made.now,
        data_now=made.now,
        forecasting=FORECASTING,
    )
    return made


def follow(home, circuit=C1, day=DAY):
    return trace(home.platform, home.config, circuit, day)


def test_a_prediction_is_followed_to_its_commit(home):
    chain = follow(home)
    assert chain["problems"] == []
    assert chain["verified"] is True
    assert all(chain[name]["verified"] for name in LINKS)
    assert chain["prediction"]["release"] == home.release_id
    assert set(chain["signatures"]) == {"registry", "production", "verified"}
    assert ENGINEER in chain["signatures"]["registry"]
    assert MANAGER in chain["signatures"]["production"]
    (data,) = home.dev.training_data.versions(C1)
    assert chain["training_data"]["content_digest"] == data.content_digest
    assert chain["readings"]["delta_version"] == data.delta_version
    assert chain["config"]["file"] == "plants/P001/C001.yml"
    json.dumps(chain)


def test_a_day_without_forecast_says_what_to_run(home):
    with pytest.raises(DataError, match="run `mlops predict --date 2024-06-25 --circuit P001/C001"):
        follow(home, day=date(2024, 6, 25))


def test_changed_training_data_is_named_and_the_chain_goes_on(home):
    data, rows = home.dev.training_data.assets[C1, DataVersion(date(2024, 6, 14))]
    home.dev.training_data.assets[C1, data.version] = (data, rows.head(5))
    chain = follow(home)
    assert not chain["verified"]
    assert not chain["training_data"]["verified"]
    assert chain["config"]["verified"]
    assert any(problem.startswith("training_data: ") for problem in chain["problems"])


def test_a_changed_model_is_named(home):
    home.registry.models.bytes[C1, 1] = {"model.json": b"other"}
    chain = follow(home)
    assert chain["problems"] == ["model: model P001/C001 version 1: is damaged"]


def test_changed_evidence_is_named(home):
    home.dev.evidence.bundles[C1, 1]["metrics.json"] = b"{}"
    assert follow(home)["problems"] == [
        "evidence: metrics is not the one that the release pins",
    ]


def test_a_changed_signature_is_named(home):
    name = next(name for kind, name in home.ledger.files if kind == "approvals" and ".sig" in name)
    home.ledger.files["approvals", name] = b"other"
    chain = follow(home)
    assert not chain["signatures"]["verified"]
    assert len(chain["problems"]) == 1


def test_another_environment_is_named(home):
    home.registry.environments.known.clear()
    assert follow(home)["environment"]["verified"] is False


def test_a_raw_file_that_was_ingested_and_changed_is_named(home):
    raw = RawFile("test.parquet", 3, "0" * 64)
    lake = replace(
        home.production.lake,
        journal=SimpleNamespace(confirmed=lambda: frozenset({raw})),
    )
    home.production.lake = lake
    chain = follow(home)
    assert chain["readings"]["raw_files"] == {"test.parquet": ["0" * 64]}
    assert chain["problems"] == [
        "readings: test.parquet in the landing zone is not the file that was ingested"
    ]


def test_the_page_of_the_release_shows_figures_checks_and_signatures(home):
    html = page(home.platform, home.config, home.release_id, now=home.now).decode()
    assert home.dev.evidence.pages[home.release_id] == html.encode()
    for expected in (
        "<strong>deployed</strong>",
        ENGINEER,
        MANAGER,
        "First config",
        "the last 2 origins of the backtest",
        "<td>WAPE</td><td>5.00 %</td><td>10.00 %</td>",
        "this is its first deployment: it would stay live",
        "Delta version",
    ):
        assert expected in html


def test_the_page_of_a_candidate_says_how_to_sign(home):
    home.edit(C1, reviewers=[ENGINEER])
    made = home.create(C1)
    html = page(home.platform, home.config, made).decode()
    assert f"mlops release approve {made} --stage registry --key ~/.ssh/id_ed25519" in html
    assert "ssh-keygen -Y sign -n release-approval.v1@mlops-assets" in html
    assert f"replaces {home.release_id}" in html
    assert "<pre>- spec\n+ spec 1</pre>" in html.replace("spec 2", "spec 1")


def test_the_page_of_what_is_live_still_tells_what_was_asked_of_it(home):
    html = page(home.platform, home.config, home.release_id, now=home.now).decode()
    checks = html.split("<h2>Checks</h2>")[1].split("<h2>")[0]
    for gate in ("evidence", "lineage", "skill", "champion", "fallback_ladder"):
        assert f"<td>{gate}</td>" in checks


def test_the_page_of_a_retirement_names_the_commit_that_took_the_circuit_away(home):
    home.circuits.remove(C1)
    home.git.add(
        {f"plants/{C1}.yml": b""}, author=AUTHOR, reviewers=[ENGINEER], message="Line 1 is gone"
    )
    made = home.create(C1)
    html = page(home.platform, home.config, made, now=home.now).decode()
    changes = html.split("<h2>What changes</h2>")[1].split("<h2>")[0]
    for expected in ("Line 1 is gone", AUTHOR, f"reviewed by {ENGINEER}", str(C1)):
        assert expected in changes


def test_who_may_sign_and_until_when_is_said_until_enough_have(home):
    home.edit(C1, reviewers=[ENGINEER])
    made = home.create(C1)
    home.request(made, "registry")
    html = page(home.platform, home.config, made, now=home.now).decode()
    assert f"May sign: {ENGINEER}. The request is open until" in html
    assert home.approve(made, "registry", ENGINEER).accepted
    html = page(home.platform, home.config, made, now=home.now).decode()
    assert "May sign" not in html
    assert "mlops release approve" not in html
    assert f"mlops release reject {made}" in html


def test_the_page_of_a_candidate_that_a_check_refuses_offers_no_signing(home):
    home.edit(C1, reviewers=[ENGINEER])
    made = home.create(C1)
    home.dev.evidence.bundles[C1, 2]["metrics.json"] = b"{}"
    html = page(home.platform, home.config, made).decode()
    assert "Nobody can sign while a check below refuses" in html
    assert "mlops release approve" not in html


def test_readings_that_changed_since_are_shown_and_break_no_link(home):
    before = trace(home.platform, home.config, C1, DAY)
    assert before["training_data"]["restated"] is None
    table = home.production.lake.readings
    rows = table.read(circuits=[C1]).head(2)
    table.merge(rows.with_columns(rows["value"] + 1), slice_id="later")
    after = trace(home.platform, home.config, C1, DAY)
    assert "2 readings of 2024-06-14 changed" in after["training_data"]["restated"]
    assert after["training_data"]["acknowledged"] is None
    assert after["verified"]
