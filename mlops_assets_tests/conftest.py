"""Settings of the whole suite: seeds are fixed, so a failure repeats."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def real_readings() -> Path:
    """The real readings beside the project; tests that need them skip where they are absent."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "readings.parquet"
    if not path.exists():
        pytest.skip("the real readings (../shared/data/readings.parquet) are not here")
    return path
