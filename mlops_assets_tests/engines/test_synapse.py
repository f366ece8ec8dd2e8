"""Slices ordered from a pool: the same rows, each order once, and what is said when it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlops_assets.adapters.azure.landing import BlobLandingZone
from mlops_assets.adapters.azure.readings import open_readings, open_row_log
from mlops_assets.adapters.azure.slice_lake import place_of
from mlops_assets.adapters.azure.synapse import (
    LivyBatches,
    open_slice_exchange,
    program,
    slice_arguments,
)
from mlops_assets.domain.errors import DataError, EngineError, StaleError
from mlops_assets.domain.readings import RawFile
from mlops_assets.engines.polars import PolarsEngine
from mlops_assets.engines.synapse import SynapseEngine
from mlops_assets.settings.azure import Synapse
from mlops_assets.slice_job import main
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport, VirtualClock
from mlops_assets_tests.control_plane.livy import LivyService
from mlops_assets_tests.engines.spark.lakes import (
    NOW,
    a_lake_on,
    company,
    ingested,
    slices,
    state,
)
from mlops_assets_tests.fakes.readings import (
    FakeIngestJournal,
    a_circuit,
    a_config,
    a_lake,
    csv_of,
)

pytestmark = pytest.mark.azure
POOL = Synapse(workspace="mlops-synapse", pool="etl")
BATCHES = r"/livyApi/.*/batches$"
CONFIG = a_config(a_circuit())
FILE = {"a.csv": csv_of([("P1", "C1", "2024-05-02T00:00Z", 1), ("P1", "C1", "soon", 1)])}


class Pool:
    """A lake of one account, the pool that its slices are ordered from, and its clock."""

    def __init__(self, account, monkeypatch):
        for name, value in account.environ.items():
            monkeypatch.setenv(name, value)
        self.backend = account.backend(synapse=POOL)
        self.clock = VirtualClock()
        self.plane = ControlPlane(self.backend, clock=self.clock)
        self.livy = LivyService(self.plane, POOL, self.do)
        self.exchange = open_slice_exchange(self.backend, "etl", environ=account.environ)
        self.lake = a_lake(
            landing=BlobLandingZone(account.blobs("raw")),
            journal=FakeIngestJournal(),
            readings=open_readings(self.backend, "etl", environ=account.environ),
            quarantine=open_row_log(self.backend, "etl", "quarantine", environ=account.environ),
            restatements=open_row_log(self.backend, "etl", "restatements", environ=account.environ),
            engine=self.engine(),
        )

    def engine(self, *, sleep=None, timeout=600):
        work = LivyBatches(
            POOL,
            self.plane.identities.credential("etl"),
            program=lambda: program(self.exchange),
            arguments=[*slice_arguments(self.backend), "--engine", "polars"],
            transport=PlaneTransport(self.plane),
            sleep=self.clock.sleep,
        )
        return SynapseEngine(
            work,
            self.exchange,
            PolarsEngine(),
            timeout_seconds=timeout,
            sleep=sleep or self.clock.sleep,
        )

    def do(self, body):
        """Run a job in this process, by the program that its file calls."""
        said = StringIO()
        with redirect_stderr(said):
            code = main(body["args"])
        return code, said.getvalue()

    def orders(self):
        """How often the pool was asked to take a job."""
        return len(self.livy.batches)

    def log(self, suffix="/log"):
        """What was kept of the newest attempt."""
        names = [blob.name for blob in self.exchange.blobs.list() if blob.name.endswith(suffix)]
        return self.exchange.get(names[-1]).decode()


@pytest.fixture
def pool(storage_account, monkeypatch):
    return Pool(storage_account, monkeypatch)


def test_slices_and_additions_from_a_pool_leave_what_this_process_leaves(pool, tmp_path):
    config = company()
    known = dict(list(config.circuits.items())[1:])
    before = replace(config, circuits=known, feature_columns=("rain",))
    here = a_lake_on(tmp_path / "here", "polars")
    first, second = slices()
    for part, under in ((first, before), (second, config)):
        report, wanted = ingested(pool.lake, under, part), ingested(here, under, part)
        assert replace(report, delta_version=0) == replace(wanted, delta_version=0)
    assert state(pool.lake) == state(here)
    assert wanted.added == ("temperature", "P0/C1")
    assert pool.orders() == 4
    again = ingested(pool.lake, config, {})
    assert again.rows_read == 0
    assert pool.orders() == 4


def test_an_order_is_one_call_of_the_api_and_its_job_runs_what_ordered_it(
    pool, monkeypatch, tmp_path
):
    def do(body):
        script = place_of(body["file"], pool.backend.cloud.blob).read()
        (package,) = body["pyFiles"]
        archive = tmp_path / package.rpartition("/")[2]
        archive.write_bytes(place_of(package, pool.backend.cloud.blob).read())
        says = b"import sys, mlops_assets\nsys.stderr.write(mlops_assets.__file__)\n"
        done = subprocess.run(
            [sys.executable, "-", *body["args"]],
            input=says + script,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(archive)},
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stderr.decode()

    monkeypatch.setattr(pool.livy, "run", do)
    assert ingested(pool.lake, CONFIG, FILE).rows_inserted == 1
    assert pool.livy.batches[0].log[0].startswith(str(tmp_path))
    (order,) = [call.request for call in pool.plane.calls if call.request.method == "POST"]
    assert order.url == (
        "https://mlops-synapse.dev.azuresynapse.net/livyApi/versions/2019-11-01-preview/sparkPools/"
        "etl/batches?detailed=true"
    )
    body = order.json
    lake = f"abfss://lake@{pool.backend.storage_account}.dfs.core.windows.net"
    slice_id = pool.lake.journal.history()[0].slice_id
    assert body["name"].startswith(f"mlops-slice-{slice_id}-")
    assert body["name"].endswith("-1")
    told = dict(zip(body.pop("args")[0::2], order.json["args"][1::2], strict=True))
    place = f"{lake}/jobs/slices/{slice_id}/"
    assert told.pop("--slice").startswith(place)
    assert told.pop("--outcome").startswith(place)
    assert told == {
        "--raw": lake.replace("lake@", "raw@") + "/",
        "--readings": f"{lake}/readings",
        "--quarantine": f"{lake}/quarantine",
        "--blob": pool.backend.cloud.blob,
        "--engine": "polars",
    }
    assert {name: body[name] for name in body if name not in {"name", "file", "pyFiles"}} == {
        "driverMemory": "28g",
        "driverCores": 4,
        "executorMemory": "28g",
        "executorCores": 4,
        "numExecutors": 2,
    }


def test_a_pool_gets_the_locked_packages_that_a_job_imports():
    asked = (
        "import sys, mlops_assets.slice_job, mlops_assets.adapters.azure.slice_lake, "
        "mlops_assets.engines.spark.lake; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.decode().split()}
    assert {"deltalake", "polars"} <= imported
    assert imported.isdisjoint({"dagster", "sqlalchemy", "statsforecast", "yaml"})
    root = Path(__file__).resolve().parents[2]
    pinned = (root / "infra" / "pool-requirements.txt").read_text().splitlines()
    locked = (root / "requirements-azure.lock").read_text()
    assert [line for line in pinned if f"\n{line} \\" not in locked] == []
    assert {line.partition("==")[0] for line in pinned} == {
        *("azure-identity", "azure-storage-blob", "deltalake", "polars"),
    }


def lost_answer(plane):
    plane.faults.lose_answer("POST", BATCHES)


def lost_request(plane):
    plane.faults.lose_request("POST", BATCHES)


def throttled(plane):
    plane.faults.throttle("POST", BATCHES, times=2, seconds=7)


def broken(plane):
    plane.faults.fail("*", BATCHES, times=3)


@pytest.mark.parametrize("fault", [lost_answer, lost_request, throttled, broken])
def test_whatever_happens_to_an_order_the_pool_has_one_job(pool, fault):
    fault(pool.plane)
    assert ingested(pool.lake, CONFIG, FILE).rows_inserted == 1
    assert pool.orders() == 1


class Killed(BaseException):
    """The process is gone."""


def test_a_slice_whose_orderer_was_killed_is_followed_and_not_ordered_again(pool):
    def die(_seconds):
        raise Killed

    killed = replace(pool.lake, engine=pool.engine(sleep=die))
    with pytest.raises(Killed):
        ingested(killed, CONFIG, FILE)
    report = ingested(pool.lake, CONFIG, {})
    assert (report.rows_read, report.rows_inserted) == (2, 1)
    assert pool.orders() == 1


def test_an_outcome_whose_orderer_was_killed_is_taken_without_another_job(pool):
    def die(*_words, **_more):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.lake.journal, "confirm", die)
        with pytest.raises(Killed):
            ingested(pool.lake, CONFIG, FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.livy, "run", die)
        assert ingested(pool.lake, CONFIG, {}).rows_inserted == 1
    assert pool.orders() == 1


def test_a_job_that_dies_is_ordered_once_more_and_its_log_is_kept(pool, monkeypatch):
    answers = [(1, "Container killed by YARN\nno memory"), None]
    monkeypatch.setattr(pool.livy, "run", lambda body: answers.pop(0) or pool.do(body))
    assert ingested(pool.lake, CONFIG, FILE).rows_inserted == 1
    assert pool.orders() == 2
    logs = [b.name for b in pool.exchange.blobs.list() if b.name.endswith("/1/log")]
    assert "Container killed by YARN\nno memory\n" in pool.exchange.get(logs[0]).decode()


def test_a_job_that_dies_each_time_is_one_line_and_the_next_slice_orders_anew(pool):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.livy, "run", lambda _: (1, "no memory"))
        with pytest.raises(
            EngineError, match=r"failed without an outcome; its log is abfss://"
        ) as e:
            ingested(pool.lake, CONFIG, FILE)
    assert "\n" not in str(e.value)
    assert "driver log: https://driver/1" in pool.log()
    assert pool.orders() == 2
    assert ingested(pool.lake, CONFIG, {}).rows_inserted == 1
    assert pool.orders() == 3


def test_a_job_that_takes_too_long_is_cancelled(pool, monkeypatch):
    monkeypatch.setattr(pool.livy, "run", lambda _: (-1, ""))
    slow = replace(pool.lake, engine=pool.engine(timeout=300))
    with pytest.raises(EngineError, match=r"ran for more than 300 s.*timeout_minutes"):
        ingested(slow, CONFIG, FILE)
    assert [batch.state for batch in pool.livy.batches] == ["killed", "killed"]
    base = "/livyApi/versions/2019-11-01-preview/sparkPools/etl/batches"
    called = {
        (call.request.method, re.sub(r"/\d+$", "/N", urlsplit(call.request.url).path))
        for call in pool.plane.calls
    }
    assert called == {
        ("POST", base),
        ("GET", base),
        ("GET", f"{base}/N"),
        ("DELETE", f"{base}/N"),
    }


def test_what_a_job_refuses_is_said_here_in_its_own_line(pool):
    zone = pool.lake.landing
    size = zone.put("a.csv", FILE["a.csv"]).size
    zone.files()
    zone._known["a.csv"] = (zone._known["a.csv"][0], RawFile("a.csv", size, "0" * 64))
    with pytest.raises(DataError, match=r"^a\.csv: changed while it was read; run ingest again$"):
        ingested(pool.lake, CONFIG, {})
    assert pool.orders() == 1


def test_a_pool_that_takes_nothing_is_one_line(pool):
    pool.plane.faults.fail("POST", BATCHES, times=99)
    with pytest.raises(
        EngineError, match=r"mlops-synapse/etl: does not take a job: .*; check pool"
    ):
        ingested(pool.lake, CONFIG, FILE)
    assert pool.orders() == 0
    other = LivyBatches(POOL, pool.plane.identities.credential("prod"), program=str,
                        transport=PlaneTransport(pool.plane))  # fmt: skip
    with pytest.raises(EngineError, match="does not tell its jobs"):
        other.look("any")


def test_a_merge_that_the_table_lost_is_ordered_anew(pool):
    def die(*_words, **_more):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.lake.journal, "confirm", die)
        with pytest.raises(Killed):
            ingested(pool.lake, CONFIG, FILE)
    emptied(pool)
    with pytest.raises(StaleError, match="no longer in the table; run ingest again"):
        ingested(pool.lake, CONFIG, {})
    assert ingested(pool.lake, CONFIG, {}).rows_inserted == 1
    assert pool.orders() == 2


def test_a_job_is_found_among_more_than_one_page_of_them(pool):
    work = pool.engine()._work
    for number in range(45):
        work.submit(f"mlops-{number}", order="o", outcome="u")
    for number in (0, 19, 20, 44):
        assert work.look(f"mlops-{number}").status == "waiting"
    pool.plane.faults.lose_answer("POST", BATCHES)
    assert work.submit("last", order="o", outcome="u") == "last@45"
    assert work.look("mlops-45") is None
    assert pool.orders() == 46


def interrupted(pool):
    """A slice is ordered, and whoever ordered it is killed."""

    def die(_seconds):
        raise Killed

    with pytest.raises(Killed):
        ingested(replace(pool.lake, engine=pool.engine(sleep=die)), CONFIG, FILE)


def test_a_job_that_the_pool_forgot_is_ordered_anew_under_its_name(pool):
    interrupted(pool)
    (name,) = [batch.body["name"] for batch in pool.livy.batches]
    pool.livy.forget()
    assert ingested(pool.lake, CONFIG, {}).rows_inserted == 1
    assert [(each.number, each.body["name"]) for each in pool.livy.batches] == [(1, name)]
    assert pool.log("/job") == f"{name}@1"


def test_a_number_that_a_new_pool_gave_to_another_job_is_not_ours(pool):
    interrupted(pool)
    (old,) = pool.livy.batches
    pool.livy.batches.clear()
    pool.engine()._work.submit("another's", order="o", outcome="u")
    pool.livy.batches[0].state = "dead"
    assert ingested(pool.lake, CONFIG, {}).rows_inserted == 1
    assert [each.body["name"] for each in pool.livy.batches] == ["another's", old.body["name"]]


def test_a_job_that_cannot_be_ended_gets_none_beside_it(pool, monkeypatch):
    going, begun = [True], pool.livy.run
    monkeypatch.setattr(pool.livy, "run", lambda body: (-1, "") if going else begun(body))
    stuck = replace(pool.lake, engine=pool.engine(timeout=300))
    monkeypatch.setattr(LivyBatches, "cancel", lambda *_: None)
    for files in (FILE, {}):
        with pytest.raises(EngineError, match=r"but goes on 30 minutes later.*which follows it$"):
            ingested(stuck, CONFIG, files)
    assert pool.orders() == 1
    going.clear()
    assert ingested(stuck, CONFIG, {}).rows_inserted == 1
    assert pool.orders() == 1


def test_an_outcome_is_taken_also_while_the_pool_does_not_answer(pool):
    def die(*_words, **_more):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.lake.journal, "confirm", die)
        with pytest.raises(Killed):
            ingested(pool.lake, CONFIG, FILE)
    for blob in list(pool.exchange.blobs.list()):
        if blob.name.endswith("/log"):
            pool.exchange.remove(blob.name)
    pool.plane.faults.fail("*", r"/livyApi/.*", times=99)
    assert ingested(pool.lake, CONFIG, {}).rows_inserted == 1
    assert pool.orders() == 1


def test_the_traceback_of_a_job_is_kept_and_not_told(pool, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a defect\nof two lines")

    monkeypatch.setattr("mlops_assets.slice_job.run", broken)
    with pytest.raises(EngineError, match=r"failed without an outcome; its log is abfss://") as e:
        ingested(pool.lake, CONFIG, FILE)
    assert "Traceback" not in str(e.value)
    assert "\n" not in str(e.value)
    kept = pool.log()
    assert "Traceback (most recent call last)" in kept
    assert "in broken" in kept
    assert "ZeroDivisionError: a defect\nof two lines" in kept


def emptied(pool):
    """Take the table away, as a restore of an older lake does."""
    table = pool.lake.readings._stored._blobs
    for blob in list(table.list()):
        table.delete(blob.name)
    assert not pool.lake.readings.exists()


def test_the_moment_of_an_order_is_that_of_whoever_asked_first(pool):
    assert ingested(pool.lake, CONFIG, FILE).rows_inserted == 1
    assert set(pool.lake.readings.read()["ingested_at"]) == {NOW}
