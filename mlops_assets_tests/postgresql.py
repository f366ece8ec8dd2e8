"""A real PostgreSQL server for a test: its own folder, port and process, stopped by its id.

The server comes from Debian's package. It refuses to run as root, so root starts it as the user
that the package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

PASSWORD = "canary-9f2c41"  # noqa: S105 of a server that lives as long as its test
_SECONDS = 60


@dataclass(frozen=True)
class Server:
    port: int
    pid: int

    def url(self, user="owner", password=PASSWORD, database="postgres"):
        return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements, user="owner"):
        """Execute statements and commit."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=PASSWORD, dbname="postgres"
        ) as connection:
            for statement in statements:
                connection.execute(statement)


def programs():
    """The folder of the newest server that is installed; the test is skipped where there is none.

    Where MLOPS_REQUIRE_POSTGRESQL is set, as in CI, there must be one.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    if os.environ.get("MLOPS_REQUIRE_POSTGRESQL"):
        pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
    pytest.skip("PostgreSQL is not installed: apt-get install postgresql")


@contextmanager
def running():
    """Start a server with one login ``owner``, and stop it with its folder removed."""
    binaries = programs()
    folder = Path(tempfile.mkdtemp(prefix="mlops-pg-"))
    who = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = [binaries / "initdb", "-D", folder / "data", "-U", "owner", "--pwfile", secret]
        made += ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **who)
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "timezone": "America/New_York",
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *given],
                stdout=log,
                stderr=log,
                cwd=folder,
                **who,
            )
        try:
            server = Server(port, process.pid)
            _await(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_SECONDS)
    finally:
        shutil.rmtree(folder)


def _await(server, process, log):
    for _ in range(_SECONDS * 10):
        try:
            server.run("select 1")
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
