"""Opening a home: every port wired, nothing heavy loaded before it is needed, or one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.domain.errors import HomeError
from mlops_assets.engines import processes
from mlops_assets.engines.spark.fitting import SparkFittingEngine
from mlops_assets.ports import Platform
from mlops_assets.resources import open_platform
from mlops_assets.settings import WATCHED_REF, Settings, SparkEngine
from mlops_assets_tests.catalog.files import FILES
from mlops_assets_tests.fakes.clock import FakeClock


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, config=tmp_path / "config")


def describe(settings, **content):
    settings.layout.home_file.write_text(json.dumps({"format": 1, "kind": "init"} | content))


def test_a_folder_that_is_no_home_says_what_to_run(settings):
    with pytest.raises(HomeError, match="is not a home: make one with `mlops demo` or `mlops init"):
        open_platform(settings)


def test_an_older_home_names_the_command_that_migrates_it(settings):
    describe(settings, format=0)
    with pytest.raises(HomeError, match=r"home format 0 is older .*: run `mlops migrate`"):
        open_platform(settings)


def test_a_newer_home_is_not_touched(settings):
    describe(settings, format=2)
    with pytest.raises(HomeError, match=r"home format 2 is newer .*: install the mlops that made"):
        open_platform(settings)


@pytest.mark.parametrize("kind", ["init", "demo"])
def test_every_port_is_served(settings, kind):
    describe(settings, kind=kind)
    platform = open_platform(settings)
    assert platform.kind == kind
    served = {part.name for part in fields(Platform) if getattr(platform, part.name) is not None}
    # Nothing is fitted aside where a home lies here: what is compared is kept.
    assert {part.name for part in fields(Platform)} - served == {"aside"}
    assert platform.clock.now().tzinfo is not None


def test_a_clock_may_be_given(settings):
    describe(settings)
    clock = FakeClock()
    assert open_platform(settings, clock).clock is clock


def limited(settings):
    """A platform whose policy says how many may train, how long, and in how much memory."""
    files = {name: text.encode() for name, text in FILES.items()}
    limits = "training: {max_parallel: 3, timeout_minutes: 7, memory_gigabytes: 2}\n"
    files["release_policy.yml"] += limits.encode()
    config = GitConfigRepository.create(settings.config, WATCHED_REF)
    config.commit(files, message="Begin", author="e@x.example", branch=None)
    describe(settings)
    platform = open_platform(settings)
    began = {"root_commit": config.root_commit(), "ref": WATCHED_REF, "kind": "init", "format": 1}
    platform.ledger.append("initialised", "platform", began, platform.clock.now())
    return platform


def test_the_limits_of_the_policy_are_those_of_every_fit(settings, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 8)
    platform = limited(settings)
    engine = platform.engine(1)
    assert (engine._timeout, engine._memory) == (420.0, 2 * 1024**3)
    assert engine._slots.limit == platform.slots.limit == 3


def test_where_cores_are_fewer_than_the_policy_allows_there_are_as_many_slots(
    settings, monkeypatch
):
    monkeypatch.setattr(processes, "cores", lambda: 2)
    platform = limited(settings)
    engine = platform.engine(3)
    assert engine.workers == engine._slots.limit == platform.slots.limit == 2


def test_on_a_cluster_this_machines_cores_bind_nothing(settings, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 2)
    platform = limited(replace(settings, engine=SparkEngine("spark://127.0.0.1:7077")))
    engine = platform.engine(3)
    assert isinstance(engine, SparkFittingEngine)
    assert platform.slots.limit == 3


def test_spark_on_this_machine_has_no_more_cores_than_it(settings, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 2)
    platform = limited(replace(settings, engine=SparkEngine()))
    assert platform.slots.limit == 2


def test_opening_writes_nothing(settings):
    describe(settings)
    open_platform(settings)
    assert [path.name for path in settings.home.iterdir()] == ["home.json"]


def test_dev_and_the_shared_registry_are_different_places(settings, tmp_path):
    describe(settings)
    platform = open_platform(settings)
    assert platform.dev.models.root == tmp_path / "workspaces" / "dev" / "models"
    assert platform.registry.models.root == tmp_path / "registry" / "models"


def test_importing_this_loads_no_table_model_or_notebook_library():
    code = (
        "import sys, mlops_assets.resources\n"
        "heavy = {'numpy', 'polars', 'pyarrow', 'deltalake', 'statsforecast', 'dagster'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
