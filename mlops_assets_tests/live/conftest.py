"""Tests that ask a real subscription: collected only where `$MLOPS_LIVE_SETTINGS` names one."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from mlops_assets.settings.azure import read_azure

if not os.environ.get("MLOPS_LIVE_SETTINGS"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def backend():
    path = Path(os.environ["MLOPS_LIVE_SETTINGS"])
    return read_azure(path.read_bytes(), str(path))


@pytest.fixture(scope="session")
def name():
    """What everything that these tests make begins with."""
    return f"live-{uuid4().hex[:12]}"
