"""Nothing that can be reached in a running web server opens a gate.

Two releases wait for people, one for the registry, one for production. Then every GraphQL mutation
of the installed Dagster, every report endpoint for every asset and check, and seeded random
launches go to the web server that `mlops ui` starts. Before and after, everything that decides is
the same: verdicts, who is waited for, every byte of ledger, registry, endpoints and config, and the
product state. At the end a signature does open the gate, by a launch of the same kind.

All launches go over HTTP to the running server: 20 in CI, 1,000 in ``make forgery``
(``MLOPS_LAUNCHES``). That server's instance executes them in its own process, because a process a
run costs four seconds; ``make forgery`` sends 40 more to a server with the shipped launcher, where
each run is a process. How many were executed, and how many refused before, is printed; at least a
third must have been executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows import release
from mlops_assets.flows.plan import config_at
from mlops_assets.launch import dagster_home
from mlops_assets.settings import Settings
from mlops_assets_tests.journeys.fuzz import Forger
from mlops_assets_tests.journeys.mutations import LAST, Schema, arguments, launch_params
from mlops_assets_tests.journeys.people import (
    approve,
    created,
    opened,
    promoted,
    retired_and_back,
)
from mlops_assets_tests.journeys.product_state import product_state
from mlops_assets_tests.journeys.server import RUN_SECONDS, served

SEED = 20251101
LAUNCHES = int(os.environ.get("MLOPS_LAUNCHES", "20"))
# Launched as processes by the shipped launcher, on top.
PROCESSES = LAUNCHES // 25 if LAUNCHES >= 1000 else 0
# These take away what others are asked about.
TAKING = ("cancel", "delete", "wipe")
C1, C2 = CircuitKey("P001", "C001"), CircuitKey("P001", "C002")
LAUNCH = """mutation($params: ExecutionParams!) {
    launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(
    backfillParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId } } }"""
CHECKS = """{ assetNodes { assetKey { path } isPartitioned
    assetChecksOrError { ... on AssetChecks { checks { name } } } } }"""


@pytest.fixture(scope="module")
def made_waiting(made_demo, tmp_path_factory):
    """A home in which one release waits for the registry's signature, one for production's."""
    root = Path(tmp_path_factory.mktemp("waiting") / "home")
    shutil.copytree(made_demo[0], root, symlinks=True)
    retired_and_back(root, C1, C2)
    waiting = {"registry": created(root, C1), "production": created(root, C2)}
    promoted(root, waiting["production"], "registry", "test")
    for stage, made in waiting.items():
        platform = opened(root)
        window = release.request(
            platform, config_at(platform), made, stage, now=platform.clock.now()
        )
        assert window.nonce is not None, window.missing
    return root, waiting


@pytest.fixture
def waiting(made_waiting, tmp_path):
    root = Path(shutil.copytree(made_waiting[0], tmp_path / "home", symlinks=True))
    return root, made_waiting[1]


def in_memory(root):
    """Let the web server's instance execute what it launches in its own process."""
    path = dagster_home(Settings.find(root, None, {}, root)) / "dagster.yaml"
    settings = yaml.safe_load(path.read_text())
    del settings["concurrency"], settings["run_monitoring"]
    for part, module, name in (
        ("run_launcher", "launcher.sync_in_memory_run_launcher", "SyncInMemoryRunLauncher"),
        ("run_coordinator", "run_coordinator", "DefaultRunCoordinator"),
    ):
        settings[part] = {"module": f"dagster._core.{module}", "class": name}
    path.write_text(yaml.safe_dump(settings))


def gate_state(root):
    """Everything that decides whether a stage may be done, byte by byte, and what it says."""
    platform = opened(root)
    config, now = config_at(platform), platform.clock.now()
    shown = [
        release.show(platform, config, view.release, now=now)
        for view in release.views(platform, now)
    ]
    for each in shown:
        # A picture of the rest, drawn anew by whatever asks for it.
        del each["page"]
    folders = ["ledger", "registry", *(f"workspaces/{name}/endpoints" for name in ("test", "prod"))]
    files = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
    refs = subprocess.run(
        ["git", "-C", str(root / "config"), "for-each-ref"], check=True, capture_output=True
    ).stdout
    return {"shown": shown, "files": files, "refs": refs}


def product(root):
    """The product state without drills, which say only how long a way back took."""
    state = product_state(root)
    return {name: part for name, part in state.items() if "/drills/" not in name}


def refused(root, waiting):
    """Both gates are closed for want of a signature."""
    for stage, made in waiting.items():
        platform = opened(root)
        with pytest.raises(RefusedError) as caught:
            release.promote(platform, config_at(platform), made, stage, now=platform.clock.now())
        assert caught.value.code == "E_APPROVAL"
        assert "signed by nobody" in caught.value.reason


def launched(server, params):
    """Launch and wait; returns what became of it."""
    answer = server.ask(LAUNCH, params=params)["launchPipelineExecution"]
    if answer["__typename"] != "LaunchRunSuccess":
        return answer["__typename"]
    return server.wait_for_run(answer["run"]["runId"])


def fuzz(server, root, count, at_once):
    """Send random launches; returns how many ended how."""
    views = release.views(opened(root), opened(root).clock.now())
    days = sorted({path.stem for path in (root / "workspaces/prod/predictions").rglob("*.parquet")})
    forger = Forger(random.Random(SEED), server, [view.release for view in views], days)
    drawn = [forger.draw() for _ in range(count)]
    with ThreadPoolExecutor(at_once) as pool:
        became = Counter(pool.map(lambda params: launched(server, params), drawn))
    executed = sum(became[status] for status in ("SUCCESS", "FAILURE"))
    print(f"seed {SEED}: {count} launches, {executed} executed: {dict(became)}")
    assert executed >= count // 3, became
    return became


def post(server, path, body):
    """Post JSON to an endpoint of the web server; returns the HTTP status."""
    request = urllib.request.Request(
        f"{server.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=RUN_SECONDS) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def report(server):
    """Report a success for every asset and check, with and without a partition."""
    said = Counter()
    signed = {"signed_by": "engineer@demo.example"}
    for node in server.ask(CHECKS)["assetNodes"]:
        asset = node["assetKey"]["path"][0]
        for partition in ("P001/C001", "P001/C002") if node["isPartitioned"] else (None,):
            body = {"partition": partition, "metadata": signed, "description": "approved"}
            for kind in ("materialization", "observation"):
                said[post(server, f"report_asset_{kind}/{asset}", body)] += 1
        for check in node["assetChecksOrError"].get("checks", []):
            body = {"check_name": check["name"], "passed": True, "metadata": signed}
            said[post(server, f"report_asset_check/{asset}", body)] += 1
    assert set(said) == {200}, said
    return sum(said.values())


def mutate(server, waiting):
    """Ask every mutation that there is; returns what each answered, and what asks the last ones.

    Those take the code server away, so that nothing can be launched any more.
    """
    schema = Schema(server)
    first = server.ask(LAUNCH, params=launch_params(server, "nothing"))
    assert first["launchPipelineExecution"]["__typename"] == "PipelineNotFoundError"
    params = launch_params(
        server, "__ASSET_JOB", assets=["model"], tags={"dagster/partition": "P001/C003"}
    )
    run = server.ask(LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"]
    params = {"assetSelection": [{"path": ["model"]}], "partitionNames": ["P001/C003"]}
    made = server.ask(BACKFILL, params=params)["launchPartitionBackfill"]["backfillId"]
    asked = arguments(server, run, made, waiting)
    assert asked.keys() == schema.fields.keys(), "a mutation of Dagster is missing here, or gone"
    rest = sorted(asked.keys() - set(LAST), key=lambda name: (name.startswith(TAKING), name))
    said = answers(server, schema, {name: asked[name] for name in rest})
    return said, lambda: answers(server, schema, {name: asked[name] for name in LAST})


def answers(server, schema, asked):
    """What each mutation answers to its arguments, the last where there are several."""
    said = {}
    for name, each in asked.items():
        for variables in each:
            answer = server.ask(schema.query(name), **variables)["answer"]
            said[name] = answer["__typename"] if isinstance(answer, dict) else answer
    return said


def test_nothing_that_the_web_server_offers_opens_a_gate(waiting):
    root, names = waiting
    in_memory(root)
    with served(root) as server:
        before, product_before = gate_state(root), product(root)
        # One at a time: runs in one process share Python's logging, which deadlocks.
        fuzz(server, root, LAUNCHES, at_once=1)
        reported = report(server)
        said, ask_last = mutate(server, names)
        print(f"{reported} reports, {len(said)} mutations: {said}")
        assert gate_state(root) == before
        assert product(root) == product_before
        refused(root, names)
        assert gate_state(root) == before

        # A person's signature is what opens it, by a launch like all those before.
        approve(root, names["registry"], "registry")
        params = launch_params(
            server,
            "registry",
            config={"ops": {"registry_model": {"config": {"release": names["registry"]}}}},
            tags={"dagster/partition": str(C1)},
        )
        assert launched(server, params) == "SUCCESS"
        assert state_of(root, names["registry"]) in {"registered", "tested"}

        print(f"and {ask_last()}")
        refused(root, {"production": names["production"]})
        assert state_of(root, names["production"]) == "awaiting_production"


def state_of(root, made):
    """The state of one release."""
    views = release.views(opened(root), opened(root).clock.now())
    (view,) = [view for view in views if view.release == made]
    return view.state


if PROCESSES:  # a server more and a process a launch: for the full size only

    def test_runs_in_processes_of_their_own_open_no_gate(waiting):
        root, names = waiting
        with served(root) as server:
            before, product_before = gate_state(root), product(root)
            fuzz(server, root, PROCESSES, at_once=4)
            assert gate_state(root) == before
            assert product(root) == product_before
            refused(root, names)
