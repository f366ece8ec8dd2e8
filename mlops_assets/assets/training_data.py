"""Training data: what one model may learn from, as an MLTable data asset of the dev workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets.events import Fact, check_specs
from mlops_assets.assets.partitions import circuits, each

if TYPE_CHECKING:
    from mlops_assets.domain.training_data import TrainingData

GROUP = "train"
OWNERS = ["team:ml-engineering"]

SPEC = dg.AssetSpec(
    "training_data",
    description="Exactly the readings up to the end of the cutoff date, pinned as an MLTable data "
    "asset; its version is the cutoff date.",
    group_name=GROUP,
    kinds={"mltable", "parquet"},
    owners=OWNERS,
    deps=[each("circuit_readings"), each("circuit_config")],
    partitions_def=circuits,
    skippable=True,
)
CHECKS = {
    "enough_rows": "Are there enough readings to learn from?",
    "gaps": "Is not too much of it missing?",
    "content_as_pinned": "Does it hold the rows its digest says?",
}
CHECK_SPECS = check_specs("training_data", CHECKS, circuits, warns=["gaps"])


def training_data_fact(data: TrainingData) -> Fact:
    """Tell one registered data asset."""
    return Fact(
        asset="training_data",
        partition=str(data.circuit),
        version=data.content_digest,
        metadata={
            "plant": data.circuit.plant_id,
            "data_version": str(data.version),
            "content_digest": data.content_digest,
            "delta_version": data.delta_version,
            "rows": data.rows,
            "cutoff_date": data.cutoff_date,
            "timezone": data.timezone,
            "first_reading": data.first_timestamp,
            "last_reading": data.last_timestamp,
            "columns": data.columns,
            "path": data.path,
        },
    )
