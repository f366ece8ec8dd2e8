"""What any engine of the daily batch must do: this process, tasks of a cluster, batch endpoints."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.engines.polars import PolarsEngine
from mlops_assets.flows.issue import Issuing
from mlops_assets_tests.fakes.deployment import a_serving, an_entry
from mlops_assets_tests.fakes.trained_home import TrainedHome

DAY = date(2024, 6, 24)
KEYS = [CircuitKey("P1", "C1"), CircuitKey("P1", "C2"), CircuitKey("P2", "C1")]
UNREAD = CircuitKey("P3", "C1")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three circuits with models; the last one's cannot be read any more."""
    made = TrainedHome(tmp_path_factory.mktemp("home"), *map(str, KEYS))
    damaged = made.layout.dev_models / "P2" / "C1" / "1" / "model.json"
    damaged.chmod(0o644)
    damaged.write_bytes(b"{}")
    return made


@pytest.fixture
def work(home):
    """A day on which one circuit's model is damaged, and one has no reading at all."""
    live = {
        key: deployment_of(
            an_entry(
                key,
                digest=record.digest,
                environment=str(record.environment),
                environment_digest=record.environment_digest,
                serving=a_serving(cutoff_date="2024-06-21"),
            ),
            release="r-0123456789ab",
            release_digest="ab" * 32,
        )
        for key, record in home.records.items()
    }
    live[UNREAD] = replace(live[KEYS[2]], circuit=UNREAD)
    readings = home.platform.lake.readings
    return Issuing(
        live=live,
        day=DAY,
        readings=readings,
        delta_version=readings.version(),
        models=home.platform.dev.models,
    )


@pytest.fixture(
    params=[
        "polars",
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("azure", marks=pytest.mark.azure),
        pytest.param("azure, plants", marks=pytest.mark.azure),
    ]
)
def engine(request, home):
    if request.param == "polars":
        return PolarsEngine()
    if request.param == "spark":
        from mlops_assets.engines.spark.forecast import SparkBatchEngine

        return SparkBatchEngine(request.getfixturevalue("spark"))
    return on_azure(home, plants="plants" in request.param)


def on_azure(home, *, plants):
    """The engine with the script that endpoints run, in this process."""
    from mlops_assets.engines.azureml.batch import AzureBatchEngine
    from mlops_assets.score_job import DeployedModels, Opened, answered
    from mlops_assets_tests.fakes.remote import FakeExchange, FakeScoring

    exchange, dev = FakeExchange(), home.platform.dev.models
    opened = Opened(readings=home.platform.lake.readings, registry=dev, exchange=exchange)
    # As Azure ML does, a circuit's deployment is brought its model; a plant's, any of the plant's.
    models = None if plants else DeployedModels(home.layout.dev_models)
    scoring = FakeScoring(
        exchange,
        lambda asked: answered(asked, "request", models, lambda: opened, {}),
        plants=plants,
    )
    return AzureBatchEngine(exchange, scoring)


def test_every_digit_is_that_of_the_work_done_here(engine, work):
    circuits = list(work.live)
    here = {each.circuit: each for each in work(circuits)}
    there = {each.circuit: each for each in engine.issue(work, circuits)}
    assert set(there) == set(here) == set(circuits)
    for key in KEYS:
        mine, theirs = here[key].issue, there[key].issue
        assert (theirs.model_version, theirs.release) == (mine.model_version, mine.release)
        assert theirs.fallback == mine.fallback
        assert (theirs.values.start, theirs.values.step) == (mine.values.start, mine.values.step)
        for name in ("value", "lo_80", "hi_80", "lo_95", "hi_95"):
            assert np.array_equal(getattr(theirs.values, name), getattr(mine.values, name))
    assert there[UNREAD].failed == here[UNREAD].failed != ""


def test_a_model_that_cannot_be_used_stops_no_other_and_is_told(engine, work):
    found = {each.circuit: each.issue for each in engine.issue(work, KEYS)}
    assert [found[key].fallback for key in KEYS] == ["none", "none", "seasonal_naive"]
    assert found[KEYS[2]].fallback_reason.startswith("live model: ")


def test_no_circuits_are_no_work(engine, work):
    assert list(engine.issue(work, [])) == []


def test_one_circuit_alone_is_forecast_as_among_all(engine, work):
    (alone,) = engine.issue(work, KEYS[:1])
    among = next(each for each in engine.issue(work, KEYS) if each.circuit == KEYS[0])
    assert np.array_equal(alone.issue.values.value, among.issue.values.value)
