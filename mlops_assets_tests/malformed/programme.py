"""Reads malformed files as the platform does, and judges what it says of each."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from mlops_assets.adapters.local.journal import LocalIngestJournal
from mlops_assets.adapters.local.landing import LocalLandingZone
from mlops_assets.adapters.local.readings import LocalReadingsTable, LocalRowLog
from mlops_assets.catalog import load as load_config
from mlops_assets.domain.arrivals import REASONS
from mlops_assets.domain.declared import parse_declared
from mlops_assets.domain.errors import ConfigError, ModelError
from mlops_assets.domain.raw_file import RawFileError
from mlops_assets.flows.readings import ingest
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets.forecasters.serialization import load as load_model
from mlops_assets_tests.fakes.readings import a_circuit, a_config, a_lake
from mlops_assets_tests.malformed import config as config_cases
from mlops_assets_tests.malformed import model as model_cases
from mlops_assets_tests.malformed import raw as raw_cases
from mlops_assets_tests.malformed.tally import Tally, stderr_of_process

NOW = datetime(2027, 1, 1, tzinfo=UTC)
_SLICE = 500


def raw(count: int, seed: int) -> Tally:
    """Time each file alone, then ingest them by slices into real tables."""
    tally = Tally()
    keys = raw_cases.good_rows().select("plant_id", "circuit_id").unique().rows()
    config = a_config(*(a_circuit(f"{plant}/{circuit}") for plant, circuit in sorted(keys)))
    with tempfile.TemporaryDirectory() as folder, stderr_of_process(tally):
        waiting = []
        for case in raw_cases.cases(count, seed):
            _parse(tally, case, config)
            waiting.append(case)
            if len(waiting) == _SLICE:
                _ingest(tally, waiting, config, Path(folder) / case.name)
                waiting = []
        if waiting:
            _ingest(tally, waiting, config, Path(folder) / "rest")
    return tally


def _parse(tally, case, config):
    try:
        with tally.timed():
            try:
                found = parse_declared(case.name, case.data, config)
            except RawFileError as error:
                found, line = None, f"{case.name}: quarantined whole: {error}"
    except Exception as error:  # noqa: BLE001 any of them is what this programme is to find
        tally.complaints.append(f"{case.kind} {case.name}: {error!r:.300}")
        tally.count(case.kind, "crashed")
        return
    if found is None:
        tally.check_line(case.name, line)
        tally.count(case.kind, "refused")
        if case.kept:
            tally.complaints.append(f"{line}: but {case.kept} rows of it are good")
    else:
        tally.count(case.kind, "read")


def _ingest(tally, waiting, config, folder):
    """Every row of a slice is in the table or in quarantine with its reason and file."""
    (folder / "raw").mkdir(parents=True)
    lake = a_lake(
        landing=LocalLandingZone(folder / "raw"),
        journal=LocalIngestJournal(folder / "ingested"),
        readings=LocalReadingsTable(folder / "readings"),
        quarantine=LocalRowLog(folder / "quarantine", "quarantine"),
        restatements=LocalRowLog(folder / "restatements", "restatements"),
    )
    for case in waiting:
        lake.landing.put(case.name, case.data)
    said = []

    class Listener:
        def begin(self, what, total):
            pass

        def advance(self, label=""):
            pass

        def say(self, line):
            said.append(line)

    report = ingest(lake, config, now=NOW, progress=Listener())
    parts = report.rows_inserted + report.rows_updated + report.rows_unchanged
    if report.rows_read != parts + report.rows_quarantined:
        tally.complaints.append(f"{folder.name}: {report.rows_read} rows read, others counted")
    quarantined = lake.quarantine.read()
    for name in report.refused:
        lines = [line for line in said if line.startswith(f"{name}: ")]
        if len(lines) != 1:
            tally.complaints.append(f"{name}: {len(lines)} lines for one refused file")
        if quarantined.filter(quarantined["file"] == name)["reason"].len() != 1:
            tally.complaints.append(f"{name}: refused, but not in quarantine")
    reasons = {reason.partition(":")[0] for reason in quarantined["reason"]}
    codes = {str(reason).partition(":")[0] for reason in report.refused.values()}
    if odd := reasons - set(REASONS) - codes:
        tally.complaints.append(f"{folder.name}: reasons that nobody knows: {odd}")
    rows = dict.fromkeys((case.name for case in waiting), 0)
    for case in waiting:
        if case.kept:
            parsed = parse_declared(case.name, case.data, config).rows
            bad = quarantined.filter(quarantined["file"] == case.name).height
            rows[case.name] = len(parsed) - bad
            if rows[case.name] < case.kept:
                tally.complaints.append(
                    f"{case.kind} {case.name}: {rows[case.name]} rows kept of {case.kept} good"
                )
    if ingest(lake, config, now=NOW).rows_read:
        tally.complaints.append(f"{folder.name}: read again")


def config(count: int, seed: int) -> Tally:
    """Read config with some files damaged."""
    tally = Tally()
    with stderr_of_process(tally):
        for kind, file, files in config_cases.cases(count, seed):
            try:
                with tally.timed():
                    try:
                        load_config(files, commit="c" * 40, algorithms=ALGORITHMS)
                        problems = ()
                    except ConfigError as error:
                        problems = error.problems
            except Exception as error:  # noqa: BLE001 any of them is what is looked for
                tally.complaints.append(f"{kind} {file}: {error!r:.300}")
                tally.count(kind, "crashed")
                continue
            tally.count(kind, "refused" if problems else "read")
            for problem in problems:
                tally.check_line(problem.file, str(problem))
                if not problem.advice or problem.file not in {*files, *config_cases.GOOD}:
                    tally.complaints.append(f"{kind} {file}: names {problem.file}: no such file")
    return tally


def model(count: int, seed: int) -> Tally:
    """Load models with some files damaged."""
    tally = Tally()
    with stderr_of_process(tally):
        for kind, file, files in model_cases.cases(count, seed):
            try:
                with tally.timed():
                    try:
                        load_model(files)
                        line = ""
                    except ModelError as error:
                        line = str(error)
            except Exception as error:  # noqa: BLE001 any of them is what is looked for
                tally.complaints.append(f"{kind} {file}: {error!r:.300}")
                tally.count(kind, "crashed")
                continue
            tally.count(kind, "refused" if line else "read")
            if line:
                tally.check_line("", line)
    return tally


PROGRAMMES = {"raw": raw, "config": config, "model": model}
