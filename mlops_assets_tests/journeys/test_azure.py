"""The whole loop on `backend: azure`: the same commands, the same forecasts, digit for digit.

Bytes lie in a real Azurite. Azure ML is a control plane on the loopback, reached by the real SDKs
over HTTPS as managed identities; the jobs and invocations that it is sent are processes.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.resources import open_platform
from mlops_assets.settings import Settings
from mlops_assets.settings.azure import ROLES, DevOps
from mlops_assets_tests.fakes.role_guard import guarded
from mlops_assets_tests.journeys import command
from mlops_assets_tests.journeys.people import ENGINEER, MANAGER, commit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.settings.azure import Role
    from mlops_assets_tests.fakes.role_guard import RoleGuard

pytestmark = [pytest.mark.azure, pytest.mark.slow]

C1, C2 = CircuitKey("P001", "C001"), CircuitKey("P001", "C002")
DIGITS = ["plant_id", "circuit_id", "issued_for", "timestamp", "value", "lo_80", "hi_95"]


class OnAzure:
    """A home whose state lies on Azure, and how people work with it."""

    def __init__(self, home: Path, environ: dict[str, str], guard: RoleGuard) -> None:
        self.home, self.environ, self.guard = home, environ, guard

    @contextmanager
    def on(self, *roles: Role) -> Iterator[OnAzure]:
        """The same home from a host of these roles alone, which the storage account knows."""
        environ = {**self.environ, "MLOPS_ROLE": ",".join(roles)}
        with self.guard.only(roles):
            yield OnAzure(self.home, environ, self.guard)

    def mlops(self, *words: str, expect: int = 0) -> Any:
        return command.mlops(self.home, *words, expect=expect, environ=self.environ)

    def doctor(self) -> Any:
        """Every answer; this control plane has not every service that it asks."""
        process = command.mlops_process(self.home, "doctor", environ=self.environ)
        out, _ = process.communicate(timeout=600)
        return json.loads(out)

    def approve(self, release: str, stage: str) -> None:
        key = self.home / "demo_keys" / ENGINEER
        said = self.mlops("release", "approve", release, "--stage", stage, "--key", str(key))
        assert said["accepted"], said

    def promote(self, release: str) -> None:
        for stage in ("registry", "test", "production"):
            if stage != "test":
                self.approve(release, stage)
            done = self.mlops("release", "promote", release, "--stage", stage)
            assert done["refused"] == {}, done

    def completed(self, plane: Any) -> None:
        """Tell Azure DevOps that the engineer approved what brought the newest commit."""
        git = ["git", "-C", str(self.home / "config"), "rev-parse", "HEAD~1", "HEAD"]
        done = subprocess.run(git, check=True, capture_output=True, text=True)
        before, after = done.stdout.split()
        plane[0].completed(
            1,
            before=before,
            after=after,
            creator=MANAGER,
            commits=[[after, MANAGER, MANAGER]],
            votes={ENGINEER: 10},
        )

    def predictions(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)
        platform = open_platform(Settings.find(self.home, None, self.environ, self.home))
        return platform.lake.predictions.read()


@pytest.fixture(scope="module")
def plane(azurite, tmp_path_factory):
    from mlops_assets_tests.control_plane.process import served

    bare = azurite.account()
    folder = tmp_path_factory.mktemp("plane") / "plane"
    with guarded(bare) as (guard, url):
        account = replace(bare, url=url)
        devops = DevOps(organization="northwind", project="forecasting", repository="config")
        backend = replace(account.backend(), devops=devops)
        with served(backend, folder, account.environ) as running:
            yield running, account, guard


@pytest.fixture(scope="module")
def on_azure(plane, tmp_path_factory):
    """A demo of two circuits; the settings are all that is different from a local one."""
    running, account, guard = plane
    home = tmp_path_factory.mktemp("azure") / "home"
    settings = home.with_name("settings.yml")
    named = {name: value for name, value in asdict(running.backend).items() if value is not None}
    named["backend"] = named.pop("kind")
    settings.write_text(yaml.safe_dump(named))
    environ = {
        **running.environment(),
        **account.environ,
        "MLOPS_SETTINGS": str(settings),
    }
    made = OnAzure(home, environ, guard)
    made.document = made.mlops("demo", "--circuits", "2", "--effort", "fast")
    return made


def test_the_whole_loop_runs_on_azure_as_it_runs_here(on_azure, plane, made_demo, monkeypatch):
    """One test, because its home takes minutes to make and each step stands on the one before."""
    every_circuit_is_trained_deployed_and_predicted(on_azure)
    forecasts_are_those_of_the_local_backend(on_azure, made_demo, monkeypatch)
    fits_were_jobs_and_forecasts_invocations(on_azure, plane)
    each_role_does_its_own_work_and_asks_for_nothing_else(on_azure, plane)
    each_role_verifies_what_it_may_read_and_says_what_it_did_not_ask(on_azure)
    what_no_role_of_a_host_may_is_refused_in_a_line_that_says_who_may(on_azure)
    a_circuit_can_be_traced_to_its_raw_files(on_azure)


def every_circuit_is_trained_deployed_and_predicted(on_azure):
    assert on_azure.document["trained"] == on_azure.document["deployed"] == 2
    assert on_azure.document["refused"] == {}
    assert on_azure.document["skill"] > 0


def forecasts_are_those_of_the_local_backend(on_azure, made_demo, monkeypatch):
    local = open_platform(Settings.find(made_demo[0], None, {}, made_demo[0]))
    wanted = local.lake.predictions.read(circuits=[C1, C2])
    found = on_azure.predictions(monkeypatch)

    assert set(found["fallback"]) == {"none"}
    assert found.select(DIGITS).equals(wanted.select(DIGITS))


def fits_were_jobs_and_forecasts_invocations(on_azure, plane):
    running, _, _ = plane
    jobs = running.jobs()
    done = Counter(job["workspace"] for job in jobs if job["status"] == "Completed")

    assert len(jobs) == sum(done.values())
    names = running.backend.workspaces
    assert done == {names["dev"]: 2, names["test"]: 2, names["prod"]: 2 * 8}


def each_role_does_its_own_work_and_asks_for_nothing_else(on_azure, plane):
    """A second release, from the readings to the rollback, each step on a host of one role."""
    spec = on_azure.home / "config" / "plants" / f"{C1}.yml"
    spec.write_text(spec.read_text().replace("forecaster: auto", "forecaster: seasonal_naive"))
    before = {row["circuit"]: row for row in on_azure.mlops("status")}
    with on_azure.on("review") as review:
        changed = [
            row for row in review.mlops("plan", "--working-tree") if row["action"] == "train"
        ]
        assert [row["circuit"] for row in changed] == [str(C1)]
        commit(on_azure.home / "config", "Serve the floor")
        on_azure.completed(plane)
    with on_azure.on("etl") as etl:
        assert etl.mlops("ingest")["rows_quarantined"] == 0
    with on_azure.on("dev") as dev:
        release = dev.mlops("train")["release"]
    with on_azure.on("release", "test", "prod") as stages:
        stages.promote(release)
    with on_azure.on("prod") as prod:
        prod.mlops("predict")
        done = prod.mlops(
            "rollback", "--circuit", str(C1), "--as", ENGINEER, "--reason", "it is the floor"
        )
        after = {row["circuit"]: row for row in prod.mlops("status")}
    assert done["circuits"] == [str(C1)]
    assert after[str(C1)]["release"] == done["to"][str(C1)] != release
    assert after[str(C2)]["release"] == before[str(C2)]["release"]
    assert on_azure.guard.refused == []


def each_role_verifies_what_it_may_read_and_says_what_it_did_not_ask(on_azure):
    # Who reads evidence may not ask what endpoints serve, and the other way round.
    for role in ROLES:
        with on_azure.on(role) as host:
            found = host.mlops("verify")
            assert found["ok"]
            assert found["not_asked"].startswith("not asked: "), found
            rows = {row["check"]: row for row in host.doctor()}
            for name in ("config", "ledger", "tables", "readings"):
                assert rows[name]["ok"], (role, rows[name])
    assert on_azure.guard.refused == []
    assert "not_asked" not in on_azure.mlops("verify")


def what_no_role_of_a_host_may_is_refused_in_a_line_that_says_who_may(on_azure):
    with on_azure.on("prod") as prod:
        said = prod.mlops("train", expect=1)["error"]
    assert "by this host, which is prod" in said
    assert "run it on a host that is " in said
    assert on_azure.guard.refused == []


def a_circuit_can_be_traced_to_its_raw_files(on_azure):
    day = on_azure.mlops("status")[0]["last_forecast"]
    chain = on_azure.mlops("trace", str(C2), "--date", str(day)[:10])
    assert chain
