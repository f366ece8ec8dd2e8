"""The whole loop on `backend: azure`: the same commands, the same forecasts, digit for digit.

Bytes lie in a real Azurite. Azure ML is a control plane on the loopback, reached by the real SDKs
over HTTPS as managed identities; the jobs and invocations that it is sent are processes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.resources import open_platform
from mlops_assets.settings import Settings
from mlops_assets_tests.journeys import command
from mlops_assets_tests.journeys.people import ENGINEER, commit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.azure, pytest.mark.slow]

C1, C2 = CircuitKey("P001", "C001"), CircuitKey("P001", "C002")
DIGITS = ["plant_id", "circuit_id", "issued_for", "timestamp", "value", "lo_80", "hi_95"]


class OnAzure:
    """A home whose state lies on Azure, and how people work with it."""

    def __init__(self, home: Path, environ: dict[str, str]) -> None:
        self.home, self.environ = home, environ

    def mlops(self, *words: str, expect: int = 0) -> Any:
        return command.mlops(self.home, *words, expect=expect, environ=self.environ)

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

    def predictions(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)
        platform = open_platform(Settings.find(self.home, None, self.environ, self.home))
        return platform.lake.predictions.read()


@pytest.fixture(scope="module")
def plane(azurite, tmp_path_factory):
    from mlops_assets_tests.control_plane.process import served

    account = azurite.account()
    folder = tmp_path_factory.mktemp("plane") / "plane"
    with served(account.backend(), folder, account.environ) as running:
        yield running, account


@pytest.fixture(scope="module")
def on_azure(plane, tmp_path_factory):
    """A demo of two circuits; the settings are all that is different from a local one."""
    running, account = plane
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
    made = OnAzure(home, environ)
    made.document = made.mlops("demo", "--circuits", "2", "--effort", "fast")
    return made


def test_the_whole_loop_runs_on_azure_as_it_runs_here(on_azure, plane, made_demo, monkeypatch):
    """One test, because its home takes minutes to make and each step stands on the one before."""
    every_circuit_is_trained_deployed_and_predicted(on_azure)
    forecasts_are_those_of_the_local_backend(on_azure, made_demo, monkeypatch)
    fits_were_jobs_and_forecasts_invocations(on_azure, plane)
    a_second_release_goes_live_and_is_rolled_back(on_azure)
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
    running, _ = plane
    jobs = running.jobs()
    done = Counter(job["workspace"] for job in jobs if job["status"] == "Completed")

    assert len(jobs) == sum(done.values())
    names = running.backend.workspaces
    assert done == {names["dev"]: 2, names["test"]: 2, names["prod"]: 2 * 8}


def a_second_release_goes_live_and_is_rolled_back(on_azure):
    spec = on_azure.home / "config" / "plants" / f"{C1}.yml"
    spec.write_text(spec.read_text().replace("forecaster: auto", "forecaster: seasonal_naive"))
    commit(on_azure.home / "config", "Serve the floor")
    release = on_azure.mlops("train")["release"]
    on_azure.promote(release)
    before = {row["circuit"]: row for row in on_azure.mlops("status")}
    assert before[str(C1)]["release"] == release

    done = on_azure.mlops(
        "rollback", "--circuit", str(C1), "--as", ENGINEER, "--reason", "it is the floor"
    )

    assert done["circuits"] == [str(C1)]
    after = {row["circuit"]: row for row in on_azure.mlops("status")}
    assert after[str(C1)]["release"] == done["to"][str(C1)] != release
    assert after[str(C2)]["release"] == before[str(C2)]["release"]
    assert on_azure.mlops("verify")["ok"]


def a_circuit_can_be_traced_to_its_raw_files(on_azure):
    day = on_azure.mlops("status")[0]["last_forecast"]
    chain = on_azure.mlops("trace", str(C2), "--date", str(day)[:10])
    assert chain
