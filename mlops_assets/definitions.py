"""The Dagster entry point: every asset, check, job, schedule and sensor, put together."""

from __future__ import annotations

import os
import sys

import dagster as dg

from mlops_assets import automation
from mlops_assets.assets.config import CIRCUIT_CONFIG, ENVIRONMENT
from mlops_assets.assets.deployment import production_deployment, registry_model, test_validation
from mlops_assets.assets.forecast import daily_forecast, predictions
from mlops_assets.assets.home import Home
from mlops_assets.assets.quality import forecast_quality
from mlops_assets.assets.readings import (
    HISTORIAN_TABLES,
    SENSOR_FILES,
    circuit_readings,
    readings,
)
from mlops_assets.assets.training import train
from mlops_assets.domain.errors import HomeError
from mlops_assets.settings.azure import ROLES
from mlops_assets.settings.host import starts

home = Home()
if os.environ.get("DAGSTER_IS_DEV_CLI"):
    # Whoever types plain `dagster dev` is told at once; every run and tick would say the same.
    try:
        home.settings.layout.kind()
    except HomeError as error:
        sys.stderr.write(f"{error}; until then nothing can run\n")

# Where no role is named, settings are read when something first needs them.
roles = home.roles if os.environ.get("MLOPS_ROLE") else ROLES

defs = dg.Definitions(
    assets=[
        SENSOR_FILES,
        HISTORIAN_TABLES,
        readings,
        circuit_readings,
        CIRCUIT_CONFIG,
        ENVIRONMENT,
        train,
        registry_model,
        test_validation,
        production_deployment,
        daily_forecast,
        predictions,
        forecast_quality,
    ],
    jobs=automation.JOBS,
    schedules=[each for each in automation.SCHEDULES if starts(each.name, roles)],
    sensors=[each for each in automation.SENSORS if starts(each.name, roles)],
    resources={"home": home},
    # Every job is one step that covers many circuits: a process for it alone would be waste.
    executor=dg.in_process_executor,
)
