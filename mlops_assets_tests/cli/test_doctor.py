"""`mlops doctor` on Azure as it is typed: identities of a machine, HTTPS, a real Azurite."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict, replace

import pytest
import yaml
from click.testing import CliRunner

from mlops_assets.cli import main
from mlops_assets.domain.errors import HomeError
from mlops_assets.settings import HomeLayout
from mlops_assets.settings.azure import ROLES, Cloud, DevOps, Monitor
from mlops_assets_tests.control_plane import ControlPlane
from mlops_assets_tests.control_plane.certificate import written
from mlops_assets_tests.control_plane.server import Server

pytestmark = pytest.mark.azure


class Clinic:
    """A host that has every identity, before any home is made."""

    def __init__(self, folder, account, address, certificate, plane):
        self.folder, self.plane = folder, plane
        self.environ = {
            **account.environ,
            **plane.identities.environment("dev"),
            "APPLICATIONINSIGHTS_CONNECTION_STRING": "set",
            "REQUESTS_CA_BUNDLE": str(certificate),
        }

    def doctor(self):
        told = {key: one for key, one in asdict(self.plane.backend).items() if one is not None}
        told["backend"] = told.pop("kind")
        (self.folder / "settings.yml").write_text(yaml.safe_dump(told))
        words = [
            "--home",
            str(self.folder),
            "--config",
            str(self.folder / "none"),
            "--json",
            "doctor",
        ]
        done = CliRunner(env=self.environ).invoke(main, words)
        return done, {row["check"]: row for row in json.loads(done.stdout)}


@pytest.fixture
def clinic(tmp_path, storage_account):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"https://127.0.0.1:{port}"
    backend = storage_account.backend(
        identities={role: f"{number}0000000-0000-0000-0000-000000000000" for number, role in
                    enumerate(ROLES)},
        cloud=Cloud(
            blob=storage_account.url,
            resource_manager=f"{address}/",
            registry_discovery=f"{address}/",
        ),
        monitor=Monitor(ingestion=address, rule="dcr-0"),
        devops=DevOps(organization="o", project="p", repository="r", address=address),
    )  # fmt: skip
    plane = ControlPlane(backend, address=address)
    certificate, key = written(tmp_path)
    server = Server(plane, port, certificate, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Clinic(tmp_path, storage_account, address, certificate, plane)
    server.shutdown()
    thread.join()
    server.server_close()
    plane.close()


def test_before_a_home_is_made_nothing_is_wrong_and_what_comes_next_is_told(clinic):
    done, rows = clinic.doctor()
    assert done.exit_code == 0
    assert [name for name, row in rows.items() if not row["ok"]] == []
    assert rows["home"]["says"] == "none yet: `mlops init` is next"
    assert rows["azure: identities"]["says"] == "6 identities"
    assert rows["quota"]["says"] == "0 circuits, 166 fit the region"


def test_a_home_that_was_begun_and_cannot_be_opened_is_wrong(clinic):
    (clinic.folder / "init.json").write_text("{}")
    done, rows = clinic.doctor()
    assert done.exit_code == 1
    assert [name for name, row in rows.items() if not row["ok"]] == ["home"]
    assert "`mlops init` was interrupted here" in rows["home"]["says"]


def test_a_command_before_there_is_a_home_on_azure_is_told_the_one_that_makes_it(tmp_path):
    (tmp_path / "settings.yml").touch()
    with pytest.raises(HomeError, match="not a home yet: `mlops init` makes it"):
        HomeLayout(tmp_path).kind()


def test_a_host_that_lacks_an_identity_of_the_settings_is_told_which(clinic):
    other = {**clinic.plane.backend.identities, "prod": "f0000000-0000-0000-0000-000000000000"}
    clinic.plane.backend = replace(clinic.plane.backend, identities=other)
    _, rows = clinic.doctor()
    assert not rows["azure: identities"]["ok"]
    assert "identity prod: no token" in rows["azure: identities"]["says"]
