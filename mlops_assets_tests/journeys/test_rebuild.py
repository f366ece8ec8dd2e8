"""Dagster's database is a view: deleted and rebuilt, every asset says what it said before."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg

from mlops_assets.definitions import defs
from mlops_assets_tests.journeys.command import mlops
from mlops_assets_tests.journeys.product_state import product_state

# What a run did in passing; all else is read from facts and ledger.
OF_THE_RUN = {"status", "slice"}


def newest_events(home: Path) -> dict[tuple[str, str | None], tuple[str, dict[str, str]]]:
    """Return the newest event of each asset and partition: data version and metadata."""
    found = {}
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        for key in defs.resolve_asset_graph().get_all_asset_keys():
            records = instance.fetch_materializations(key, limit=10_000).records
            for record in reversed(records):
                event = record.asset_materialization
                metadata = {
                    name: repr(value.value)
                    for name, value in event.metadata.items()
                    if name not in OF_THE_RUN
                }
                version = event.tags["dagster/data_version"]
                found[key.to_user_string(), event.partition] = (version, metadata)
    return found


def test_a_deleted_database_is_filled_again_with_the_same_newest_events(demo_home):
    before, product = newest_events(demo_home), product_state(demo_home)
    shutil.rmtree(demo_home / "dagster")
    counts = mlops(demo_home, "rebuild")
    assert sum(counts.values()) == len(before)
    assert newest_events(demo_home) == before
    assert product_state(demo_home) == product
