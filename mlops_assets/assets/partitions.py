"""Partitions: circuits and days, how they map to each other, and which of them a run is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.domain.identifiers import CircuitKey

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKFILL_TAG = "dagster/backfill"

circuits = dg.DynamicPartitionsDefinition(name="circuits")
# From long ago, so that any history can be forecast again, to tomorrow.
days = dg.DailyPartitionsDefinition("2000-01-01", end_offset=2, timezone="UTC")


def each(asset: str) -> dg.AssetDep:
    """Depend on the same circuit of another asset."""
    return dg.AssetDep(asset, partition_mapping=dg.IdentityPartitionMapping())


def every(asset: str) -> dg.AssetDep:
    """Depend on every partition, or on the whole of an asset that has none."""
    return dg.AssetDep(asset, partition_mapping=dg.AllPartitionMapping())


def newest(asset: str) -> dg.AssetDep:
    """Depend on the newest day of an asset."""
    return dg.AssetDep(asset, partition_mapping=dg.LastPartitionMapping())


# What a run is about, where it is not launched on partitions: a set of circuits that is not one
# block of partitions goes in one run this way.
SELECTION = {
    "circuits": dg.Field(
        [str], default_value=[], is_required=False, description="Circuits such as P001/C003."
    ),
    "release": dg.Field(
        str, default_value="", is_required=False, description="The release a stage is for."
    ),
}


def chosen(context: dg.AssetExecutionContext) -> tuple[CircuitKey, ...]:
    """Return the circuits of this run alone: its partitions, or what its config names."""
    if context.run.is_partitioned:
        texts: Sequence[str] = context.partition_keys
        if not texts:
            raise dg.Failure(
                "the range of partitions is empty: its first circuit comes after its last one",
                allow_retries=False,
            )
    else:
        texts = named(context)
        if not texts:
            raise dg.Failure(
                "no circuit was chosen: materialize partitions, or name `circuits` in the config",
                allow_retries=False,
            )
    return tuple(sorted({CircuitKey.parse(text) for text in texts}))


def named(context: dg.AssetExecutionContext) -> list[str]:
    """Return the circuits that the run's config names."""
    return list(context.op_execution_context.op_config["circuits"])


def meant(context: dg.AssetExecutionContext) -> tuple[CircuitKey, ...]:
    """Return the circuits that whoever launched this run meant: in a backfill, all of it.

    A backfill over circuits that are not neighbours becomes several runs, but it was one choice.
    """
    own = chosen(context)
    backfill_id = context.run.tags.get(BACKFILL_TAG)
    backfill = context.instance.get_backfill(backfill_id) if backfill_id else None
    data = backfill.asset_backfill_data if backfill else None
    if data is None:
        return own
    asset = min(context.selected_asset_keys)
    subset = data.target_subset.partitions_subsets_by_asset_key.get(asset)
    if subset is None:
        return own
    return tuple(sorted({*own, *(CircuitKey.parse(key) for key in subset.get_partition_keys())}))


def add_circuits(instance: dg.DagsterInstance, keys: Sequence[CircuitKey]) -> None:
    """Make every circuit a partition; new ones are added in order, because ranges follow it."""
    known = set(instance.get_dynamic_partitions(str(circuits.name)))
    if new := sorted({str(key) for key in keys} - known):
        instance.add_dynamic_partitions(str(circuits.name), new)
