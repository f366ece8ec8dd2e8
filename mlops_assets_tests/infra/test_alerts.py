"""What Azure Monitor is told and asked, and who hears of it."""

from __future__ import annotations

import re

import pytest

from mlops_assets.adapters.azure.monitor import COLUMNS
from mlops_assets.domain.monitor import GAUGES
from mlops_assets.settings.azure import Monitor
from mlops_assets_tests.infra.deployed import SECONDS, of
from mlops_assets_tests.infra.published import REQUIRED, templates
from mlops_assets_tests.infra.template import Template

pytestmark = pytest.mark.azure


def test_the_rule_and_the_table_have_the_columns_that_are_sent(open_ones):
    (rule,) = of(open_ones, "Microsoft.Insights/dataCollectionRules").values()
    (stream,) = rule["properties"]["streamDeclarations"].items()
    assert stream[0] == Monitor().stream
    assert {each["name"]: each["type"] for each in stream[1]["columns"]} == dict(COLUMNS)
    table = of(open_ones, "Microsoft.OperationalInsights/workspaces/tables")["CircuitMetrics_CL"]
    columns = table["properties"]["schema"]["columns"]
    assert {each["name"]: each["type"].lower() for each in columns} == dict(COLUMNS)


def test_alert_rules_ask_for_what_is_told_and_reach_somebody(open_ones):
    groups = of(open_ones, "Microsoft.Insights/actionGroups")
    rules = of(open_ones, "Microsoft.Insights/scheduledQueryRules")
    asked = set()
    for rule in rules.values():
        about = rule["properties"]
        (criterion,) = about["criteria"]["allOf"]
        query = criterion["query"]
        gauges = set(re.findall(r"'(mlops\.[\w.]+)'", query))
        assert gauges <= set(GAUGES)
        asked |= gauges
        assert ("AppMetrics" in query) == bool(gauges)
        if "CircuitMetrics_CL" in query:
            known = {*COLUMNS, "At", "Circuits", "CircuitMetrics_CL"}
            assert set(re.findall(r"\b[A-Z]\w+", query)) <= known
        assert set(re.findall(r"by ([A-Z]\w+, [A-Z]\w+)", query)) <= {"Plant, Circuit"}
        assert about["severity"] in range(5)
        every, mute = SECONDS[about["evaluationFrequency"]], SECONDS[about["muteActionsDuration"]]
        assert every <= mute
        assert every <= SECONDS[about["windowSize"]] <= SECONDS[about["overrideQueryTimeRange"]]
        # A rule that resolves itself may not be muted.
        assert about["autoMitigate"] is False
        assert re.search(r"`mlops \w+`|such as", about["description"]), rule["name"]
        (group,) = about["actions"]["actionGroups"]
        assert group.rpartition("/")[2] in groups
    assert asked == {
        "mlops.forecast_failed", "mlops.degraded", "mlops.drifted", "mlops.readings_age_hours",
    }  # fmt: skip
    for name, group in groups.items():
        (mail,) = group["properties"]["emailReceivers"]
        key = name.removeprefix("northwind-")
        assert mail["emailAddress"] == REQUIRED["alerts"]["recipients"][key]


def test_a_budget_keeps_its_first_month_when_alerts_are_deployed_again():
    given = {"name": "northwind", "recipients": REQUIRED["alerts"]["recipients"]}
    again = {each["type"] for each in Template("alerts", given).resources}
    first = {each["type"] for each in templates()["alerts"].resources}
    assert first - again == {"Microsoft.Consumption/budgets"}
