"""Lakes on a disk for the tests of engines, and a feed with every defect."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
from mlops_assets.domain.circuit import ReadingLimits
from mlops_assets.engines.polars import PolarsEngine
from mlops_assets.flows.readings import ingest
from mlops_assets.flows.simulation import send
from mlops_assets_tests.fakes.readings import (
    FakeLandingZone,
    a_circuit,
    a_config,
    a_lake,
    csv_of,
)

SEED = 20240601
FIRST, LAST = date(2024, 5, 1), date(2024, 5, 18)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/Paris", "Europe/Berlin", "America/New_York")


def a_lake_on(root, engine, sessions=None):
    """A lake whose slices run on ``polars`` or on ``spark``."""
    (root / "raw").mkdir(parents=True, exist_ok=True)
    readings, chosen = LocalReadingsTable(root / "readings"), PolarsEngine()
    if engine == "spark":
        from mlops_assets.engines.spark.lake import SparkLakeEngine
        from mlops_assets.engines.spark.readings import SparkReadingsTable

        readings = SparkReadingsTable(readings, (root / "readings").as_uri(), sessions)
        chosen = SparkLakeEngine(sessions)
    return a_lake(
        landing=LocalLandingZone(root / "raw"),
        journal=LocalIngestJournal(root / "ingested"),
        readings=readings,
        quarantine=LocalRowLog(root / "quarantine", "quarantine"),
        restatements=LocalRowLog(root / "restatements", "restatements"),
        engine=chosen,
    )


def copied(root, target):
    """The same lake elsewhere."""
    shutil.copytree(root, target)
    return target


def company():
    """Four plants, each sending in its own way, under contracts that its defects break."""
    limits = ReadingLimits(
        minimum=-1e5, maximum=1e5, sign="nonnegative", stuck_hours=6, spike_factor=5.0
    )
    circuits = [
        a_circuit(f"P{number}/C1", timezone=zone, limits=limits)
        for number, zone in enumerate(ZONES)
    ]
    config = a_config(*circuits, features=("temperature", "rain"))
    return replace(config, plants={each.key.plant_id: None for each in circuits})


def slices():
    """Two slices of raw files by name: a simulated feed, and what simulation does not do."""
    zone = FakeLandingZone()
    send(zone, company(), seed=SEED, first=FIRST, last=LAST)
    names = sorted(zone.data)
    days = sorted({name.rpartition("/")[2][:10] for name in names})
    late = set(days[len(days) // 2 :])
    first = {name: zone.data[name] for name in names if name.rpartition("/")[2][:10] not in late}
    second = {name: zone.data[name] for name in names if name not in first}
    return [first | odd_files(0), second | odd_files(1)]


def odd_files(number):
    """Refused files and rows, features that come and go, and dates of unclear order."""
    chance = random.Random(SEED + number)
    stamps = [datetime(2024, 5, 3, hour, tzinfo=UTC) + timedelta(days=number) for hour in range(6)]
    told = [(stamp.isoformat(), round(chance.uniform(10, 20), 3)) for stamp in stamps]
    rows = [("P0", "C1", stamp, value, chance.choice(["", "1.5"])) for stamp, value in told]
    feature = ("temperature", "rain")[number]
    folder = f"P0/odd-{number}"
    return {
        f"{folder}/feature.csv": csv_of(
            rows, header=f"plant_id,circuit_id,timestamp,value,{feature}"
        ),
        f"{folder}/unread.csv": b"plant,value\nP0,1\n",
        f"{folder}/broken.parquet": b"PAR1 and then nothing",
        f"{folder}/rows.csv": csv_of(
            [
                ("P9", "C1", "2024-05-02T00:00Z", 1),
                ("", "C1", "2024-05-02T00:00Z", 1),
                ("P0", "C1", "2024-05-02T00:30Z", 1),
                ("P0", "C1", "2034-05-02T00:00Z", 1),
                ("P0", "C1", "soon", 1),
                ("P0", "C1", "2024-05-02T01:00Z", "inf"),
                ("P0", "C1", "2024-05-02T02:00Z", "x"),
                ("P0", "C1", "2024-05-02T03:00Z", 1e9),
                ("P0", "C1", "2024-05-02T04:00Z", -3),
                "P0,C1,2024-05-02T05:00Z,1,2,3",
            ]
        ),
        # The day comes first: the other file of the folder proves it.
        f"P1/days-{number}/a.csv": csv_of([("P1", "C1", f"0{3 + number}/05/2024 07:00", 4)]),
        f"P1/days-{number}/b.csv": csv_of([("P1", "C1", "17/05/2024 08:00", 5)]),
    }


def ingested(lake, config, files):
    """Send one slice's files and ingest it; what training data hold is all of it."""
    for name, data in files.items():
        lake.landing.put(name, data)
    return ingest(lake, config, now=NOW, trained_until=lambda: dict.fromkeys(config.circuits, NOW))


def state(lake):
    """Every row of every table, in order."""
    readings = lake.readings.read()
    return {
        "readings": readings.select(sorted(readings.columns)).rows(),
        "columns": sorted(readings.columns),
        "quarantine": lake.quarantine.read().rows(),
        "restatements": lake.restatements.read().drop("delta_version").rows(),
    }
