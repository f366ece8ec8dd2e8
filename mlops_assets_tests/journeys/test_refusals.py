"""What people do wrong gets one line that names file and field, exit 1, and changes nothing."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from mlops_assets_tests.journeys.command import ENVIRONMENT, mlops
from mlops_assets_tests.journeys.product_state import product_state


def refusal(home: Path, *words: str, file_size: int | None = None) -> str:
    """Run a command that must end with 1 and return its one line."""

    def limit() -> None:
        # A full disk without root: every file stops growing at the limit.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    run = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), *words],
        capture_output=True,
        text=True,
        # What measures coverage writes a file of its own, which the limit would break too.
        env={key: value for key, value in ENVIRONMENT.items() if not key.startswith("COVERAGE")}
        if file_size is not None
        else ENVIRONMENT,
        check=False,
        preexec_fn=limit if file_size is not None else None,
    )
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    assert run.returncode == 1, (run.returncode, run.stdout, run.stderr)
    assert "Traceback" not in run.stderr
    return lines[-1]


def commit(config: Path, message: str) -> None:
    """Commit everything in the config repository as an engineer would."""
    git = ["git", "-C", str(config), "-c", "user.name=E", "-c", "user.email=e@demo.example"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", message], check=True)


def first_spec(home: Path) -> Path:
    """The first circuit's spec file."""
    return min((home / "config" / "plants").rglob("*.yml"))


def readings_file(path: Path, **columns: list) -> Path:
    """A small long-format file."""
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_a_missing_file_is_named(tmp_path):
    line = refusal(tmp_path / "home", "init", "--readings", str(tmp_path / "absent.parquet"))
    assert "absent.parquet" in line
    assert not (tmp_path / "home" / "home.json").exists()


def test_an_unreadable_parquet_file_is_named(tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 this is not a table PAR1")
    assert "broken.parquet" in refusal(tmp_path / "home", "init", "--readings", str(path))
    assert not (tmp_path / "home" / "home.json").exists()


def test_a_missing_column_is_named_with_its_file(tmp_path):
    path = readings_file(tmp_path / "wrong.parquet", plant_id=["P"], circuit_id=["C"], wert=[1.0])
    line = refusal(tmp_path / "home", "init", "--readings", str(path))
    assert "wrong.parquet" in line
    assert "timestamp" in line
    assert "value" in line


def test_no_home_says_how_to_make_one(tmp_path):
    line = refusal(tmp_path / "nowhere", "plan")
    assert "mlops demo" in line
    assert "mlops init" in line


def test_a_home_of_another_format_says_which_command_migrates_it(demo_home):
    (demo_home / "home.json").write_text('{"format": 0, "kind": "demo"}')
    line = refusal(demo_home, "plan")
    assert "format 0" in line
    assert "mlops migrate" in line


def test_a_config_mistake_names_file_line_and_field(demo_home):
    path = first_spec(demo_home)
    path.write_text(path.read_text() + "horizont: 24\n")
    commit(demo_home / "config", "A mistake")
    before = product_state(demo_home)
    line = refusal(demo_home, "train")
    assert f"{path.name}:{len(path.read_text().splitlines())}: horizont" in line
    assert "horizon" in line
    assert product_state(demo_home) == before


def test_a_cutoff_in_the_future_is_refused_and_trains_nothing(demo_home):
    path = first_spec(demo_home)
    lines = path.read_text().splitlines()
    changed = ["cutoff_date: 2099-01-01" if row.startswith("cutoff_date") else row for row in lines]
    path.write_text("\n".join(changed) + "\n")
    commit(demo_home / "config", "A cutoff that is not over")
    before = product_state(demo_home)
    line = refusal(demo_home, "train")
    assert "2099-01-01" in line
    assert "cutoff_date" in line
    assert product_state(demo_home) == before


def test_a_full_disk_is_one_line_and_nothing_is_half_done(demo_home):
    raw = demo_home / "lake" / "raw" / "late.parquet"
    late = pl.read_delta(str(demo_home / "lake" / "readings")).head(50)
    late.select("plant_id", "circuit_id", "timestamp", pl.col("value") + 1.0).write_parquet(raw)
    before = product_state(demo_home)
    line = refusal(demo_home, "ingest", file_size=600)
    assert any(word in line.lower() for word in ("space", "large", "full"))
    assert product_state(demo_home) == before
    assert mlops(demo_home, "ingest")["rows_updated"] == 50


def test_wrong_usage_ends_with_two(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "predict", "--date", "tomorrow"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 2
    assert "tomorrow" in run.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "--date", "tomorrow"), "'tomorrow' is not a date"),
        (("retrain",), "No such command 'retrain'"),
        (("rollback", "--all"), "Missing option '--as'"),
    ],
)
def test_with_json_wrong_usage_is_one_document_on_stdout(tmp_path, words, said):
    document = mlops(tmp_path, *words, expect=2)
    assert set(document) == {"error"}
    assert said in document["error"]


def test_with_json_a_refusal_is_one_document_on_stdout(tmp_path):
    assert set(mlops(tmp_path / "nowhere", "plan", expect=1)) == {"error"}
