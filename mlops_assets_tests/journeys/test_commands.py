"""Every command that looks or edits, on a whole home, with the documents that tools rely on."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl

from mlops_assets_tests.journeys.command import ENVIRONMENT, mlops
from mlops_assets_tests.journeys.product_state import product_state

KEY = "P001/C001"


def said(home, *words):
    """What a command prints for people."""
    run = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(home), *words],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    return run.stdout


def test_the_demo_counts_circuits_and_beats_the_seasonal_naive(made_demo):
    document = made_demo[1]
    counts = {name: document[name] for name in ("circuits", "trained", "deployed", "predicted")}
    assert counts == {"circuits": 3, "trained": 3, "deployed": 3, "predicted": 3}
    assert document["refused"] == {}
    assert 0 < document["skill"] < 1


def test_what_only_looks_changes_nothing(demo_home):
    before = product_state(demo_home)
    rows = mlops(demo_home, "status")
    assert [row["circuit"] for row in rows] == ["P001/C001", "P001/C002", "P001/C003"]
    assert all(row["model"] == 1 and row["quality"] is not None for row in rows)
    assert {line["action"] for line in mlops(demo_home, "plan", "--working-tree")} == {"none"}
    (release,) = mlops(demo_home, "release", "list")
    assert release["state"] == "deployed"
    shown = mlops(demo_home, "release", "show", release["release"])
    assert len(shown["signatures"]) == 2
    told = said(demo_home, "release", "show", release["release"])
    assert all(f"by {each['principal']} at " in told for each in shown["signatures"])
    day = rows[0]["last_forecast"]
    chain = mlops(demo_home, "trace", KEY, "--date", day)
    assert chain["problems"] == []
    assert KEY in said(demo_home, "trace", KEY, "--date", day)
    assert mlops(demo_home, "trust", "check").get("problems", []) == []
    assert all(row["ok"] for row in mlops(demo_home, "doctor"))
    assert KEY in said(demo_home, "status")
    assert product_state(demo_home) == before


def test_a_release_trains_again_to_the_same_bytes(demo_home):
    (release,) = mlops(demo_home, "release", "list")
    document = mlops(demo_home, "verify", "--reproduce", release["release"])
    assert document == {"ok": True, "entries": document["entries"], "problems": []}


def test_a_days_predictions_are_exported(demo_home, tmp_path):
    day = mlops(demo_home, "status")[0]["last_forecast"]
    document = mlops(demo_home, "export", "--date", day, "--out", str(tmp_path / "out"))
    assert document["rows"] == len(pl.read_csv(document["file"]))


def test_a_refresh_is_a_branch_and_trains_nothing(demo_home):
    document = mlops(demo_home, "refresh", "--cutoff", "2026-06-24", "--circuit", KEY)
    branches = subprocess.run(
        ["git", "-C", str(demo_home / "config"), "branch", "--format=%(refname:short)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert document["branch"] in branches
    assert {line["action"] for line in mlops(demo_home, "plan")} == {"none"}
    compared = mlops(demo_home, "train", "--ref", document["branch"])
    assert compared["release"] is None
    assert compared["trained"] == [KEY]
    assert set(compared["metrics"][KEY]) == {"wape", "floor", "incumbent"}
    assert compared["seconds"][KEY] > 0


def test_a_first_deployment_cannot_be_rolled_back_and_stays_live(demo_home):
    words = ("rollback", "--all", "--as", "manager@demo.example", "--reason", "a drill")
    document = mlops(demo_home, *words, expect=1)
    assert document["circuits"] == []
    assert set(document["refused"]) == {"P001/C001", "P001/C002", "P001/C003"}
    assert all(row["model"] == 1 for row in mlops(demo_home, "status"))


def test_people_enter_the_trust_root_by_command(demo_home, tmp_path):
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", str(key)], check=True
    )
    mlops(demo_home, "trust", "add-person", "ada@demo.example", "--role", "ml_engineer")
    mlops(demo_home, "trust", "add-key", "ada@demo.example", f"{key}.pub")
    signers = (demo_home / "config" / "trust" / "allowed_signers").read_text()
    assert "ada@demo.example" in signers
    assert mlops(demo_home, "verify")["ok"]


def test_nothing_to_release_is_an_answer_and_not_an_error(demo_home):
    assert mlops(demo_home, "release", "create") == {"release": None, "circuits": []}


COMMANDS = {
    *("demo", "init", "ingest", "plan", "train", "release", "predict", "rollback", "refresh"),
    *("trust", "export", "doctor", "trace", "rebuild", "status", "verify", "ui"),
}


def test_the_help_names_every_command_of_the_design():
    listed = {line.split()[0] for line in said("unused", "--help").splitlines() if line.strip()}
    assert listed >= COMMANDS


def test_one_json_document_goes_to_stdout_and_all_else_to_stderr(demo_home):
    run = subprocess.run(
        [sys.executable, "-m", "mlops_assets", "--home", str(demo_home), "--json", "predict"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    assert json.loads(run.stdout)["kept"] == ["P001/C001", "P001/C002", "P001/C003"]
