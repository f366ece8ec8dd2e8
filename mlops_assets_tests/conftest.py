"""Settings of the whole suite: seeds are fixed, so a failure repeats."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.engines.spark.session import SparkSessions
    from mlops_assets_tests.azurite import Account, Azurite

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)
settings.load_profile("repeatable")
# For `make mutants`: the first example that fails kills a mutant, and nobody reads the smallest.
settings.register_profile(
    "unshrunk", settings.get_profile("repeatable"), phases=(Phase.explicit, Phase.generate)
)


@pytest.fixture(scope="session")
def real_readings() -> Path:
    """The real readings beside the project; tests that need them skip where they are absent."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "readings.parquet"
    if not path.exists():
        pytest.skip("the real readings (../shared/data/readings.parquet) are not here")
    return path


@pytest.fixture(scope="session")
def spark(tmp_path_factory) -> Iterator[SparkSessions]:
    """One session on one standalone cluster for the whole suite: its start takes the longest."""
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: `make spark`, then `make test`")
    from mlops_assets_tests.spark_cluster import cluster, held_sessions

    with cluster(tmp_path_factory.mktemp("spark")) as address, held_sessions(address) as sessions:
        yield sessions


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Azurite for every test of a process."""
    from mlops_assets_tests.azurite import running

    with running() as server:
        yield server


@pytest.fixture
def storage_account(azurite) -> Account:
    """A storage account of its own, with every container."""
    return azurite.account()
