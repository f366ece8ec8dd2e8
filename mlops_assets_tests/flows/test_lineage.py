"""Lineage is recomputed from storage: what was changed there is found by its link."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from mlops_assets.flows.gates import gate
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.lineage import confirm
from mlops_assets_tests.fakes.release import C1, C2, ReleaseHome


@pytest.fixture
def home():
    return ReleaseHome()


def entries(home):
    return manifest_of(home.ledger, home.view(home.create())).entries


def link(home, proposed):
    """The broken link of the first circuit; the second one holds."""
    verdicts = confirm(home.platform, proposed)
    assert verdicts[C2].passed
    assert not verdicts[C1].passed
    return verdicts[C1].reason.removeprefix("broken at ").split(": ")[0]


def test_a_chain_that_holds_is_confirmed(home):
    verdict = confirm(home.platform, entries(home))[C1]
    assert verdict.passed
    assert "recomputed from storage" in verdict.reason


def test_readings_that_come_later_break_no_chain(home):
    proposed = entries(home)
    home.production.send(C1, level=7.0)
    assert confirm(home.platform, proposed)[C1].passed


def test_readings_that_changed_at_the_pinned_version_are_found(home):
    proposed = entries(home)
    versions = home.production.lake.readings.versions
    for number, rows in enumerate(versions):
        ours = pl.col("circuit_id") == C1.circuit_id
        value = pl.when(ours).then(pl.col("value") + 1e-9).otherwise(pl.col("value"))
        versions[number] = rows.with_columns(value.alias("value"))
    assert link(home, proposed) == "readings -> training data"


def test_readings_that_are_gone_are_found(home):
    proposed = entries(home)
    versions = home.production.lake.readings.versions
    versions[:] = [rows.filter(pl.col("circuit_id") != C1.circuit_id) for rows in versions]
    assert link(home, proposed) == "readings -> training data"


def test_training_data_that_are_gone_or_changed_are_found(home):
    proposed = entries(home)
    (data,) = home.dev.training_data.versions(C1)
    rows = home.dev.training_data.assets[C1, data.version][1]
    home.dev.training_data.assets[C1, data.version] = (data, rows.head(3))
    assert link(home, proposed) == "readings -> training data"
    del home.dev.training_data.assets[C1, data.version]
    assert link(home, proposed) == "readings -> training data"


def test_stored_rows_that_are_not_their_digest_are_found_whatever_the_store_says(home):
    proposed = entries(home)
    rows = home.dev.training_data.rows
    home.dev.training_data.rows = lambda data: rows(data).head(3 if data.circuit == C1 else 10**6)
    assert link(home, proposed) == "readings -> training data"


def test_a_model_of_other_data_or_other_bytes_is_found(home):
    proposed = entries(home)
    record = home.dev.models.get(C1, 1)
    home.dev.models.records[C1, 1] = replace(record, data_digest="9" * 64)
    assert link(home, proposed) == "training data -> model"
    home.dev.models.records[C1, 1] = record
    files = home.dev.models.files
    home.dev.models.files = lambda of: files(of) | ({"x": b""} if of.circuit == C1 else {})
    assert link(home, proposed) == "training data -> model"


def test_another_environment_is_found(home):
    proposed = entries(home)
    record = home.dev.models.get(C1, 1)
    home.dev.models.records[C1, 1] = replace(record, environment_digest="9" * 64)
    assert link(home, proposed) == "environment -> model"


def test_a_lineage_file_that_says_something_else_is_found(home):
    proposed = entries(home)
    bundle = home.dev.evidence.bundles[C1, 1]
    bundle["lineage.json"] = bundle["lineage.json"].replace(b"readings", b"Readings")
    assert link(home, proposed) == "model -> evidence"
    del bundle["scoring_notebook.html"]
    assert link(home, proposed) == "model -> evidence"


@pytest.mark.parametrize(
    "pin", [{"model_digest": "9" * 64}, {"delta_version": 99}, {"spec_digest": "9" * 64}]
)
def test_a_release_that_pins_something_else_is_found(home, pin):
    first, *others = entries(home)
    assert link(home, [replace(first, **pin), *others]) == "model -> release"


def test_the_gate_refuses_a_broken_chain_before_anybody_signs(home):
    made = home.create()
    home.production.lake.readings.versions[:] = [
        rows.clear() for rows in home.production.lake.readings.versions
    ]
    found = {v.gate: v for v in gate(home.platform, home.config, made, "registry", now=home.now)}
    assert found["lineage"].refuses
    assert "P001/C002: broken at readings -> training data" in found["lineage"].reason
    assert any("lineage" in reason for reason in home.request(made, "registry").missing)
