"""Partitions: circuits and days, how they map to each other, and which of them a run is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.domain.identifiers import CircuitKey, IdentifierError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BACKFILL_TAG = "dagster/backfill"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

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


# Circuits beside the partitions that a run is launched on: Dagster's tags know blocks of neighbours
# only, and one run takes any set.
SELECTION = {
    "circuits": dg.Field(
        [str], default_value=[], is_required=False, description="Circuits such as P001/C003."
    ),
    "release": dg.Field(
        str, default_value="", is_required=False, description="The release a stage is for."
    ),
}


def chosen(context: dg.AssetExecutionContext) -> tuple[CircuitKey, ...]:
    """Return the circuits of this run: its partitions, and what its config names beside them."""
    texts = {*context.partition_keys, *named(context)} if context.run.is_partitioned else set()
    if not texts:
        raise dg.Failure(
            "no circuit was chosen: materialize partitions; of a range the first comes first",
            allow_retries=False,
        )
    return keys_of(texts)


def keys_of(texts: Iterable[str]) -> tuple[CircuitKey, ...]:
    """Return the circuits that a run's partitions or config name, sorted.

    Dagster hands on whatever was typed into a tag; what is no circuit fails the step in one line.
    """
    try:
        return tuple(sorted({CircuitKey.parse(text) for text in texts}))
    except IdentifierError as error:
        raise dg.Failure(f"this run's circuits: {error}", allow_retries=False) from error


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
    return tuple(sorted({*own, *keys_of(subset.get_partition_keys())}))


def add_circuits(instance: dg.DagsterInstance, keys: Sequence[CircuitKey]) -> None:
    """Make every circuit a partition; new ones are added in order, because ranges follow it."""
    known = set(instance.get_dynamic_partitions(str(circuits.name)))
    if new := sorted({str(key) for key in keys} - known):
        instance.add_dynamic_partitions(str(circuits.name), new)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a run over a set of circuits is asked for."""

    partition_key: str | None
    tags: Mapping[str, str]
    config: Mapping[str, object]


def launch_on(order: Sequence[str], keys: Iterable[str], *, release: str = "") -> Launch:
    """Return how one run covers exactly these circuits.

    The longest block of neighbours becomes the run's partitions, and config names them all: the
    run plans the others itself.

    Args:
        order: all partitions in Dagster's order, which is that of their addition.
        keys: the circuits; each must be a partition.
        release: the release that a stage is for.
    """
    wanted = set(keys)
    blocks: list[list[str]] = []
    for key, before in zip(order, ["", *order], strict=False):
        if key in wanted and before in wanted and blocks:
            blocks[-1].append(key)
        elif key in wanted:
            blocks.append([key])
    longest = max(blocks, key=len)
    config = {"circuits": sorted(wanted) if len(blocks) > 1 else [], "release": release}
    if len(longest) == 1:
        return Launch(longest[0], {}, config)
    return Launch(None, {RANGE_START_TAG: longest[0], RANGE_END_TAG: longest[-1]}, config)
