"""Evidence: the same inputs give the same bytes, reviews count only by others, links must fit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import DataError, ModelError
from mlops_assets.domain.evidence import (
    REGISTRY_KINDS,
    Evidence,
    digests_by_kind,
    document_bytes,
    lineage_document,
    metrics_document,
    on_one_axis,
    proof_of,
    training_log,
)
from mlops_assets.domain.identifiers import CircuitKey, sha256
from mlops_assets.domain.training_data import TrainingData
from mlops_assets_tests.fakes.environment import environment
from mlops_assets_tests.fakes.model import model_files, model_record

CIRCUIT = CircuitKey("P001", "C001")
START = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN, BOB, EVE = "ann@co.example", "bob@co.example", "eve@co.example"
FIGURES = {
    "mae": 1.0,
    "rmse": 1.5,
    "mase": 0.8,
    "wape": 0.05,
    "r2": 0.9,
    "coverage_80": 0.8,
    "coverage_95": 0.95,
    "points": 48,
}
PROOF = {
    "format": 1,
    "forecaster": "auto_ets",
    "metrics": FIGURES,
    "floor": FIGURES | {"wape": 0.1, "mase": None},
    "incumbent": None,
    "candidates": [{"forecaster": "auto_ets", "mae": 1.0, "wape": 0.05}],
    "backtest": {
        "origins": [START.isoformat(), (START + 24 * HOUR).isoformat()],
        "actual": [[1.0, None], [3.0, 4.0]],
        "forecast": [[1.0, 2.0], [3.0, 4.0]],
        "floor": [[1.0, 2.0], [3.0, 4.0]],
        "incumbent": None,
    },
    "log": ["tried auto_ets"],
}
RECORD = model_record(model_files())


def proof(**changes):
    return proof_of(RECORD, json.dumps(PROOF | changes).encode())


def training_data(**changes):
    data = TrainingData(
        circuit=CIRCUIT,
        version=RECORD.data_version,
        content_digest=RECORD.data_digest,
        delta_version=4,
        rows=10,
        cutoff_date=date(2024, 6, 21),
        timezone="UTC",
        first_timestamp=START,
        last_timestamp=START + 9 * HOUR,
        columns=("timestamp", "value"),
        path="workspaces/dev/data/P001/C001/2024-06-21",
    )
    return replace(data, **changes)


def test_a_bundle_names_what_it_lacks():
    some = Evidence(circuit=CIRCUIT, model_version=1, digests={"metrics": "0" * 64})
    assert some.missing() == tuple(kind for kind in REGISTRY_KINDS if kind != "metrics")


def test_html_has_no_kind_of_its_own():
    assert digests_by_kind({"scoring_notebook.html": "0", "metrics.json": "1"}) == {"metrics": "1"}


def test_skill_is_the_share_of_the_floors_error_that_is_saved():
    assert proof().skill == pytest.approx(0.5)
    assert proof(floor=FIGURES | {"wape": 0.0}).skill == -math.inf
    exact = FIGURES | {"wape": 0.0}
    assert proof(metrics=exact, floor=exact).skill == 0.0


@pytest.mark.parametrize(
    "damage",
    [
        {"backtest": None},
        {"backtest": {}},
        {"metrics": None},
        {"log": None},
        {"candidates": 3},
    ],
)
def test_a_proof_that_cannot_be_read_is_refused_by_model(damage):
    with pytest.raises(ModelError, match="model P001/C001 version 1"):
        proof(**damage)


def test_an_absent_proof_is_refused():
    with pytest.raises(ModelError, match="train it again"):
        proof_of(RECORD, b"")


def test_metrics_hold_no_number_that_json_lacks():
    document = json.loads(document_bytes(metrics_document(RECORD, proof())))
    assert document["floor"]["mase"] is None
    assert document["model"]["wape"] == 0.05
    assert document["model_digest"] == RECORD.digest


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_document_has_one_text_that_reads_back(value):
    text = document_bytes({"value": value})
    again = json.loads(text)
    assert document_bytes(again) == text
    assert text.endswith(b"\n")


def test_the_training_log_is_one_json_object_a_line():
    lines = [json.loads(line) for line in training_log(RECORD, proof()).splitlines()]
    assert lines[0]["model_digest"] == RECORD.digest
    assert lines[1:] == [{"log": "tried auto_ets"}]


def test_lineage_follows_readings_to_model():
    environments = replace(environment(), digest=RECORD.environment_digest)
    document = lineage_document(RECORD, training_data(), environments, {"a.html": "0"})
    assert document["readings"] == {"delta_version": 4}
    assert document["training_data"]["content_digest"] == RECORD.data_digest
    assert document["model"]["digest"] == RECORD.digest
    assert document["config"]["commit"] == RECORD.config_commit
    assert document["notebook"] == {"a.html": "0"}


def test_lineage_refuses_links_that_do_not_fit():
    fitting = replace(environment(), digest=RECORD.environment_digest)
    with pytest.raises(DataError, match=f"training data {RECORD.data_digest[:12]}, but 0000"):
        lineage_document(RECORD, training_data(content_digest="0" * 64), fitting, {})
    with pytest.raises(DataError, match="environment"):
        lineage_document(RECORD, training_data(), environment(), {})


def test_a_later_origin_wins_an_overlap():
    origins = [START, START + HOUR, START + 4 * HOUR]
    rows = [(1.0, 2.0), (3.0, None), (5.0, 6.0)]
    assert on_one_axis(rows, origins, HOUR) == [1.0, 3.0, None, None, 5.0, 6.0]


def test_no_origin_makes_no_axis():
    assert on_one_axis([], [], HOUR) == []


def test_a_digest_is_of_the_text():
    assert sha256(document_bytes({"b": 1, "a": 2})) == sha256(document_bytes({"a": 2, "b": 1}))
