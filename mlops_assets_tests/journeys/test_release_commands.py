"""What the command line tells people about releases, incidents and the way back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_assets_tests.journeys.command import ENVIRONMENT, mlops

KEY = "P001/C001"


def run(home, *words, expect=0):
    """Run a command as people do; returns what it says on both channels."""
    done = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), *words],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout, done.stderr


def test_a_drill_runs_now_and_is_shown_again(demo_home):
    assert "`mlops drill` runs one" in mlops(demo_home, "drill", "--last", expect=1)["error"]
    found = mlops(demo_home, "drill")
    assert found["ok"]
    assert found["first_deployments"] == ["P001/C001", "P001/C002", "P001/C003"]
    assert (demo_home / found["file"]).is_file()
    assert mlops(demo_home, "drill", "--last") == found


def test_models_that_this_process_applies_have_nothing_to_renew(demo_home):
    assert mlops(demo_home, "renew") == {"circuits": []}


def test_a_broken_way_back_fails_the_drill_by_name(demo_home):
    live = demo_home / "workspaces" / "prod" / "endpoints" / "P001" / "live.json"
    live.write_bytes(live.read_bytes().replace(b"C001", b"C00X"))
    assert mlops(demo_home, "drill", expect=1)["ok"] is False
    assert "P001" in run(demo_home, "drill", expect=1)[1]


def test_status_lists_what_is_wrong_with_the_command_that_mends_it(demo_home):
    assert all(row["incidents"] == [] for row in mlops(demo_home, "status"))
    (release,) = [row["release"] for row in mlops(demo_home, "release", "list")]
    key = demo_home / "demo_keys" / "engineer@demo.example"
    spec = demo_home / "config" / "plants" / "P001" / "C001.yml"
    assert release
    config = demo_home / "config"
    spec.unlink()
    master = config / "plants_circuits.yml"
    master.write_text(master.read_text().replace("C001, ", ""))
    git = ["git", "-C", str(config), "-c", "user.name=A", "-c", "user.email=a@co.example"]
    subprocess.run([*git, "commit", "-qam", "Retire"], check=True, env=ENVIRONMENT)
    _, hint = run(demo_home, "plan")
    assert f"`mlops release create --circuit {KEY}`" in hint
    made = mlops(demo_home, "release", "create", "--circuit", KEY)["release"]
    rejected = mlops(demo_home, "release", "reject", made, "--stage", "registry", "--key", str(key))
    assert rejected["accepted"]
    rows = {row["circuit"]: row["incidents"] for row in mlops(demo_home, "status")}
    assert all(f"{made} was rejected" in line for (line, *_) in rows.values())
    shown, _ = run(demo_home, "status")
    assert f"warning: {made} was rejected by engineer@demo.example" in shown
    assert f"`mlops release show {made}`" in shown


def test_a_signed_release_waits_for_its_stage_and_names_its_page(demo_home):
    (row,) = mlops(demo_home, "release", "list")
    shown = mlops(demo_home, "release", "show", row["release"])
    assert (demo_home / shown["page"]).is_file()
    assert shown["page"] in run(demo_home, "release", "show", row["release"])[0]
    assert row["reviewed"]


def test_what_is_not_held_is_said_so(demo_home):
    out, err = run(demo_home, "release", "create", "--unhold", KEY)
    assert out == "nothing to release\n"
    assert err == f"--unhold: not held: {KEY}\n"


def test_an_unknown_circuit_is_no_missing_forecast(demo_home):
    error = mlops(demo_home, "trace", "P001/C01", "--date", "2024-01-01", expect=2)["error"]
    assert error.startswith("P001/C01: no such circuit: did you mean P001/C0")


def test_a_rollback_keeps_the_name_as_claimed(demo_home):
    words = ("rollback", "--circuit", KEY, "--as", "who@else.example", "--reason", "try")
    _, err = run(demo_home, *words, expect=1)
    assert "--as who@else.example is recorded as claimed: not in trust/roles.yml" in err


@pytest.mark.parametrize("command", ["plan", "status"])
def test_before_the_first_slice_the_next_command_is_named(tmp_path, command):
    run(tmp_path / "home", "init")
    assert "there are no readings yet: `mlops ingest`" in run(tmp_path / "home", command)[1]


def refused_without_dagster(home, *words):
    """Run a command that is refused; returns its exit code, and what it says."""
    code = (
        "import sys; sys.argv = sys.argv[1:]\nfrom mlops_assets.cli import main\n"
        "try:\n    main()\nfinally:\n    print('dagster' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "mlops", "--home", str(home), *words],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    *said, loaded = done.stderr.splitlines()
    assert loaded == "False"
    return done.returncode, "\n".join(said)


def test_a_stage_that_is_not_due_is_refused_without_loading_dagster(demo_home):
    unknown = "r-" + "0" * 12
    words = ("release", "promote", unknown, "--stage", "test")
    code, said = refused_without_dagster(demo_home, *words)
    assert code == 1
    assert unknown in said


def test_a_day_that_cannot_be_forecast_is_refused_without_loading_dagster(demo_home):
    code, said = refused_without_dagster(demo_home, "predict", "--date", "1999-12-31")
    assert code == 2
    assert "--date 1999-12-31: no day that can be forecast: name one of 2000-01-01 to" in said


def test_where_nothing_is_live_a_forecast_is_refused_without_loading_dagster(tmp_path):
    run(tmp_path / "home", "init")
    code, said = refused_without_dagster(tmp_path / "home", "predict")
    assert (code, said) == (1, "nothing is live: promote a release to production first")
