"""A host of the platform: its services, its git and its command, as `infra/host` sets them up."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dagster._daemon.cli import run_command as daemon
from dagster_webserver.cli import create_dagster_webserver_cli

from mlops_assets.settings.azure import ROLES, read_azure
from mlops_assets.settings.host import NEEDS
from mlops_assets_tests.infra.template import FOLDER

pytestmark = pytest.mark.azure

HOST = FOLDER / "host"
UNITS = sorted([*HOST.glob("*.service"), *HOST.glob("*.timer")])
PROGRAMS = "/opt/mlops/.venv/bin"
PROJECT = "https://dev.azure.com/northwind/forecasting"
NEVER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$ASKED"
"""
# Clones by laying down what the platform's repository holds of a host.
GIT = (
    NEVER
    + """
[ "$1" != clone ] || { mkdir -p "$3/.git" "$3/infra" && cp -r "$HOST" "$3/infra/host"; }
"""
)


def read(path):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(path.read_text())
    return parser


def programs(folder, **texts):
    """A folder of programs that say what they were asked, before the machine's own."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        path = folder / name.replace("_", "-")
        path.write_text(text)
        path.chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "ASKED": str(folder / "asked"),
        "HOST": str(HOST),
    }


def asked(environ):
    path = Path(environ["ASKED"])
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_every_unit_as_it_is(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine")
    for each in UNITS:
        # What it starts is looked for where this installation has it.
        text = each.read_text().replace(PROGRAMS, str(Path(sys.executable).parent))
        (tmp_path / each.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if unit.stem in line]
    assert said == []


@pytest.mark.parametrize("name", ["mlops-daemon", "mlops-web"])
def test_a_service_comes_back_after_a_reboot_and_after_its_end(name):
    unit = read(HOST / f"{name}.service")
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["User"] == "mlops"
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    # Without a home it fails where it is looked for, instead of making an empty one.
    (home,) = (line.partition("=")[2] for line in environment() if line.startswith("DAGSTER_HOME"))
    assert unit["Unit"]["AssertPathExists"] == f"{home}/dagster.yaml"


def environment():
    lines = (HOST / "host.env").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "command"),
    [("mlops-daemon", daemon), ("mlops-web", create_dagster_webserver_cli())],
)
def test_a_service_starts_what_there_is_with_options_that_it_has(name, command):
    words = shlex.split(read(HOST / f"{name}.service")["Service"]["ExecStart"])
    program = Path(sys.executable).with_name(Path(words[0]).name)
    assert program.exists()
    given = {word for word in words if word.startswith("--")}
    assert given <= {flag for each in command.params for flag in each.opts}
    assert words[-1] == "mlops_assets.definitions"
    if name == "mlops-web":
        assert words[words.index("--host") + 1] == "127.0.0.1"


def test_the_config_is_fetched_each_minute_and_never_merged():
    timer, service = read(HOST / "mlops-pull.timer"), read(HOST / "mlops-pull.service")
    assert timer["Timer"]["OnUnitInactiveSec"] == "60"
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert service["Service"]["ExecStart"] == "/usr/bin/git pull --ff-only --quiet"
    assert int(service["Service"]["TimeoutStartSec"]) < 60


def test_services_and_the_command_are_told_the_same():
    told = dict(line.split("=", 1) for line in environment())
    clone = Path(told["MLOPS_CONFIG"]).parent
    for name in ("mlops-daemon", "mlops-web", "mlops-pull"):
        assert read(HOST / f"{name}.service")["Service"]["WorkingDirectory"] == str(clone)
    assert Path(told["MLOPS_HOME"]).parent == clone
    assert told["DAGSTER_HOME"] == f"{told['MLOPS_HOME']}/dagster"


def test_a_host_plays_every_role_but_the_pipelines_unless_it_is_told_otherwise():
    told = dict(line.split("=", 1) for line in environment())
    backend = read_azure((FOLDER / "settings.yml").read_bytes(), "infra/settings.yml")
    assert set(backend.as_roles(told["MLOPS_ROLE"]).roles) == set(ROLES) - {"review"}


def test_the_page_says_what_a_host_of_each_role_starts_by_itself():
    text = (FOLDER.parent / "docs" / "host.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| `")]  # fmt: skip
    told = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    assert {role: told[role] for role in ROLES} == {
        role: {name for name, needs in NEEDS.items() if role in needs} for role in ROLES
    }


@pytest.fixture
def machine(tmp_path):
    """A machine that remembers what it was asked; its root is a folder."""
    names = ("apt-get", "useradd", "chgrp", "make", "systemctl", "runuser", "id")
    # `runuser -u mlops -- COMMAND` runs the command.
    texts = dict.fromkeys(names, NEVER) | {"runuser": NEVER + 'shift 3; exec "$@"\n', "git": GIT}
    environ = programs(tmp_path / "bin", **texts) | {"DESTDIR": str(tmp_path / "root")}
    (tmp_path / "root" / "var" / "lib" / "mlops").mkdir(parents=True)
    return tmp_path / "root", environ


def install(environ):
    done = subprocess.run(
        ["sh", str(HOST / "install.sh"), PROJECT, "client-1"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return asked(environ)


def test_a_new_machine_gets_everything_and_serves_nothing_before_there_is_a_home(machine):
    root, environ = machine
    lines = install(environ)
    assert f"git clone {PROJECT}/_git/platform {root}/opt/mlops" in lines
    assert f"git clone {PROJECT}/_git/config {root}/var/lib/mlops/config" in lines
    assert f"make -C {root}/opt/mlops azure" in lines
    assert [line for line in lines if line.startswith("systemctl")] == [
        "systemctl daemon-reload",
        "systemctl enable --now mlops-pull.timer",
    ]
    laid = {path.name for path in (root / "etc/systemd/system").iterdir()}
    assert laid == {path.name for path in UNITS}
    told = root / "etc/mlops/host.env"
    assert "MLOPS_GIT_CLIENT_ID=client-1\n" in told.read_text()
    assert told.stat().st_mode & 0o777 == 0o640


def test_the_same_command_upgrades_a_host_and_keeps_what_it_was_told(machine):
    root, environ = machine
    install(environ)
    told = root / "etc/mlops/host.env"
    told.write_text("MLOPS_ROLE=prod\n")
    home = root / "var/lib/mlops/config/.mlops/dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").touch()
    lines = install(environ)
    assert told.read_text() == "MLOPS_ROLE=prod\n"
    assert f"git -C {root}/opt/mlops pull --ff-only" in lines
    assert not [line for line in lines if "clone" in line]
    assert lines[-1] == "systemctl restart mlops-daemon mlops-web"


def script(tmp_path, name):
    """A program of a host, reading what a host is told from a file of the test."""
    told = tmp_path / "host.env"
    told.write_text(
        (HOST / "host.env").read_text().replace("=GIT_CLIENT_ID", "=client-1")
        + f"MLOPS_CONFIG={tmp_path}/clone/config\n"
    )
    (tmp_path / "clone" / "config").mkdir(parents=True)
    path = tmp_path / name
    text = (HOST / name).read_text().replace("/etc/mlops/host.env", str(told))
    path.write_text(text.replace(PROGRAMS, str(tmp_path / "bin")))
    path.chmod(0o755)
    return path


CURL = NEVER + """[ -z "${DOWN:-}" ] || exit 22\necho '{"access_token": "t-1"}'\n"""


def test_git_gets_a_token_of_the_machine_and_keeps_none(tmp_path):
    path, environ = script(tmp_path, "git-credential-azure"), programs(tmp_path / "bin", curl=CURL)
    run = [str(path)]
    got = subprocess.run([*run, "get"], env=environ, capture_output=True, text=True, check=True)
    assert got.stdout == "username=mlops\npassword=t-1\n"
    (line,) = asked(environ)
    assert "resource=499b84ac-1321-427f-aa17-267ca6975798&client_id=client-1" in line
    for verb in ("store", "erase"):
        done = subprocess.run([*run, verb], env=environ, capture_output=True, check=True)
        assert done.stdout == b""
    assert asked(environ) == []


def test_git_says_in_one_line_that_the_machine_has_no_such_identity(tmp_path):
    path, environ = script(tmp_path, "git-credential-azure"), programs(tmp_path / "bin", curl=CURL)
    done = subprocess.run(
        [str(path), "get"], env=environ | {"DOWN": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "no token for git: has this machine the identity client-1?\n"


def test_the_command_runs_as_the_services_do_whoever_types_it(tmp_path):
    path = script(tmp_path, "mlops")
    says = '#!/bin/sh\necho "$(pwd) $MLOPS_HOME $*"\n'
    environ = programs(tmp_path / "bin", id="#!/bin/sh\necho mlops\n", mlops=says, sudo=NEVER)
    done = subprocess.run(
        [str(path), "rollback", "--all"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path}/clone /var/lib/mlops/config/.mlops rollback --all\n"
    other = environ | programs(tmp_path / "bin", id="#!/bin/sh\necho ann\n")
    subprocess.run([str(path), "status"], env=other, check=True)
    assert asked(environ) == [f"sudo -u mlops -- {path} status"]
