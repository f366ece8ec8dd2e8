"""One run of the train group over any set of circuits: what Dagster shows of each afterwards."""

from __future__ import annotations

import time
from dataclasses import replace

import dagster as dg
from dagster import AssetPartitionStatus as Status

from mlops_assets import launch
from mlops_assets.assets.home import Home
from mlops_assets.assets.partitions import circuits
from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets_tests.fakes.engine import FakeFittingEngine, cheap_fit
from mlops_assets_tests.fakes.evidence import FakeNotebookRenderer
from mlops_assets_tests.fakes.ingested_home import ingested_home
from mlops_assets_tests.fakes.training import Notes

NAMES = [f"P1/C{number}" for number in range(7)]
ASSETS = ("training_data", "model", "evidence", "release_candidate")
PATIENCE = 60


class Bench:
    """A home's training assets, run by Dagster; only fits and notebooks are cheap."""

    def __init__(self, folder, fit=cheap_fit):
        self.settings = ingested_home(folder, NAMES)
        self.engine, self.renderer = FakeFittingEngine(fit), FakeNotebookRenderer()

    def opened(self):
        home = Home(self.settings, Notes())
        home._platform = replace(
            home.platform, engine=lambda _: self.engine, renderer=lambda: self.renderer
        )
        return home

    def train(self, *names):
        """One run over these circuits."""
        home = self.opened()
        launch._run_on(self.settings, "training", "train", names, home)
        return home.answers["train"]

    @property
    def instance(self):
        return dg.DagsterInstance.from_config(str(launch.dagster_home(self.settings)))

    def shown(self, asset):
        """What the UI shows of each circuit."""
        with self.instance as instance:
            found = instance.get_status_by_partition(dg.AssetKey(asset), NAMES, circuits)
        return {name: status for name, status in found.items() if status is not None}

    def told(self, asset):
        """How often each circuit was told."""
        with self.instance as instance:
            records = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
        names = [record.partition_key for record in records]
        return {name: names.count(name) for name in names}


def refuses(name, times=1):
    """A fit that fails so often for one circuit."""
    left = [times]

    def fit(job):
        if str(job.circuit) == name and left[0]:
            left[0] -= 1
            raise ModelError("nothing but gaps")
        return cheap_fit(job)

    return fit


def materialized(*names):
    return dict.fromkeys(names, Status.MATERIALIZED)


def test_one_run_over_circuits_with_holes_shows_each_as_what_became_of_it(tmp_path):
    bench = Bench(tmp_path, refuses("P1/C3"))
    bench.train("P1/C1")
    before = {asset: bench.told(asset) for asset in ASSETS}
    assert all(bench.shown(asset) == materialized("P1/C1") for asset in ASSETS)

    done = bench.train("P1/C0", "P1/C2", "P1/C3", "P1/C5")

    assert done.failed == {CircuitKey.parse("P1/C3"): "nothing but gaps"}
    whole = materialized("P1/C0", "P1/C1", "P1/C2", "P1/C5")
    failed = {"P1/C3": Status.FAILED}
    # Its data were pinned before it failed; C4 and C6 were never touched.
    assert bench.shown("training_data") == {**whole, **materialized("P1/C3")}
    for asset in ASSETS[1:]:
        assert bench.shown(asset) == {**whole, **failed}
    assert {asset: bench.told(asset)["P1/C1"] for asset in ASSETS} == dict.fromkeys(ASSETS, 1)
    assert all(told == {"P1/C1": 1} for told in before.values())


def test_what_failed_is_trained_again_alone_and_then_shows_so(tmp_path, monkeypatch):
    bench = Bench(tmp_path, refuses("P1/C3"))
    bench.train("P1/C0", "P1/C3", "P1/C5")
    assert bench.shown("model")["P1/C3"] is Status.FAILED
    bench.engine.fitted.clear()
    monkeypatch.setattr("mlops_assets.assets.home.Home", lambda *_: bench.opened())

    keys = [CircuitKey.parse(name) for name in ("P1/C0", "P1/C3", "P1/C5")]
    summary = launch.train(bench.settings, keys, Notes())

    assert [str(job.circuit) for job in bench.engine.fitted] == ["P1/C3"]
    assert [str(key) for key in summary.trained] == ["P1/C3"]
    assert bench.shown("model") == materialized("P1/C0", "P1/C3", "P1/C5")
    assert bench.told("model") == {"P1/C0": 1, "P1/C3": 1, "P1/C5": 1}


def test_evidence_is_told_while_the_next_notebook_still_runs(tmp_path):
    bench = Bench(tmp_path)

    class Patient(FakeNotebookRenderer):
        """Renders the last circuit when another one's evidence was told."""

        def render(self, notebook, parameters):
            end = time.monotonic() + PATIENCE
            while parameters["CIRCUIT"] == "P1/C4" and not bench.told("evidence"):
                assert time.monotonic() < end, "nothing was told"
                time.sleep(0.05)
            return super().render(notebook, parameters)

    bench.renderer = Patient()
    bench.train("P1/C0", "P1/C4")
    assert bench.shown("evidence") == materialized("P1/C0", "P1/C4")


def test_a_circuit_that_falls_out_at_evidence_has_its_model(tmp_path):
    bench = Bench(tmp_path)
    bench.renderer = FakeNotebookRenderer({"P1/C6": "cell 9: AssertionError"})
    bench.train("P1/C0", "P1/C6")
    shown = {asset: bench.shown(asset)["P1/C6"] for asset in ASSETS}
    assert shown == {
        **dict.fromkeys(ASSETS[:2], Status.MATERIALIZED),
        **dict.fromkeys(ASSETS[2:], Status.FAILED),
    }
