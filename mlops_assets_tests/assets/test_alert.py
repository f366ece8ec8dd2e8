"""The alert sensors on a home on disk: a run that fails reaches a webhook and a mail server."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from mlops_assets.assets.alert import alerts, run_failures
from mlops_assets.assets.home import Home
from mlops_assets.resources import config_repository
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.alert import mail_server, webhook_server

TEAMS = ("elbe-energy", "hudson-operations", "platform-services")


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    initialise(Settings(tmp_path / "home", tmp_path / "home" / "config"))
    return Home(Settings(tmp_path / "home", tmp_path / "home" / "config"))


def receive(home, webhook, smtp):
    """Commit a policy that names both receivers."""
    path = home.settings.config / "release_policy.yml"
    teams = "".join(f"    team:{name}: [{name}@co.example]\n" for name in TEAMS)
    lines = f"  webhook: {webhook}\n  smtp: {smtp}\n  sender: mlops@co.example\n  owners:\n{teams}"
    text = path.read_text().replace("alerts:\n", f"alerts:\n{lines}")
    config_repository(home.settings).commit(
        {"release_policy.yml": text.encode()}, message="Alerts", author="a@co.example", branch=None
    )


@dg.op
def breaks():
    raise dg.Failure(description="the disk is full: free some")


@dg.job
def etl():
    breaks()


def fail(home, instance):
    """Let a run fail, and the sensor see it."""
    done = etl.execute_in_process(instance=instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=done.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=done.dagster_run,
        partition_key=None,
    ).for_run_failure()
    run_failures(context, home=home)


def look(home):
    context = dg.build_sensor_context(resources={"home": home})
    return alerts(context).skip_message


def test_a_run_that_fails_reaches_webhook_mail_and_file_once(home):
    with (
        webhook_server() as hook,
        mail_server() as mail,
        dg.instance_for_test() as instance,
    ):
        receive(home, hook.url, mail.place)
        assert look(home) == "0 raised, 0 sent"
        fail(home, instance)
        assert look(home) == "0 raised, 3 sent"
        assert look(home) == "0 raised, 0 sent"
    ((_, told),) = hook.got
    assert told["subject"] == "a run of etl failed: the disk is full: free some"
    assert told["command"] == "mlops ingest"
    assert mail.got[0]["to"] == [
        "elbe-energy@co.example",
        "hudson-operations@co.example",
        "ines.krause@northwind-metals.example",
        "luc.martin@northwind-metals.example",
        "platform-services@co.example",
    ]
    lines = home.settings.layout.alerts_file.read_text().splitlines()
    assert [json.loads(line)["incident"] for line in lines] == [told["incident"]]


def test_receivers_that_are_down_get_it_at_a_later_tick(home):
    with webhook_server() as hook, mail_server() as mail:
        receive(home, hook.url, mail.place)
    with dg.instance_for_test() as instance:
        fail(home, instance)
    assert look(home) == "0 raised, 1 sent, 1 wait for their receiver"


def push(home, text, author="eve@co.example"):
    """Commit a policy that may be wrong, as somebody with git could."""
    config_repository(home.settings).commit(
        {"release_policy.yml": text.encode()}, message="Policy", author=author, branch=None
    )


def test_config_that_is_refused_is_told_once_by_the_config_before_it(home):
    with webhook_server() as hook, mail_server() as mail:
        receive(home, hook.url, mail.place)
        good = (home.settings.config / "release_policy.yml").read_text()
        push(home, good.replace("quorum: 1", "quorum: 0", 1))
        assert look(home) == "1 raised, 3 sent"
        push(home, good.replace("quorum: 1", "quorum: 0", 1) + "\n# the same mistake\n")
        assert look(home) == "0 raised, 0 sent"
        push(home, good)
        assert look(home) == "0 raised, 0 sent"
        push(home, good.replace("quorum: 1", "quorum: 0", 1))
        assert look(home) == "1 raised, 3 sent"
    told = hook.got[0][1]
    assert (told["kind"], told["severity"]) == ("config_refused", "critical")
    assert "release_policy.yml:13: registry.quorum: 0" in told["says"]
    assert "eve@co.example" in told["owners"]
    assert "eve@co.example" in mail.got[0]["to"]
    assert told["command"] == "mlops plan --working-tree"


def test_a_failed_run_is_told_while_the_config_is_refused(home):
    with webhook_server() as hook, mail_server() as mail, dg.instance_for_test() as instance:
        receive(home, hook.url, mail.place)
        push(home, "format: 1\n")
        fail(home, instance)
        look(home)
    assert {told["kind"] for _, told in hook.got} == {"config_refused", "run_failed"}


def test_without_a_home_the_sensor_says_so(tmp_path):
    assert "is not a home" in look(Home(Settings(tmp_path, tmp_path / "config")))
