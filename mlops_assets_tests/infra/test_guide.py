"""docs/azure.md against the templates and commands that it names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.catalog import load
from mlops_assets.domain.monitor import GAUGES
from mlops_assets.flows.ledger import trust_at
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.infra.deployed import ORDER, SECONDS, of
from mlops_assets_tests.infra.published import templates
from mlops_assets_tests.infra.template import FOLDER
from mlops_assets_tests.pages import ROOT, blocks, filled, ours, typed

pytestmark = pytest.mark.azure

TEXT = (Path(FOLDER).parent / "docs" / "azure.md").read_text()
COMMANDS = typed(TEXT)


def test_the_templates_are_deployed_in_their_order_with_what_they_need():
    deployed, known = [], templates()
    for line in COMMANDS:
        if line.startswith("az deployment group create"):
            words = shlex.split(filled(line))
            name = Path(words[words.index("-f") + 1]).stem
            given = {word.partition("=")[0] for word in words[words.index("-p") + 1 :]}
            declared = known[name].document["parameters"]
            needed = {key for key, one in declared.items() if "defaultValue" not in one}
            assert needed <= given <= set(declared), name
            deployed.append(name)
    assert tuple(deployed) == ORDER


def test_it_leads_to_the_first_prediction_by_commands_of_ours():
    asked = [words[0] for words in ours(TEXT)]
    steps = ["doctor", "init", "ingest", "train", "release", "predict", "rebuild"]
    assert sorted(steps, key=asked.index) == steps


def test_the_beginning_of_a_config_repository_is_one_whose_people_may_sign(tmp_path):
    (block,) = [each for each in blocks(TEXT) if "config/trust/roles.yml" in each]
    platform, repository = tmp_path / "platform", tmp_path / "config"
    for name in ("config", "azure-pipelines.yml"):
        kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        platform.mkdir(exist_ok=True)
        kind(ROOT / name, platform / name)
    repository.mkdir()
    for who in ("ann", "bob"):
        key = Ed25519PrivateKey.generate().public_key()
        text = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        (repository / f"{who}.pub").write_text(f"{text} {who}@laptop\n")
    who = {f"GIT_{part}_{what}": value for part in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "Ann"), ("EMAIL", "ann@northwind.example"))}  # fmt: skip
    script, pushed = block.rsplit(" && git push ", 1)
    assert pushed.split()[-1] == "main"
    subprocess.run(
        ["bash", "-euc", script], cwd=platform, env={**os.environ, **who}, check=True,
        capture_output=True,
    )  # fmt: skip
    git = GitConfigRepository(repository / "config")
    trust = trust_at(git)
    assert set(trust.people) == {
        "ann@northwind.example", "bob@northwind.example",
    }  # fmt: skip
    assert len(trust.signers) == 2
    head = git.head()
    assert load(git.files(head), commit=head, algorithms=ALGORITHMS).circuits == {}


def test_the_private_option_is_priced_by_the_endpoints_that_it_makes():
    made = of(templates(private=True), "Microsoft.Network/privateEndpoints")
    assert f"| *private* | {len(made)} endpoints, and 2 of Synapse |" in TEXT


def test_every_gauge_is_named_and_every_alert_with_its_figures():
    assert set(re.findall(r"`(mlops\.\w+)`", TEXT)) == set(GAUGES)
    rows = {cells[0].strip("` "): [cell.strip() for cell in cells[1:]] for line in
            TEXT.splitlines() if line.startswith("| `")
            for cells in [line.strip("|").split("|")]}  # fmt: skip
    often = {900: "every 15 minutes", 1800: "every 30 minutes", 3600: "hourly",
             7200: "every 2 hours", 21600: "every 6 hours", 43200: "every 12 hours"}  # fmt: skip
    rules = of(templates(), "Microsoft.Insights/scheduledQueryRules")
    assert len(rules) == len([name for name in rows if f"northwind-{name}" in rules])
    for full, rule in rules.items():
        about = rule["properties"]
        (group,) = about["actions"]["actionGroups"]
        assert rows[full.removeprefix("northwind-")] == [
            str(about["severity"]),
            often[SECONDS[about["evaluationFrequency"]]],
            often[SECONDS[about["muteActionsDuration"]]],
            group.rpartition("northwind-")[2],
        ]


def test_every_file_that_is_named_is_there():
    root = Path(FOLDER).parent
    named = re.findall(r"`((?:infra|docs|mlops_assets|mlops_assets_tests)/[\w./-]*)`", TEXT)
    assert [name for name in named if not (root / name).exists()] == []
