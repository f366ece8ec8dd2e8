"""Launches that a forger might try: random jobs, assets, partitions, tags and run config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets_tests.journeys.mutations import launch_params

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from mlops_assets_tests.journeys.server import Server

STAGES = {
    "registry": "registry_model",
    "test": "test_validation",
    "production": "production_deployment",
}
TRAINED = ["training_data", "model", "evidence", "release_candidate"]
OTHERS = ["readings", "predictions", "forecast_quality", "daily_forecast", "circuit_readings"]
# Jobs and how often; the rest of the launches materialize a selection of assets.
JOBS = {"registry": 10, "production": 10, "test": 5, "training": 3, "daily": 2, "quality": 1,
        "circuit_forecast": 1, "etl": 1, "rebuild": 1, "prune": 1, "nonsense": 2}  # fmt: skip
NONSENSE = [
    "", "P001", "P001/C009", "P001/c001", "../C001", "P001/C001/x", "P001/C001\n", "1999-12-31",
    "2001-05-05", "2100-01-01", "*", "a" * 300, "\uff30001/C001", "P001/C001,P001/C002",
]  # fmt: skip


class Forger:
    """Draws launches from a seed; ``releases`` are ids that exist, ``days`` days that are done."""

    def __init__(
        self, chance: random.Random, server: Server, releases: Sequence[str], days: Sequence[str]
    ) -> None:
        self._chance = chance
        self._server = server
        self._releases = [*releases, "r-000000000000", "../../ledger/approvals/x", "", "r-"]
        self._days = list(days)
        self._circuits = ["P001/C001", "P001/C002", "P001/C003"]

    def draw(self) -> dict[str, Any]:
        """The parameters of one launch."""
        chance = self._chance
        if chance.random() < 0.5:
            (job,) = chance.choices(list(JOBS), list(JOBS.values()))
            assets = None
            ops = {"training": "train", "daily": "daily_forecast"}.get(job) or STAGES.get(job, job)
        else:
            job, pool = "__ASSET_JOB", chance.choices(
                [list(STAGES.values()), TRAINED, OTHERS, [*STAGES.values(), *TRAINED, "nothing"]],
                [6, 3, 1, 1],
            )[0]  # fmt: skip
            assets = chance.sample(pool, chance.randint(1, min(3, len(pool))))
            ops = "train" if assets[0] in TRAINED else assets[0]
        config = {"ops": {ops: {"config": self._config(ops)}}} if chance.random() < 0.7 else {}
        if chance.random() < 0.12:
            config |= chance.choice(
                [
                    {"resources": {"home": {"config": {"settings": "/"}}}},
                    {"approved": True},
                    {"ops": {ops: {"inputs": {"verdicts": "passed"}}}},
                    {"execution": {"config": {"env": {"MLOPS_HOME": "/"}}}},
                    {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                ]
            )
        return launch_params(
            self._server, job, assets=assets, config=config, tags=self._tags(job, assets)
        )

    def _config(self, ops: str) -> dict[str, Any]:
        chance = self._chance
        if ops == "readings":
            return {"raw": chance.choice(["/", "../..", "lake/raw"])}
        circuits = chance.sample(self._circuits, chance.randint(0, 3))
        if chance.random() < 0.1:
            circuits.append(chance.choice(NONSENSE))
        config: dict[str, Any] = {"circuits": circuits}
        if ops in STAGES.values() or chance.random() < 0.1:
            config["release"] = chance.choice(self._releases)
        if chance.random() < 0.12:
            config |= chance.choice(
                [{"force": True}, {"four_eyes": "off"}, {"as": "engineer@demo.example"},
                 {"key": "/etc/passwd"}, {"release": 7}, {"circuits": "all"}]
            )  # fmt: skip
        return config

    def _tags(self, job: str, assets: Sequence[str] | None) -> Mapping[str, str]:
        chance, tags = self._chance, {}
        daily = job == "daily" or "daily_forecast" in (assets or ())
        keys = self._days if daily else self._circuits
        draw = chance.random()
        if draw < 0.7:
            tags["dagster/partition"] = chance.choice(keys)
        elif draw < 0.8:
            tags["dagster/partition"] = chance.choice([*NONSENSE, *self._days])
        elif draw < 0.95 and not daily:
            first, last = sorted(chance.choices(keys, k=2))
            tags["dagster/asset_partition_range_start"] = first
            tags["dagster/asset_partition_range_end"] = last
        for tag, values in {
            "dagster/backfill": ["abcdefgh", "../../ledger/approvals/x", "", *self._releases],
            "mlops/approved_by": ["engineer@demo.example"],
            "mlops/release": self._releases,
            "dagster/run_key": self._releases,
            "dagster/max_retries": ["3"],
            "dagster/priority": ["1000"],
        }.items():
            if chance.random() < 0.2:
                tags[tag] = chance.choice(values)
        return tags
