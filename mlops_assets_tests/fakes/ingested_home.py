"""A home on a disk whose circuits have readings and no model, for what trains there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets.partitions import add_circuits
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.plan import config_at
from mlops_assets.flows.readings import ingest
from mlops_assets.launch import dagster_home
from mlops_assets.resources import open_platform
from mlops_assets.resources.home import initialise, initialise_demo
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.readings import csv_of
from mlops_assets_tests.fakes.trained_home import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = datetime(2024, 5, 1)  # noqa: DTZ001 it is written with its zone


def ingested_home(
    folder: Path, names: Sequence[str], *, days: int = 30, people: bool = False
) -> Settings:
    """Make a home of these circuits, which Dagster knows in this order, and merge its readings.

    With ``people`` it is a demo's, whose throw-away keys can sign.
    """
    rows = [
        (*name.split("/"), f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}", value)
        for number, name in enumerate(names)
        for hour, value in enumerate(load(24 * days, level=50 + 10 * number))
    ]
    (folder / "readings.csv").write_bytes(csv_of(rows))
    settings = Settings(home=folder / "home", config=folder / "home" / "config")
    if people:
        initialise_demo(settings, readings=folder / "readings.csv", effort="fast")
    else:
        initialise(settings, readings=folder / "readings.csv", effort="fast")
    platform = open_platform(settings)
    ingest(platform.lake, config_at(platform), now=platform.clock.now())
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        for name in names:
            add_circuits(instance, [CircuitKey.parse(name)])
    return settings
