"""The short fault programme: every named step once, some moments, torn commits, writers at once."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ADAPTERS = Path(__file__).resolve().parents[2] / "mlops_assets" / "adapters"
CHANGING = {
    "add_columns",
    "cleanup_metadata",
    "compact",
    "create_checkpoint",
    "ftruncate",
    "hardlink_to",
    "link",
    "makedirs",
    "mkdir",
    "move",
    "rename",
    "rmdir",
    "rmtree",
    "symlink_to",
    "touch",
    "truncate",
    "unlink",
    "vacuum",
    "write",
    "write_bytes",
    "write_deltalake",
    "write_text",
}
# Functions that change the disk without a step of their own, and why no kill in them matters.
WITHOUT_STEP = {
    "backup.py:restore": "makes a new home, of no use before its mark is gone; repeated whole",
    "config.py:create": "makes the folder of the config repository, then git commits",
    "files.py:_build_folder": "builds below a temporary name, between two steps",
    "files.py:remove_temporary": "takes away temporary names",
    "files.py:_write_flushed": "writes below a temporary name, between two steps",
    "files.py:locked": "makes the folder of a lock",
    "git.py:_take_away": "takes away git's own lock files",
    "home.py:begin": "makes empty folders, again when it is repeated",
    "interpreters.py:apply": "writes the request of a worker, which is gone afterwards",
    "interpreters.py:_command": "makes the folder of a file that is written whole",
    "readings.py:_merge_once": "calls the table's own functions, which have steps",
    "retention.py:sweep": "takes away what nobody reads, again when it is repeated",
    "row_log.py:_append_once": "calls the table's own functions, which have steps",
    "readings.py:vacuum": "calls the table's own function, which has a step",
    "upkeep.py:vacuum": "calls the table's own function, which has a step",
}


def changing_functions() -> dict[str, bool]:
    """Every function of the local adapters that changes the disk, and whether it has a step."""
    found = {}
    for file in sorted([*ADAPTERS.glob("local/*.py"), *ADAPTERS.glob("delta/*.py")]):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [call for call in ast.walk(function) if isinstance(call, ast.Call)]
            names = {
                call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
                for call in calls
                if isinstance(call.func, ast.Attribute | ast.Name)
            }
            renames = any(
                isinstance(call.func, ast.Attribute)
                and call.func.attr == "replace"
                and len(call.args) == 1
                and not call.keywords
                for call in calls
            )
            if names & CHANGING or renames:
                found[f"{file.name}:{function.name}"] = "step" in names
    return found


def test_every_function_that_changes_the_disk_says_its_step():
    found = changing_functions()
    assert len(found) > 10
    silent = {name for name, says in found.items() if not says}
    assert silent - set(WITHOUT_STEP) == set()
    assert set(WITHOUT_STEP) <= set(found), "an exception for a function that is gone"


def run(*words: str) -> str:
    """The programme in a process of its own, which must not have used polars before it forks."""
    command = [sys.executable, "-m", "mlops_assets_tests.faults", "--short", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", ["failpoints", "moments", "torn", "writers", "additions"])
def test_what_was_acknowledged_is_there_once_after_every_fault(part):
    assert f"{part}: " in run(part)


def test_a_process_dies_at_the_failpoint_of_its_environment(tmp_path):
    point = "file.written@.:1"
    words = ["--home", str(tmp_path / "home"), "init"]
    done = subprocess.run(
        [sys.executable, "-m", "mlops_assets_tests.faults.failpoint", *words],
        env={"MLOPS_FAILPOINT": point, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("lost", "was acknowledged and is lost"),
        ("doubled", "is there 2 times"),
        ("changed", "it may be"),
        ("journal", "is in the journal 0 times"),
    ],
)
def test_the_checker_finds_what_it_is_there_for(tmp_path, broken, said):
    # Made without a fork: the checker must be able to fail.
    from mlops_assets.flows.readings import ingest
    from mlops_assets_tests.faults.checker import judge
    from mlops_assets_tests.faults.driver import CONFIG, NOW, Driver, lake_of

    driver = Driver(tmp_path, 1)
    driver.send()
    driver.tell(event="started")
    lake = lake_of(driver.home)
    ingest(lake, CONFIG, now=NOW)
    driver.tell(event="done")
    assert judge(driver.history, driver.home, settled=True) == []
    folder = lake.readings._stored
    rows = lake.readings.read()
    match broken:
        case "lost":
            folder.replace(folder.open(), rows[1:], "date >= '2024-01-01'", None)
        case "doubled":
            folder.append(folder.open(), rows[:1], "x")
        case "changed":
            changed = rows.with_columns(value=rows["value"] + 1)
            folder.replace(folder.open(), changed, "date >= '2024-01-01'", None)
        case _:
            (slice_file,) = (driver.home / "lake" / "ingested" / "slices").iterdir()
            document = json.loads(slice_file.read_text())
            slice_file.write_text(json.dumps(document | {"files": []}))
    assert any(said in line for line in judge(driver.history, driver.home, settled=True))
