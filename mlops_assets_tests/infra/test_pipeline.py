"""The pipeline of pull requests: its script as it is, with commands that say what was asked."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from mlops_assets.cli import main

pytestmark = pytest.mark.azure

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = yaml.safe_load((ROOT / "azure-pipelines.yml").read_text())
SCRIPTS = [step["bash"] for step in PIPELINE["steps"] if "bash" in step]
MLOPS = """#!/bin/bash
echo "$*" >> "$ASKED"
case "$*" in
  *" plan "*) echo '[]'; exit "${PLAN:-0}" ;;
  *" train "*) echo '{}'; exit "${TRAIN:-0}" ;;
  *) exit "${COMMENT:-0}" ;;
esac
"""


def run(tmp_path, **codes):
    """Run the last script with the given exit codes; its own, and what was asked in order."""
    program = tmp_path / "mlops"
    program.write_text(MLOPS)
    program.chmod(0o755)
    given = {"Agent.TempDirectory": str(tmp_path), "System.PullRequest.PullRequestId": "7"}
    script = re.sub(r"\$\(([A-Z][\w.]+)\)", lambda found: given[found[1]], SCRIPTS[-1])
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "ASKED": str(tmp_path / "asked"),
            **codes,
        },
        cwd=tmp_path,
        check=False,
    )
    return done.returncode, (tmp_path / "asked").read_text().splitlines()


def test_a_good_change_is_planned_trained_and_told(tmp_path):
    code, asked = run(tmp_path)
    assert code == 0
    assert asked == [
        "--config config --json plan --working-tree",
        "--config config --json train --ref HEAD",
        f"comment --pull-request 7 --plan {tmp_path}/plan.json --train {tmp_path}/train.json",
    ]
    assert json.loads((tmp_path / "plan.json").read_text()) == []


def test_a_config_that_is_refused_is_told_and_fails_the_pull_request(tmp_path):
    code, asked = run(tmp_path, PLAN="1")
    assert code == 1
    assert asked[1:] == [f"comment --pull-request 7 --plan {tmp_path}/plan.json"]


def test_a_training_that_fails_is_told_and_fails_the_pull_request(tmp_path):
    code, asked = run(tmp_path, TRAIN="1")
    assert code == 1
    assert asked[-1].endswith(f"--train {tmp_path}/train.json")


def test_a_change_of_which_nobody_could_be_told_fails(tmp_path):
    assert run(tmp_path, COMMENT="1")[0] == 1


def test_every_command_and_option_is_one_that_there_is():
    lines = [line.strip() for script in SCRIPTS for line in script.splitlines()]
    calls = [shlex.split(re.split(r" > | \|\| ", line)[0]) for line in lines
             if line.startswith("mlops ")]  # fmt: skip
    assert len(calls) == 3
    for words in calls:
        context = click.Context(main)
        name, command, rest = main.resolve_command(context, _without_globals(words[1:]))
        known = {flag for each in command.params for flag in getattr(each, "opts", ())}
        assert {word for word in rest if word.startswith("--")} <= known, name


def _without_globals(words):
    if words[0] == "--config":
        return _without_globals(words[2:])
    return words[1:] if words[0] == "--json" else words


def test_nothing_but_git_starts_a_training_and_no_identity_but_devs_is_used():
    assert PIPELINE["trigger"] == "none"
    assert "schedules" not in PIPELINE
    assert PIPELINE["variables"]["MLOPS_ROLE"] == "dev"
    assert all("release" not in script for script in SCRIPTS)
    assert all("train --all" not in script for script in SCRIPTS)
