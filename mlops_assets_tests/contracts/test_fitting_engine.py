"""What any engine that fits must do: worker processes here, tasks of a cluster, command jobs."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from mlops_assets.adapters.local.slots import LocalTrainingSlots
from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.readings import Series
from mlops_assets.engines.processes import GIGABYTE, ProcessEngine
from mlops_assets.forecasters.training import fit
from mlops_assets_tests.engines.test_processes import MOODY, job, named
from mlops_assets_tests.fakes.engine import cheap_fit

REAL = "mlops_assets.forecasters.training:fit"


@pytest.fixture(
    params=[
        "processes",
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("azure", marks=pytest.mark.azure),
    ]
)
def engine_of(request, tmp_path):
    """Make an engine of this kind; its slots lie in ``tmp_path``."""

    def make(workers=2, slots=5, fit_function=MOODY, **settings):
        held = LocalTrainingSlots(tmp_path, slots)
        if request.param == "processes":
            return ProcessEngine(workers, held, fit_function=fit_function, **settings)
        if request.param == "azure":
            engine, fits = on_azure(tmp_path, workers, held, fit_function=fit_function, **settings)
            request.addfinalizer(fits.close)
            return engine
        from mlops_assets.engines.spark.fitting import SparkFittingEngine

        sessions = request.getfixturevalue("spark")
        return SparkFittingEngine(workers, held, sessions, fit_function=fit_function, **settings)

    return make


def on_azure(folder, workers, held, **settings):
    from mlops_assets.engines.azureml.fitting import AzureFittingEngine
    from mlops_assets.engines.azureml.ordered import Patience
    from mlops_assets_tests.fakes.remote import FakeExchange, FakeFits

    exchange = FakeExchange()
    fits = FakeFits(exchange, folder)
    patience = Patience(first=0.02, longest=0.1, queue=600)
    engine = AzureFittingEngine(workers, held, exchange, fits, patience=patience, **settings)
    return engine, fits


def weeks(name, forecaster):
    """Three weeks of a daily and weekly shape with noise."""
    start = job("A").series.start
    hours = np.arange(24 * 21)
    noise = np.random.default_rng(7).normal(0, 0.5, len(hours))
    values = 20 + 5 * np.sin(2 * np.pi * hours / 24) + (hours // 24 % 7 > 4) + noise
    spec = Spec(cutoff_date=date(2024, 6, 21), forecaster=forecaster)
    return replace(job(name), spec=spec, series=Series(start, timedelta(hours=1), values))


def test_results_are_those_of_the_same_fits_here(engine_of):
    jobs = [job(name, hours=24 * days) for days, name in ((2, "A"), (3, "B"), (4, "C"))]
    engine = engine_of()
    assert engine.workers == 2
    results = named(engine.fit(jobs))
    for each in jobs:
        here, there = cheap_fit(each), results[each.circuit.circuit_id]
        assert there.files == here.files
        assert np.array_equal(there.backtest.forecast, here.backtest.forecast)


def test_a_real_fit_gives_the_same_bytes_and_digits_as_here(engine_of):
    jobs = [weeks("A", "seasonal_naive"), weeks("B", "auto_theta")]
    results = named(engine_of(workers=1, fit_function=REAL).fit(jobs))
    for each in jobs:
        here, there = fit(each), results[each.circuit.circuit_id]
        assert dict(there.files) == dict(here.files)
        assert there.metrics == here.metrics
        assert np.array_equal(there.backtest.forecast, here.backtest.forecast, equal_nan=True)


def test_no_jobs_give_no_results(engine_of):
    assert list(engine_of().fit([])) == []


def test_one_failure_of_any_kind_stops_no_other(engine_of):
    names = ["REFUSES", "A", "BREAKS", "B", "DIES", "C"]
    results = named(engine_of().fit([job(name) for name in names]))
    assert results["REFUSES"] == "nothing but gaps"
    assert results["BREAKS"].startswith("ZeroDivisionError: by nothing at all (engine.py:")
    assert results["DIES"] == "its worker process died (exit code 3); train it again"
    assert all(results[name].circuit.circuit_id == name for name in "ABC")


def test_a_fit_that_takes_too_long_is_stopped_and_says_so(engine_of):
    results = named(engine_of(workers=1, timeout_seconds=0.3).fit([job("HANGS"), job("A")]))
    assert results["HANGS"] == (
        "took longer than 0.3 s and was stopped: raise training.timeout_minutes of the policy, or "
        "ask for less effort"
    )
    assert results["A"].circuit.circuit_id == "A"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's data")
def test_a_fit_that_takes_too_much_memory_is_stopped_and_says_so(engine_of):
    fits = engine_of(workers=1, memory_bytes=2 * GIGABYTE)
    results = named(fits.fit([job("EATS"), job("A")]))
    assert results["EATS"] == (
        "needed more than 2.0 GB of memory and was stopped: raise training.memory_gigabytes of "
        "the policy"
    )
    assert results["A"].circuit.circuit_id == "A"


def test_the_largest_go_first(engine_of):
    jobs = [job("SHORT", hours=24), job("BEST", effort="best"), job("LONG", hours=96)]
    order = [key.circuit_id for key, _ in engine_of(workers=1).fit(jobs)]
    assert order == ["BEST", "LONG", "SHORT"]


def test_a_fit_waits_for_a_training_slot_of_the_home(engine_of, tmp_path):
    engine, results = engine_of(workers=2, slots=1), {}
    thread = threading.Thread(target=lambda: results.update(named(engine.fit([job("A")]))))
    with LocalTrainingSlots(tmp_path, 1).take():
        thread.start()
        time.sleep(2.0)
        assert results == {}
    thread.join(timeout=120)
    assert results["A"].circuit.circuit_id == "A"


def test_whoever_stops_listening_gives_back_every_slot(engine_of, tmp_path):
    results = engine_of(workers=1, slots=1).fit([job("A", hours=72), job("HANGS")])
    next(results)
    results.close()
    with LocalTrainingSlots(tmp_path, 1).take() as number:
        assert number == 0
