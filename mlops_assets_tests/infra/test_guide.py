"""docs/azure.md against the templates and commands that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mlops_assets.cli import main
from mlops_assets.domain.monitor import GAUGES
from mlops_assets_tests.infra.deployed import ORDER, SECONDS, of
from mlops_assets_tests.infra.published import templates
from mlops_assets_tests.infra.template import FOLDER

pytestmark = pytest.mark.azure

TEXT = (Path(FOLDER).parent / "docs" / "azure.md").read_text()
COMMANDS = [line for found in re.findall(r"`([^`]+)`", TEXT) for line in [found.strip()]]


def test_the_templates_are_deployed_in_their_order_with_what_they_need():
    deployed, known = [], templates()
    for line in COMMANDS:
        if line.startswith("az deployment group create"):
            words = shlex.split(re.sub(r"\$\([^()]*\)", "SAID", line))
            name = Path(words[words.index("-f") + 1]).stem
            given = {word.partition("=")[0] for word in words[words.index("-p") + 1 :]}
            declared = known[name].document["parameters"]
            needed = {key for key, one in declared.items() if "defaultValue" not in one}
            assert needed <= given <= set(declared), name
            deployed.append(name)
    assert tuple(deployed) == ORDER


def test_every_command_of_ours_is_one_that_there_is():
    ours = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("mlops ")]
    assert len(ours) >= 10
    for words in ours:
        rest = words[2:] if words[0] == "--config" else words
        group: click.Command = main
        while isinstance(group, click.Group):
            _, found, rest = group.resolve_command(click.Context(group), rest)
            assert found is not None, words
            group = found
        known = {flag for each in group.params for flag in getattr(each, "opts", ())}
        assert {word for word in rest if word.startswith("--")} <= known, words


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
