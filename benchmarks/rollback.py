"""Rolling back 200 circuits by the command, beside bare reads and hashes of the same bytes.

The home is on disk: 10 plants, every circuit deployed twice, models of the size that AutoETS has
(19 kB of arrays), a ledger of 100 entries with its anchors in git, no Dagster. Each round is
`mlops rollback --all` in a process of its own on a copy of that home; the figure is the median of
the seconds it reports (from the first look at the ledger to the last swap, interpreter start left
out). The bare side reads every file that has to be verified, hashes it, and writes each plant's
live manifest with fsync.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure
from mlops_assets.domain.identifiers import (
    CircuitKey,
    DataVersion,
    digest_of_files,
)
from mlops_assets.domain.manifest import Entry, Manifest, Serving
from mlops_assets.domain.model import ModelRecord
from mlops_assets.flows.deployment import deploy
from mlops_assets.flows.plan import config_at
from mlops_assets.resources import open_platform
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.domain.circuit import Environment
    from mlops_assets.ports import Platform

LIMIT_SECONDS = 1.0
SEED = 20240628
PLANTS = 10
ENTRIES = 100
SERVING = Serving(
    cutoff_date="2024-06-14",
    horizon=24,
    interval="1h",
    timezone="UTC",
    maximum_gap_hours=6,
    minimum=None,
    maximum=None,
)


def _register(
    platform: Platform,
    key: CircuitKey,
    version: int,
    environment: Environment,
    chance: random.Random,
) -> Entry:
    """Register one model of a usual size, and return the entry that deploys it."""
    files = {
        "model.json": json.dumps({"forecaster": "auto_ets", "noise": chance.random()}).encode(),
        "arrays.npz": chance.randbytes(19_000),
        "golden.json": chance.randbytes(1_400).hex().encode(),
    }
    record = ModelRecord(
        circuit=key,
        version=version,
        digest=digest_of_files(files),
        spec_digest="2" * 64,
        data_version=DataVersion(date(2024, 6, 14)),
        data_digest="1" * 64,
        environment=environment.ref,
        environment_digest=environment.digest,
        config_commit="c" * 40,
        tags={"forecaster": "auto_ets"},
    )
    platform.registry.models.register(record, files, chance.randbytes(11_000).hex().encode())
    live = platform.prod.endpoints.live(key.plant_id).of(key)
    return Entry(
        circuit=key,
        action="deploy",
        config_commit=record.config_commit,
        replaces=None if live is None else live.release,
        model_version=version,
        model_digest=record.digest,
        forecaster="auto_ets",
        data_version="2024-06-14",
        data_digest=record.data_digest,
        environment=str(environment.ref),
        environment_digest=environment.digest,
        spec_digest=record.spec_digest,
        evidence={},
        serving=SERVING,
    )


def _home(root: Path, circuits: int) -> None:
    """Make a home in which every circuit was deployed twice."""
    settings = Settings(root, root / "config")
    initialise(settings)
    platform = open_platform(settings)
    (environment, *_) = config_at(platform).environments.values()
    platform.registry.environments.register(environment)
    chance = random.Random(SEED)  # noqa: S311 the bytes of no real model
    keys = [
        CircuitKey(f"P{number % PLANTS + 1:03}", f"C{number // PLANTS + 1:03}")
        for number in range(circuits)
    ]
    for _ in range(ENTRIES - len(platform.ledger.entries()) - 2):
        platform.ledger.append(
            "unheld", "platform", {"circuits": ["P001/C001"]}, platform.clock.now()
        )
    for version in (1, 2):
        entries = tuple(
            _register(platform, key, version, environment, chance) for key in sorted(keys)
        )
        manifest = Manifest(entries=entries, attempt=1, four_eyes="required")
        deploy(platform.prod, platform.registry, manifest)
        replaced = {str(entry.circuit): entry.replaces for entry in entries}
        data = {"release": manifest.release, "circuits": replaced, "retired": []}
        platform.ledger.append("deployed", "platform", data, platform.clock.now())


def _bare(root: Path) -> tuple[float, int]:
    """Read and hash what a rollback must verify, and write one file a plant, each to the disk."""
    started, read = time.perf_counter(), 0
    for path in sorted((root / "registry" / "models").glob("*/*/1/*")):
        read += len(data := path.read_bytes())
        hashlib.sha256(data).hexdigest()
    for path in sorted((root / "registry" / "environments").glob("*/*.json")):
        read += len(data := path.read_bytes())
        hashlib.sha256(data).hexdigest()
    for plant in sorted((root / "workspaces" / "prod" / "endpoints").iterdir()):
        for path in sorted(plant.glob("deployments/*/*.json")):
            read += len(data := path.read_bytes())
            hashlib.sha256(data).hexdigest()
        data = (plant / "live.json").read_bytes()
        with (plant / "bare.tmp").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        (plant / "bare.tmp").unlink()
    return time.perf_counter() - started, read


def _rollback(root: Path) -> tuple[float, float, int]:
    """Roll everything back by the command; returns its seconds, the process's CPU, circuits."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mlops_assets", "--home", str(root), "--json", "rollback"),
            *("--all", "--as", "operator@co.example", "--reason", "benchmark"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    document = json.loads(run.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return document["seconds"], cpu, len(document["circuits"])


def measure(*, quick: bool) -> list[Figure]:
    """Alternate the command and the bare side, each on a copy of one home."""
    circuits, rounds = (20, 2) if quick else (200, 5)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "home"
        _home(whole, circuits)
        told: list[tuple[float, float, int]] = []
        bare: list[float] = []
        read = 0
        for number in range(rounds):
            root = Path(shutil.copytree(whole, Path(folder) / f"round-{number}"))
            seconds, read = _bare(root)
            bare.append(seconds)
            told.append(_rollback(root))
            shutil.rmtree(root)
    if {moved for _, _, moved in told} != {circuits}:
        raise RuntimeError(f"of {circuits} circuits {[moved for _, _, moved in told]} moved")
    seconds = [each for each, _, _ in told]
    return [
        Figure(
            name=f"rollback_{circuits}",
            figure=round(statistics.median(seconds), 3),
            limit=LIMIT_SECONDS,
            unit="s",
            details={
                "rounds": [round(each, 3) for each in seconds],
                "bare_seconds": round(statistics.median(bare), 3),
                "bytes_read": read,
                "process_cpu_seconds": round(statistics.median(cpu for _, cpu, _ in told), 3),
                "ledger_entries": ENTRIES,
                "load_average": os.getloadavg()[0],
            },
        )
    ]
