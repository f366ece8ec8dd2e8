"""Each role on a host of its own, before a storage account that refuses what it may not.

Whatever the account had to refuse is a defect here: a host knows by itself what its roles may, and
says in a line who may do the rest.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from mlops_assets.assets import retention
from mlops_assets.assets.home import Home
from mlops_assets.cli import main
from mlops_assets.settings import Settings
from mlops_assets.settings.azure import ROLES
from mlops_assets_tests.fakes.role_guard import guarded

pytestmark = pytest.mark.azure

START = datetime(2025, 1, 1, tzinfo=UTC)
HOURS = 24 * 14


class Company:
    """A home on Azure, and hosts of some roles that work with it."""

    def __init__(self, folder, account, guard, url):
        self.home, self.guard, self.account = folder / "home", guard, account
        backend = replace(account, url=url).backend()
        settings = {
            "backend": "azure",
            "subscription": backend.subscription,
            "resource_group": backend.resource_group,
            "location": backend.location,
            "storage_account": backend.storage_account,
            "registry": backend.registry,
            "workspaces": dict(backend.workspaces),
            "identities": {role: f"the-{role}" for role in ROLES},
            "cloud": {"blob": url},
        }
        self.settings = folder / "settings.yml"
        self.settings.write_text(yaml.safe_dump(settings))

    def environ(self, roles):
        """What tells a process that it runs on a host of these roles."""
        told = {"MLOPS_SETTINGS": str(self.settings), "MLOPS_ROLE": roles}
        return {**self.account.environ, **told}

    def mlops(self, roles, *words, expect=0):
        """Run a command on a host of these roles; returns its document."""
        environ = self.environ(roles)
        with self.guard.only(roles.split(",")):
            done = CliRunner(env=environ).invoke(main, ["--home", str(self.home), "--json", *words])
        assert done.exit_code == expect, (roles, words, done.output)
        assert self.guard.refused == [], (roles, words)
        return json.loads(done.stdout)


def sent(folder, name, first, hours):
    """A raw file of one circuit."""
    rows = pl.DataFrame(
        {
            "plant_id": ["P001"] * hours,
            "circuit_id": ["C001"] * hours,
            "timestamp": [START + timedelta(hours=first + hour) for hour in range(hours)],
            "value": [50.0 + (first + hour) % 24 for hour in range(hours)],
        }
    )
    path = folder / name
    rows.write_parquet(path)
    return path


@pytest.fixture
def company(tmp_path, storage_account):
    with guarded(storage_account) as (guard, url):
        made = Company(tmp_path, storage_account, guard, url)
        raw = sent(tmp_path, "first.parquet", 0, HOURS)
        made.mlops("etl,release", "init", "--readings", str(raw))
        yield made


def test_each_role_does_what_it_may_and_says_who_may_do_the_rest(company, tmp_path):
    slices = [company.mlops("etl", "ingest")]
    later = sent(tmp_path, "later.parquet", HOURS, 24)
    company.account.blobs("raw").put("later.parquet", later.read_bytes())
    slices.append(company.mlops("etl", "ingest"))
    assert [one["rows_inserted"] for one in slices] == [HOURS, 24]

    (line,) = company.mlops("review", "plan")
    assert (line["circuit"], line["action"]) == ("P001/C001", "train")
    for role in ("dev", "release"):
        assert company.mlops(role, "plan") == [line]

    refused = company.mlops("prod", "ingest", expect=1)["error"]
    assert "lake/ingested" in refused
    assert refused.endswith(
        "cannot be written by this host, which is prod: run it on a host that is etl, as "
        "MLOPS_ROLE says there"
    )
    refused = company.mlops("review", "train", expect=1)
    assert "by this host, which is review" in json.dumps(refused)


def test_each_role_verifies_what_it_may_read(company):
    whole = {"dev", "release", "prod", "review"}
    for role in ROLES:
        found = company.mlops(role, "verify")
        company.mlops(role, "rebuild")
        assert found["ok"], role
        assert ("not_asked" in found) == (role not in whole), (role, found)
        if role not in whole:
            assert f"cannot be read by this host, which is {role}" in found["not_asked"]
            assert "on a host that is dev or release or prod or review" in found["not_asked"]


@pytest.mark.parametrize(
    ("role", "tables"),
    [("etl", {"readings", "quarantine", "restatements"}), ("dev", set()), ("test", set())],
)
def test_a_host_keeps_the_house_as_far_as_it_may_write(company, role, tables, monkeypatch):
    company.mlops("etl", "ingest")
    for name, value in company.environ(role).items():
        monkeypatch.setenv(name, value)
    home = Home(Settings.find(company.home, None, os.environ, company.home))
    with company.guard.only([role]):
        assert set(home.platform.lake.upkeep) == tables
        done = retention.upkeep_job.execute_in_process(resources={"home": home})
    assert done.success
    assert company.guard.refused == []
