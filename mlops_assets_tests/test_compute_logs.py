"""What a run prints lies in the storage account, written by who a home's settings say we are.

Dagster's own manager speaks HTTPS to a host that names the account, so Azurite has a certificate
here, and takes the tokens of a managed identity.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient

from mlops_assets import launch
from mlops_assets.settings import Settings
from mlops_assets.settings.azure import Cloud
from mlops_assets_tests.azurite import awaited, free_port, program
from mlops_assets_tests.control_plane.certificate import written
from mlops_assets_tests.fakes.azure_ml import a_backend

pytestmark = pytest.mark.azure

ACCOUNT, SAID = "mlopslogs", "a line that only this run prints"
KEY = base64.b64encode(b"a key that opens an emulator only").decode()
# `*.localhost` is this machine by its standard, which not every resolver knows.
RUN = f"""
    import socket
    resolve = socket.getaddrinfo
    def here(host, *rest, **more):
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
    socket.getaddrinfo = here
    import sys
    import dagster as dg

    @dg.op
    def speak():
        print({SAID!r})

    @dg.job(executor_def=dg.in_process_executor)
    def speaking():
        speak()

    if __name__ == "__main__":
        with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
            with dg.execute_job(dg.reconstructable(speaking), instance=instance) as done:
                assert done.success
"""


class Identity(BaseHTTPRequestHandler):
    """Hands out tokens as a machine with a managed identity does."""

    def do_GET(self):
        now = int(time.time())
        claims = {
            "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000001/",
            "aud": "https://storage.azure.com",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
        }
        parts = [{"alg": "RS256", "typ": "JWT"}, claims]
        text = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
        token = b".".join([*text, b"c2lnbmVk"]).decode()
        answer = json.dumps(
            {
                "access_token": token,
                "expires_on": str(now + 3600),
                "resource": "https://storage.azure.com",
                "token_type": "Bearer",
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format, *args):  # noqa: A002 the base's own name
        """Say nothing."""


@pytest.fixture
def identity():
    """A machine's own address for tokens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Identity)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{server.server_port}/msi/token",
        "IDENTITY_HEADER": "here",
    }
    server.shutdown()
    server.server_close()


@pytest.fixture
def storage(tmp_path):
    """Azurite over HTTPS, which takes tokens; its port and the certificate to trust."""
    certificate, key = written(tmp_path, f"{ACCOUNT}.blob.core.localhost")
    port = free_port()
    with (tmp_path / "azurite.log").open("w+b") as log:
        process = subprocess.Popen(
            ["node", program(), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--cert",
             certificate, "--key", key, "--oauth", "basic", "--inMemoryPersistence",
             "--disableTelemetry", "--silent", "--skipApiVersionCheck"],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        )  # fmt: skip
        try:
            awaited(port, process, log)
            yield port, certificate
        finally:
            process.kill()
            process.wait(60)


def test_what_a_run_prints_is_a_blob_of_the_account(tmp_path, storage, identity):
    port, certificate = storage
    container = ContainerClient(
        f"https://127.0.0.1:{port}/{ACCOUNT}",
        "dev",
        credential=AzureNamedKeyCredential(ACCOUNT, KEY),
        connection_verify=str(certificate),
    )
    container.create_container()
    cloud = Cloud(storage_suffix=f"core.localhost:{port}")
    backend = a_backend(storage_account=ACCOUNT, cloud=cloud)
    home = tmp_path / "home"
    home.mkdir()
    settings = Settings(home=home, config=home / "config", backend=backend)
    settings.layout.home_file.write_text('{"format": 1, "kind": "init"}')
    folder = launch.dagster_home(settings)
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(RUN))

    done = subprocess.run(
        [sys.executable, script, folder],
        env={**os.environ, **identity, "REQUESTS_CA_BUNDLE": str(certificate)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    found = {
        blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs()
    }
    assert all(name.startswith("compute_logs/") for name in found)
    assert any(SAID.encode() in data for name, data in found.items() if name.endswith(".out"))


def test_an_emulator_here_has_no_part_in_it(tmp_path):
    backend = a_backend(cloud=Cloud(blob="http://127.0.0.1:1/a"))
    settings = Settings(home=tmp_path, config=tmp_path / "config", backend=backend)
    settings.layout.home_file.write_text('{"format": 1, "kind": "init"}')

    assert "compute_logs" not in (launch.dagster_home(settings) / "dagster.yaml").read_text()


@pytest.mark.parametrize(
    ("role", "container", "client"),
    [("", "dev", "d"), ("prod", "prod", "p"), ("etl", "lake", "e"), ("etl,review", "lake", "e")],
)
def test_each_role_writes_where_it_may_as_who_it_is(tmp_path, role, container, client):
    backend = a_backend(identities={"dev": "d", "prod": "p", "etl": "e", "review": "r"})
    backend = backend.as_roles(role) if role else backend
    settings = Settings(home=tmp_path, config=tmp_path / "config", backend=backend)
    settings.layout.home_file.write_text('{"format": 1, "kind": "init"}')

    written_down = yaml.safe_load((launch.dagster_home(settings) / "dagster.yaml").read_text())

    found = written_down["compute_logs"]["config"]
    assert found["container"] == container
    assert found["default_azure_credential"] == {"managed_identity_client_id": client}
