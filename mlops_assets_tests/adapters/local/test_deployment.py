"""Endpoints in files: damage is named, and processes exclude each other."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.deployment import LocalEndpoints
from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.fakes.deployment import an_entry

CIRCUIT = CircuitKey("P1", "C1")
RELEASE = "r-" + "1" * 12


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "workspaces" / "prod" / "endpoints"


def deployed(folder):
    endpoints = LocalEndpoints(folder)
    deployment = deployment_of(an_entry(CIRCUIT), release=RELEASE, release_digest="9" * 64)
    endpoints.record(deployment)
    live = endpoints.live("P1")
    endpoints.swap(live, live.with_changes({CIRCUIT: deployment}))
    return endpoints


def test_the_files_are_where_the_layout_says(folder):
    deployed(folder)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert files == ["P1/.lock", f"P1/deployments/C1/{RELEASE}.json", "P1/live.json"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not JSON"),
        (b"[]", "has not the fields"),
        (b'{"content":{},"format":2,"sha256":""}', "has format 2, not 1"),
        (b'{"content":{},"format":1,"sha256":""}', "does not match its own digest"),
    ],
)
def test_a_live_manifest_that_cannot_be_read_is_named(folder, data, said):
    endpoints = deployed(folder)
    (folder / "P1" / "live.json").write_bytes(data)
    with pytest.raises(DataError) as caught:
        endpoints.live("P1")
    assert str(caught.value).startswith(f"workspaces/prod/endpoints/P1/live.json: {said}")
    assert "\n" not in str(caught.value)


def test_another_plants_manifest_is_refused(folder):
    endpoints = deployed(folder)
    (folder / "P2").mkdir()
    (folder / "P2" / "live.json").write_bytes((folder / "P1" / "live.json").read_bytes())
    with pytest.raises(DataError, match="is the live manifest of P1"):
        endpoints.live("P2")


def test_another_circuits_deployment_is_refused(folder):
    endpoints = deployed(folder)
    source = folder / "P1" / "deployments" / "C1" / f"{RELEASE}.json"
    target = folder / "P1" / "deployments" / "C2" / f"{RELEASE}.json"
    target.parent.mkdir()
    target.write_bytes(source.read_bytes())
    with pytest.raises(DataError, match="is the deployment of P1/C1"):
        endpoints.recorded(CircuitKey("P1", "C2"), RELEASE)


@given(st.data())
def test_a_flipped_bit_is_never_served(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("home") / "workspaces" / "prod" / "endpoints"
    endpoints = deployed(folder)
    path = folder / "P1" / "live.json"
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))
    with pytest.raises(DataError):
        endpoints.live("P1")


def test_processes_that_count_up_together_lose_nothing(folder):
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from mlops_assets.adapters.local.deployment import LocalEndpoints
        endpoints = LocalEndpoints(Path(sys.argv[1]))
        for _ in range(10):
            with endpoints.lock("P1"):
                live = endpoints.live("P1")
                endpoints.swap(live, live.with_changes({}))
        """
    )
    runs = [subprocess.Popen([sys.executable, "-c", script, str(folder)]) for _ in range(3)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0, 0]
    assert LocalEndpoints(folder).live("P1").generation == 30
