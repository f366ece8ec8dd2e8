"""What a host starts by itself follows from its roles: schedules, sensors and stages by name.

One host of each role is enough, and two would only do everything twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mlops_assets.domain.release import Stage
from mlops_assets.settings.azure import Role

# Any one of the roles will do; what is not named here runs anywhere.
# Whoever may not do the work would only fail, and tell people of it each time.
NEEDS: Mapping[str, frozenset[Role]] = {
    "etl_every_3_hours": frozenset({"etl"}),
    "new_raw_files": frozenset({"etl"}),
    "config_changes": frozenset({"dev"}),
    "approvals": frozenset({"release"}),
    "waiting_approvals": frozenset({"release"}),
    "ledger_reports": frozenset({"release"}),
    "alerts": frozenset({"release"}),
    "daily_forecast_schedule": frozenset({"prod"}),
    "daily_after_slice": frozenset({"prod"}),
    "degradation": frozenset({"prod"}),
    "rollback_drill_weekly": frozenset({"prod"}),
    "upkeep_daily": frozenset({"etl", "dev", "release", "prod"}),
    "run_failures": frozenset({"dev", "release", "prod"}),
}
# Who does a stage, beside whoever keeps the ledger.
STAGE_ROLES: Mapping[Stage, Role] = {"registry": "release", "test": "test", "production": "prod"}


def starts(name: str, roles: Collection[Role]) -> bool:
    """Whether a host of these roles starts what a schedule or sensor of this name does."""
    return name not in NEEDS or not NEEDS[name].isdisjoint(roles)
