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

from mlops_assets.adapters.azure.pull_request import AzurePullRequests
from mlops_assets.cli import main
from mlops_assets.settings.access import ACCESS
from mlops_assets.settings.azure import read_azure
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.control_plane.devops import DevOpsService

pytestmark = pytest.mark.azure

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = yaml.safe_load((ROOT / "azure-pipelines.yml").read_text())
TEMPLATE = ROOT / "infra" / "devops" / "review.yml"
(JOB,) = yaml.safe_load(TEMPLATE.read_text())["jobs"]
STEPS = [step for step in JOB["steps"] if "bash" in step]
SCRIPTS = [step["bash"] for step in STEPS]
MLOPS = """#!/bin/bash
echo "$* token:${SYSTEM_ACCESSTOKEN:-none}" >> "$ASKED"
case "$*" in
  *" plan "*) [ "${PLAN:-0}" = 9 ] || echo '[]'; exit "${PLAN:-0}" ;;
  *" train "*) [ "${TRAIN:-0}" = 9 ] || echo '{}'; exit "${TRAIN:-0}" ;;
  *) exit "${COMMENT:-0}" ;;
esac
"""
PLAN, TRAIN = (
    "--config config --json plan --working-tree",
    "--config config --json train --ref HEAD",
)


def run(tmp_path, **codes):
    """Run the job as an agent does; whether it succeeded, and what was asked in order.

    What the programs answer is given by their exit codes; 9 prints nothing.
    """
    for name, text in (("mlops", MLOPS), ("git", "#!/bin/bash\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "asked").touch()
    given = {"Agent.TempDirectory": str(tmp_path), "System.PullRequest.PullRequestId": "7",
             "System.AccessToken": "secret"}  # fmt: skip
    good = True
    for step in STEPS:
        if not good and step.get("condition", "succeeded()") != "always()":
            continue
        added = {name: _filled(text, given) for name, text in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "-c", _filled(step["bash"], given)],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked"),
                 **added, **codes},
            cwd=tmp_path,
            check=False,
        )  # fmt: skip
        good = good and done.returncode == 0
    return good, (tmp_path / "asked").read_text().splitlines()


def _filled(text, given):
    return re.sub(r"\$\(([A-Z][\w.]+)\)", lambda found: given[found[1]], text)


def told(tmp_path, *, trained):
    """How the pull request is told; only then is there a token."""
    train = f" --train {tmp_path}/train.json" if trained else ""
    return f"comment --pull-request 7 --plan {tmp_path}/plan.json{train} token:secret"


def test_a_good_change_is_planned_trained_and_told(tmp_path):
    good, asked = run(tmp_path)
    assert good
    assert asked == [f"{PLAN} token:none", f"{TRAIN} token:none", told(tmp_path, trained=True)]
    assert json.loads((tmp_path / "plan.json").read_text()) == []


def test_a_config_that_is_refused_is_told_and_fails_the_pull_request(tmp_path):
    good, asked = run(tmp_path, PLAN="1")
    assert not good
    assert asked == [f"{PLAN} token:none", told(tmp_path, trained=False)]


def test_a_training_that_fails_is_told_and_fails_the_pull_request(tmp_path):
    good, asked = run(tmp_path, TRAIN="1")
    assert not good
    assert asked[-1] == told(tmp_path, trained=True)


def test_a_training_that_was_killed_leaves_the_plan_told(tmp_path):
    good, asked = run(tmp_path, TRAIN="9")
    assert not good
    assert asked[-1] == told(tmp_path, trained=False)


def test_a_change_of_which_nothing_is_known_tells_nothing_and_fails(tmp_path):
    good, asked = run(tmp_path, PLAN="9")
    assert not good
    assert asked == [f"{PLAN} token:none"]


def test_a_change_of_which_nobody_could_be_told_fails(tmp_path):
    assert not run(tmp_path, COMMENT="1")[0]


def test_a_training_takes_as_long_as_it_takes():
    assert JOB["timeoutInMinutes"] == 0


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


def test_nothing_but_git_starts_a_training_and_no_identity_but_one_that_only_reads_is_used():
    assert PIPELINE["trigger"] == "none"
    assert "schedules" not in PIPELINE
    assert JOB["variables"]["MLOPS_ROLE"] == "review"
    assert set(ACCESS["review"].values()) == {"read"}
    assert all("release" not in script for script in SCRIPTS)
    assert all("train --all" not in script for script in SCRIPTS)


def test_what_a_pull_request_can_change_of_its_pipeline_is_only_which_template_it_extends():
    (platform,) = PIPELINE["resources"]["repositories"]
    assert platform["ref"] == "refs/heads/main"
    assert PIPELINE["extends"] == {
        "template": f"{TEMPLATE.relative_to(ROOT)}@{platform['repository']}"
    }
    assert set(PIPELINE) == {"trigger", "resources", "extends"}


@pytest.fixture
def service():
    backend = read_azure((TEMPLATE.parents[1] / "settings.yml").read_bytes(), "infra/settings.yml")
    plane = ControlPlane(backend)
    made = DevOpsService(plane, backend.devops)
    who, transport = plane.identities.credential("release"), PlaneTransport(plane)
    made.pulls_of_it = AzurePullRequests(backend.devops, who, transport=transport)
    yield made
    plane.close()


def test_the_policy_of_reviewers_is_one_that_the_platform_takes(service):
    policy = json.loads((TEMPLATE.parent / "reviewers.json").read_text())
    assert policy["isEnabled"]
    assert policy["isBlocking"]
    (scope,) = policy["settings"]["scope"]
    assert scope["refName"] == "refs/heads/main"
    service.policy = policy["settings"]
    assert list(service.pulls_of_it.policy_problems("refs/heads/main")) == []


@pytest.mark.parametrize(
    "name",
    ["resetOnSourcePush", "creatorVoteCounts", "minimumApproverCount", "blockLastPusherVote"],
)
def test_a_weaker_policy_of_reviewers_is_told(service, name):
    policy = json.loads((TEMPLATE.parent / "reviewers.json").read_text())
    service.policy = policy["settings"] | {name: not policy["settings"][name]}
    assert len(service.pulls_of_it.policy_problems("refs/heads/main")) == 1
