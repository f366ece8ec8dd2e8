"""What MLflow is told of a fit, by its own client over HTTP."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops_assets.engines.azureml import tracking
from mlops_assets.engines.azureml.fit_job import FitOrder, main, read_outcome
from mlops_assets_tests.engines.test_processes import MOODY, job
from mlops_assets_tests.fakes.engine import cheap_fit

pytestmark = pytest.mark.azure

RUN = "fit-p001-a-1"


class _MLflow(BaseHTTPRequestHandler):
    """As much of MLflow's REST as a run that exists already needs."""

    def do_GET(self):
        self._answer({"run": {"info": self._info(), "data": {}}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append(
            (self.path.rpartition("/mlflow/")[2], self.headers["Authorization"], body)
        )
        self._answer({"run_info": self._info()} if self.path.endswith("/update") else {})

    def _info(self):
        return {
            "run_id": RUN,
            "run_uuid": RUN,
            "experiment_id": "0",
            "status": "RUNNING",
            "lifecycle_stage": "active",
            "start_time": 0,
        }

    def _answer(self, document):
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_words):
        """Say nothing."""


@contextmanager
def mlflow_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _MLflow)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def environ(monkeypatch):
    """What Azure ML sets in a job's environment."""

    def told(uri):
        for name, text in {
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_TRACKING_TOKEN": "a-token",
            "MLFLOW_RUN_ID": RUN,
            "MLFLOW_EXPERIMENT_ID": "0",
        }.items():
            monkeypatch.setenv(name, text)

    return told


def test_a_run_holds_what_config_asked_for_and_what_the_backtest_found(environ, tmp_path):
    sent = FitOrder(job=job("A"), fit_function=MOODY, timeout_seconds=60, memory_bytes=2**32)
    (tmp_path / "order").write_bytes(sent.to_bytes())
    with mlflow_server() as server:
        environ(f"http://127.0.0.1:{server.server_port}")
        words = ["--order", str(tmp_path / "order"), "--outcome", str(tmp_path / "outcome")]
        assert main(words) == 0
    heard = server.heard
    assert {token for _, token, _ in heard} == {"Bearer a-token"}
    assert {body["run_id"] for _, _, body in heard} == {RUN}
    logged = [body for path, _, body in heard if path == "runs/log-batch"]
    params = {each["key"]: each["value"] for body in logged for each in body.get("params", [])}
    metrics = {each["key"]: each["value"] for body in logged for each in body.get("metrics", [])}
    assert params["cutoff_date"] == "2024-06-02"
    assert params["chosen"] == "seasonal_naive"
    assert set(params) > {"effort", "environment", "horizon", "interval", "limits", "timezone"}
    assert (metrics["wape"], metrics["floor.wape"]) == (0.5, 0.6)
    assert heard[-1][2]["status"] == "FINISHED"
    log = (tmp_path / "outcome" / "log.txt").read_text()
    assert "MLflow" not in log


def test_a_server_that_is_away_costs_the_figures_and_not_the_fit(environ, tmp_path, monkeypatch):
    sent = FitOrder(job=job("A"), fit_function=MOODY, timeout_seconds=60, memory_bytes=2**32)
    (tmp_path / "order").write_bytes(sent.to_bytes())
    environ("http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = ["--order", str(tmp_path / "order"), "--outcome", str(tmp_path / "outcome")]
    assert main(words) == 0
    found = read_outcome(
        (tmp_path / "outcome" / "outcome").read_bytes(), sent.to_bytes(), "outcome"
    )
    assert found.files == cheap_fit(job("A")).files
    assert "MLflow has not taken it: " in (tmp_path / "outcome" / "log.txt").read_text()


def test_where_nobody_tracks_nothing_is_told():
    assert tracking.tracked(job("A"), cheap_fit(job("A")), {}) is False


def test_what_is_no_number_is_left_out_and_the_incumbent_is_told():
    result = cheap_fit(replace(job("A"), incumbent={"model.json": b""}))
    result = replace(result, metrics=replace(result.metrics, mase=float("nan")))
    figures = tracking.figures(result)
    assert "mase" not in figures
    assert figures["incumbent.wape"] == 0.5
    assert figures["candidate.seasonal_naive.wape"] == 0.5


def test_azure_s_own_name_of_its_server_is_https_with_the_job_s_token():
    environ = {tracking.URI: "azureml://we.api.azureml.ms/mlflow/v1.0/x", tracking.TOKEN: "t"}
    tracking.name_server(environ)
    assert environ == {
        tracking.URI: "https://we.api.azureml.ms/mlflow/v1.0/x",
        tracking.TOKEN: "t",
    }
