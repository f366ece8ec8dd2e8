"""Fits in worker processes: what one circuit does to its worker never reaches another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from mlops_assets.adapters.local.slots import LocalTrainingSlots
from mlops_assets.domain.circuit import Spec
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import FitJob
from mlops_assets.domain.readings import Series
from mlops_assets.engines.processes import ProcessEngine, cores
from mlops_assets_tests.fakes.engine import BrokenTrainingSlots, cheap_fit

MOODY = "mlops_assets_tests.fakes.engine:moody_fit"


def job(name, *, hours=48, **spec):
    start = datetime(2024, 6, 1, tzinfo=UTC)
    return FitJob(
        circuit=CircuitKey("P001", name),
        spec=Spec(cutoff_date=date(2024, 6, 2), **spec),
        series=Series(start, timedelta(hours=1), np.arange(hours, dtype=float)),
    )


def engine(folder, *, workers=2, slots=5, **settings):
    return ProcessEngine(workers, LocalTrainingSlots(folder, slots), fit_function=MOODY, **settings)


def named(results):
    return {key.circuit_id: result for key, result in results}


def children():
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [line for line in found.splitlines() if "mlops_assets.engines.worker" in line]


def test_results_are_those_of_the_same_fits_in_this_process(tmp_path):
    jobs = [job(name, hours=24 * days) for days, name in ((2, "A"), (3, "B"), (4, "C"))]
    results = named(engine(tmp_path).fit(jobs))
    for each in jobs:
        here, there = cheap_fit(each), results[each.circuit.circuit_id]
        assert there.files == here.files
        assert np.array_equal(there.backtest.forecast, here.backtest.forecast)


def test_no_jobs_start_no_worker(tmp_path):
    assert list(engine(tmp_path).fit([])) == []


def test_one_failure_of_any_kind_stops_no_other(tmp_path):
    names = ["REFUSES", "A", "BREAKS", "B", "DIES", "C"]
    results = named(engine(tmp_path).fit([job(name) for name in names]))
    assert results["REFUSES"] == "nothing but gaps"
    assert results["BREAKS"].startswith("ZeroDivisionError: by nothing at all (engine.py:")
    assert results["DIES"] == "its worker process died (exit code 3); train it again"
    assert all(results[name].circuit.circuit_id == name for name in "ABC")
    assert children() == []


def test_a_fit_that_takes_too_long_is_stopped_and_says_so(tmp_path):
    began = time.monotonic()
    results = named(engine(tmp_path, workers=1, timeout_seconds=0.3).fit([job("HANGS"), job("A")]))
    assert results["HANGS"] == (
        "took longer than 0.3 s and was stopped: raise training.timeout_minutes of the policy, or "
        "ask for less effort"
    )
    assert results["A"].circuit.circuit_id == "A"
    assert time.monotonic() - began < 30


def test_waiting_for_a_slot_is_no_part_of_the_time_limit(tmp_path):
    results = engine(tmp_path, workers=1, slots=1, timeout_seconds=0.5).fit([job("A")])
    with LocalTrainingSlots(tmp_path, 1).take():
        pids = []

        def start():
            pids.extend(named(results).values())

        import threading

        thread = threading.Thread(target=start)
        thread.start()
        time.sleep(2.0)
        assert pids == []
    thread.join(timeout=30)
    assert [result.circuit.circuit_id for result in pids] == ["A"]


def test_a_worker_killed_from_outside_costs_one_circuit(tmp_path):
    results = engine(tmp_path, workers=1).fit(
        [job("A", hours=72), job("HANGS"), job("B", hours=24)]
    )
    first = next(results)
    (line,) = children()
    time.sleep(0.2)
    os.kill(int(line.split()[0]), signal.SIGKILL)
    rest = named(results)
    assert first[0].circuit_id == "A"
    assert rest["HANGS"] == "its worker process died (SIGKILL); train it again"
    assert rest["B"].circuit.circuit_id == "B"


def test_the_largest_go_first(tmp_path):
    jobs = [
        job("SHORT", hours=24),
        job("BEST", hours=48, effort="best"),
        job("LONG", hours=96),
        job("NAIVE", hours=960, forecaster="seasonal_naive"),
        job("FAST", hours=96, effort="fast"),
    ]
    order = [key.circuit_id for key, _ in engine(tmp_path, workers=1).fit(jobs)]
    assert order == ["BEST", "LONG", "FAST", "SHORT", "NAIVE"]


def test_whoever_stops_listening_leaves_no_worker_behind(tmp_path):
    results = engine(tmp_path, workers=1).fit([job("A", hours=72), job("HANGS")])
    next(results)
    results.close()
    assert children() == []


def test_workers_never_outnumber_the_cores(tmp_path):
    assert engine(tmp_path, workers=1000).workers == cores()
    assert engine(tmp_path, workers=0).workers == 1


def test_every_fit_holds_a_slot(tmp_path):
    slots = LocalTrainingSlots(tmp_path, 1)
    jobs = [job(name) for name in ("LINGERS", "A", "B")]
    results = engine(tmp_path, workers=2, slots=1).fit(jobs)
    assert len(named(results)) == 3
    with slots.take() as number:
        assert number == 0


def test_a_slot_that_cannot_be_taken_fails_its_circuits_and_holds_up_nobody(tmp_path, capfd):
    fits = ProcessEngine(2, BrokenTrainingSlots(), fit_function=MOODY)
    results = named(fits.fit([job(name) for name in "ABC"]))
    assert set(results) == {*"ABC"}
    for reason in results.values():
        assert reason.startswith("could not take a training slot: PermissionError: [Errno 13] ")
        assert reason.endswith("; train it again")
    assert capfd.readouterr().err == ""


def test_a_job_is_let_go_with_its_fit(tmp_path):
    jobs = [job(name) for name in "ABCD"]
    series = [weakref.ref(each.series.values) for each in jobs]
    results = engine(tmp_path, workers=1).fit([jobs.pop(0) for _ in range(len(jobs))])
    alive = [sum(each() is not None for each in series) for _ in results]
    # The next one is handed over before the result of the last is told.
    assert alive == [3, 2, 1, 1]


ORPHAN = """
import sys
from pathlib import Path
from mlops_assets_tests.engines.test_processes import engine, job
print("ready", flush=True)
list(engine(Path(sys.argv[1]), workers=1).fit([job("HANGS")]))
"""


def test_workers_end_soon_after_a_killed_parent(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], env=environment)
    slot = tmp_path / "slot-0"
    end = time.monotonic() + 60
    while not slot.exists() and time.monotonic() < end:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    with LocalTrainingSlots(Path(tmp_path), 1).take() as number:
        assert number == 0
