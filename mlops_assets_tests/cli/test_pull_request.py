"""The command of the pipeline, over real HTTPS to a service that is as strict as Azure DevOps."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from click.testing import CliRunner

from mlops_assets.cli import main
from mlops_assets.settings.azure import AzureBackend, DevOps
from mlops_assets_tests.control_plane import ControlPlane
from mlops_assets_tests.control_plane.certificate import written
from mlops_assets_tests.control_plane.devops import AUDIENCE, DevOpsService
from mlops_assets_tests.control_plane.server import Server

pytestmark = pytest.mark.azure

SETTINGS = """
backend: azure
subscription: 11111111-1111-1111-1111-111111111111
resource_group: rg-mlops
location: westeurope
storage_account: mlopslake
registry: mlops-registry
workspaces: {{dev: mlops-dev, test: mlops-test, prod: mlops-prod}}
devops: {{organization: northwind, project: forecasting, repository: config, address: "{address}"}}
"""


class Desk:
    """A home whose settings name a repository, and the service that holds its pull requests."""

    def __init__(self, folder, address, service, plane, certificate):
        self.folder, self.service = folder, service
        (folder / "settings.yml").write_text(SETTINGS.format(address=address))
        self.environ = {
            "SYSTEM_ACCESSTOKEN": plane.identities.token("dev", AUDIENCE).token,
            "REQUESTS_CA_BUNDLE": str(certificate),
        }

    def comment(self, plan, *more, **environ):
        (self.folder / "plan.json").write_text(json.dumps(plan))
        words = ["--home", str(self.folder), "--json", "comment", "--pull-request", "7",
                 "--plan", str(self.folder / "plan.json"), *more]  # fmt: skip
        return CliRunner(env={**self.environ, **environ}).invoke(main, words)


@pytest.fixture
def desk(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    devops = DevOps(organization="northwind", project="forecasting", repository="config")
    backend = AzureBackend(
        subscription="11111111-1111-1111-1111-111111111111",
        resource_group="rg-mlops",
        location="westeurope",
        storage_account="mlopslake",
        registry="mlops-registry",
        workspaces={"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
    )
    address = f"https://127.0.0.1:{port}"
    plane = ControlPlane(backend, address=address)
    service = DevOpsService(plane, devops)
    service.add(7, before="a" * 40, after="b" * 40, creator="a@co.example", commits=(), votes={})
    certificate, key = written(tmp_path)
    server = Server(plane, port, certificate, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Desk(tmp_path, address, service, plane, certificate)
    server.shutdown()
    thread.join()
    server.server_close()
    plane.close()


PLAN = [{"circuit": "P001/C001", "action": "train", "reason": "spec changed"}]


def test_a_pull_request_is_told_once_and_the_next_push_replaces_it(desk):
    assert json.loads(desk.comment(PLAN).stdout) == {"pull_request": 7, "changed": True}
    assert json.loads(desk.comment(PLAN).stdout) == {"pull_request": 7, "changed": False}
    assert json.loads(desk.comment([]).stdout)["changed"] is True
    (thread,) = desk.service.threads[7]
    assert "0 circuit(s) change" in thread["comments"][0]["content"]


def test_a_token_that_is_not_taken_is_one_line_and_is_not_shown(desk):
    done = desk.comment(PLAN, SYSTEM_ACCESSTOKEN="secret-token")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"].startswith(
        "Azure DevOps northwind/forecasting/config: no identity is accepted"
    )
    assert "secret-token" not in done.output


def test_what_is_no_plan_is_refused_before_anybody_is_asked(desk):
    done = desk.comment({"odd": 1})
    assert done.exit_code == 1
    assert "is not what `mlops --json plan` prints" in done.output
    assert desk.service.threads == {}


def test_a_home_on_this_machine_alone_has_no_pull_requests(desk):
    (desk.folder / "settings.yml").unlink()
    done = desk.comment(PLAN)
    assert done.exit_code == 2
    assert "devops names no repository" in done.output
