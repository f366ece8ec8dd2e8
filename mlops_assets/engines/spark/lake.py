"""Spark as the lake's engine: the ETL and the daily batch on one session."""

from __future__ import annotations

from mlops_assets.engines.spark.forecast import SparkBatchEngine
from mlops_assets.engines.spark.transform import SparkTransformEngine


class SparkLakeEngine(SparkTransformEngine, SparkBatchEngine):
    """Both on the cluster that ``sessions`` name."""
