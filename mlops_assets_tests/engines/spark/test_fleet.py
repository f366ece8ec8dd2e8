"""Training and predicting by settings alone: a cluster makes the product that this machine makes.

Commands run in this process, so that the cluster's one session serves them; its jobs tell what was
done there.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from mlops_assets.cli import main
from mlops_assets_tests.fakes.ingested_home import ingested_home
from mlops_assets_tests.journeys.people import commit, promoted
from mlops_assets_tests.journeys.product_state import product_state

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark

SPECS = {
    "P1/C1": {},
    "P1/C2": {"effort: fast": "effort: balanced"},
    "P2/C1": {"forecaster: auto": "forecaster: mstl_arima"},
}


class Jobs:
    """What the cluster did, by what Spark itself remembers."""

    def __init__(self, spark):
        with spark.session() as session:
            self._store = session.sparkContext._jsc.sc().statusStore()

    def __len__(self):
        return self._store.jobsList(None).size()

    def named(self):
        jobs = self._store.jobsList(None)
        told = [jobs.apply(place).description() for place in range(len(self))]
        return {each.get() for each in told if each.isDefined()}


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """Two homes that are one another's copy: one for each engine."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))  # commands set it; nobody else may see that
    ours = ingested_home(tmp_path, list(SPECS), days=42, people=True).home
    for name, changes in SPECS.items():
        spec = ours / "config" / "plants" / f"{name}.yml"
        for before, after in changes.items():
            spec.write_text(spec.read_text().replace(before, after))
    commit(ours / "config", "Try harder")
    return ours, shutil.copytree(ours, tmp_path / "on-spark", symlinks=True)


def run(home: Path, *words, master=None):
    """Run a command on this machine, or on a cluster; returns its document."""
    environment = {"MLOPS_ENGINE": "spark", "MLOPS_SPARK_MASTER": master} if master else {}
    done = CliRunner(env=environment).invoke(main, ["--home", str(home), "--json", *words])
    assert done.exit_code == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_train_and_predict_on_a_cluster_make_the_same_product_digit_for_digit(homes, spark):
    here, there = homes
    jobs = Jobs(spark)

    ours = run(here, "train")
    assert not jobs.named() & set(SPECS)
    theirs = run(there, "train", master=spark.master)

    assert jobs.named() >= set(SPECS)
    assert ours["trained"] == sorted(SPECS)
    assert theirs == ours
    assert product_state(there) == product_state(here)

    for home in homes:
        promoted(home, ours["release"], "registry", "test", "production")
    before = len(jobs)
    ours = run(here, "predict")
    assert len(jobs) == before
    theirs = run(there, "predict", master=spark.master)
    assert len(jobs) > before
    assert (ours["predicted"], ours["fallback"], ours["failed"]) == (len(SPECS), {}, {})
    assert theirs == ours
    assert product_state(there) == product_state(here)
