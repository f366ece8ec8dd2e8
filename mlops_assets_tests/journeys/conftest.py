"""One demo home for the journeys: made once a test run, copied by whoever changes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.adapters.local.files import locked
from mlops_assets_tests.journeys.command import mlops


@pytest.fixture(scope="session")
def made_demo(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, dict[str, Any]]:
    """A demo home of three circuits with its JSON document; do not change it."""
    # Workers of one run share the folder above theirs, so the demo is made once for all of them.
    # Without workers that folder is shared with other runs, whose homes other code has made.
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent
    home, document = shared / "demo-home", shared / "demo.json"
    with locked(shared / "demo.lock"):
        if not document.exists():
            result = mlops(home, "demo", "--circuits", "3", "--effort", "fast")
            document.write_text(json.dumps(result))
    return home, json.loads(document.read_text())


@pytest.fixture
def demo_home(made_demo: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the demo home, to be changed at will: a home can be moved."""
    return Path(shutil.copytree(made_demo[0], tmp_path / "home", symlinks=True))
