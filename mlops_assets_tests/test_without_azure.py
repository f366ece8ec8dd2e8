"""Whoever works on one machine needs nothing of Azure: no package, no identity, no variable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.azure

# Packages of the azure extra cannot be found, as where it was never installed.
BARE = """
import sys
from importlib.machinery import PathFinder

EXTRA = {"azure", "dagster_azure", "mlflow", "msrest", "opentelemetry"}

class Absent(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in EXTRA else super().find_spec(name, path, target)

sys.meta_path = [Absent if finder is PathFinder else finder for finder in sys.meta_path]
"""
NAMES = {
    "backend": "azure",
    "subscription": "s",
    "resource_group": "g",
    "location": "westeurope",
    "storage_account": "mlopslake",
    "registry": "r",
    "workspaces": {"dev": "d", "test": "t", "prod": "p"},
}


def run(code, *words):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE", "MLOPS", "IDENTITY"))}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE + code, *words],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_graph_loads():
    done = run(
        """
import mlops_assets.definitions as found
assert len(list(found.defs.resolve_all_asset_specs())) > 10
assert not [name for name in sys.modules if name.partition(".")[0] in EXTRA]
"""
    )

    assert done.returncode == 0, done.stderr


def test_a_home_on_azure_says_in_one_line_what_to_install(tmp_path):
    (tmp_path / "settings.yml").write_text(yaml.safe_dump(NAMES))
    (tmp_path / "home.json").write_text('{"format": 1, "kind": "init"}')

    done = run("from mlops_assets.cli import main\nmain()", "--home", str(tmp_path), "status")

    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "its settings ask for Azure, which is not installed here" in line
    assert "make azure" in line


def test_a_command_of_a_local_home_loads_nothing_of_it(tmp_path):
    done = run(
        """
from mlops_assets.cli import main
try:
    main(["--home", sys.argv[1], "init"])
except SystemExit as ended:
    assert ended.code == 0, ended.code
assert not [name for name in sys.modules if name.partition(".")[0] in EXTRA]
""",
        str(tmp_path / "home"),
    )

    assert done.returncode == 0, done.stderr
