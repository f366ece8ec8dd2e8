"""The Spark that is used is the Spark of Synapse, 3.5: every name, and nothing newer."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mlops_assets.engines.spark as package

pytestmark = pytest.mark.spark

NEWEST = (3, 5)
# What of Spark's own names the engines use; a new one is looked up in Spark 3.5 and added here.
USED = {
    "DataFrame": [
        *("alias", "coalesce", "collect", "columns", "mapInArrow", "persist", "repartition"),
        *("repartitionByRange", "select", "sortWithinPartitions", "sparkSession", "unionByName"),
        *("unpersist", "where", "withColumn", "write"),
    ],
    "DataFrameReader": ["format", "load", "option"],
    "DataFrameWriter": ["format", "mode", "option", "save"],
    "SparkSession": [
        *("builder", "conf", "createDataFrame", "getActiveSession", "read", "sparkContext"),
        *("sql", "stop"),
    ],
    "SparkContext": ["cancelJobGroup", "defaultParallelism", "setJobGroup"],
    "RuntimeConfig": ["set", "unset"],
    "Column": ["alias", "cast", "isin"],
    "functions": ["lit"],
}
IMPORTED = {
    "delta.exceptions.DeltaConcurrentModificationException",
    "delta.tables.DeltaTable",
    "py4j.protocol.Py4JError",
    "pyspark.InheritableThread",
    "pyspark.errors.PySparkException",
    "pyspark.sql.DataFrame",
    "pyspark.sql.SparkSession",
    "pyspark.sql.functions",
}


@pytest.fixture(scope="module")
def trees():
    folder = Path(package.__file__).parent
    return [ast.parse(path.read_text()) for path in sorted(folder.glob("*.py"))]


def owners():
    from pyspark import SparkContext
    from pyspark.sql import (
        Column,
        DataFrame,
        DataFrameReader,
        DataFrameWriter,
        SparkSession,
        functions,
    )
    from pyspark.sql.conf import RuntimeConfig

    found = (DataFrame, DataFrameReader, DataFrameWriter, SparkSession, SparkContext)
    return {
        **{each.__name__: each for each in (*found, RuntimeConfig, Column)},
        "functions": functions,
    }


def since(thing):
    """The version that a name of Spark says it came with."""
    found = re.search(r"versionadded::\s*(\d+)\.(\d+)", getattr(thing, "__doc__", None) or "")
    return tuple(map(int, found.groups())) if found else (1, 0)


def test_only_these_names_of_spark_are_imported(trees):
    names = {
        f"{node.module}.{alias.name}"
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] in {"pyspark", "delta", "py4j"}
        for alias in node.names
    }
    assert names == IMPORTED


def test_every_name_that_is_used_was_there_in_spark_3_5(trees):
    used = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    known = owners()
    for owner, names in USED.items():
        for name in names:
            assert name in used, f"{owner}.{name} is no longer used: take it off the list"
            assert since(getattr(known[owner], name)) <= NEWEST, f"{owner}.{name}"


def test_no_name_that_came_later_is_used(trees):
    """By any attribute at all, so that a list that was not kept up hides nothing."""
    used = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    newer = {
        f"{owner}.{name}"
        for owner, thing in owners().items()
        for name in used & set(dir(thing))
        if since(getattr(thing, name, None)) > NEWEST
    }
    # `exists` is asked of our own tables; of a frame it would be Spark 4's.
    assert newer == {"DataFrame.exists"}
    assert since(owners()["DataFrame"].toArrow) > NEWEST
