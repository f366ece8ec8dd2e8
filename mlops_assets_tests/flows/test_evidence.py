"""Collecting evidence: complete or a reason, the same bytes again, one failure stops no other."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.evidence import REGISTRY_KINDS, Evidence
from mlops_assets.domain.identifiers import CircuitKey, sha256
from mlops_assets.flows.evidence import collect, collect_all
from mlops_assets_tests.fakes.evidence import FakeEvidenceStore, FakeNotebookRenderer
from mlops_assets_tests.fakes.trained_home import NOW, TrainedHome

C1, C2, C3 = (CircuitKey("P001", f"C00{number}") for number in (1, 2, 3))


class Told:
    """Progress that remembers."""

    def __init__(self):
        self.total = 0
        self.done = []

    def begin(self, what, total):
        self.total = total

    def advance(self, label=""):
        self.done.append(label)

    def say(self, line):
        raise AssertionError(line)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return TrainedHome(tmp_path_factory.mktemp("home"), str(C1), str(C2), str(C3))


@pytest.fixture
def home(trained):
    """The trained home with an empty evidence store in memory and a renderer that runs nothing."""

    class Home:
        circuits = trained.circuits
        records = trained.records
        config = trained.config
        git = trained.git
        store = FakeEvidenceStore()
        renderer = FakeNotebookRenderer()

        @property
        def platform(self):
            dev = replace(trained.platform.dev, evidence=self.store)
            return replace(trained.platform, dev=dev, renderer=lambda: self.renderer)

    return Home()


def test_a_bundle_has_every_kind(home):
    made = collect(
        home.platform, home.config, home.circuits[0], home.records[C1], home.renderer, now=NOW
    )
    assert made.missing() == ()
    assert set(made.digests) == set(REGISTRY_KINDS)
    lineage = json.loads(home.store.read(C1, 1, "lineage"))
    html = home.store.read(C1, 1, "scoring_notebook.html")
    assert lineage["notebook"]["scoring_notebook.html"] == sha256(html)
    assert lineage["model"]["digest"] == home.records[C1].digest
    metrics = json.loads(home.store.read(C1, 1, "metrics"))
    assert metrics["floor"]["wape"] > 0


def test_a_rerun_gives_the_same_bytes_and_renders_nothing_twice(home):
    first = collect_all(home.platform, home.config, list(home.records.values()), now=NOW)
    bundles = dict(home.store.bundles)
    assert collect_all(home.platform, home.config, list(home.records.values()), now=NOW) == first
    assert len(home.renderer.rendered) == 3

    home.store = FakeEvidenceStore()
    collect_all(home.platform, home.config, list(home.records.values()), now=NOW)
    assert home.store.bundles == bundles


def test_no_clock_or_host_is_in_what_is_digested(home):
    now = NOW + timedelta(minutes=17)
    collect(home.platform, home.config, home.circuits[0], home.records[C1], home.renderer, now=now)
    run = json.loads(home.store.runs[C1, 1])
    assert set(run) == {"format", "collected_at", "host", "seconds"}
    for name, data in home.store.bundles[C1, 1].items():
        assert run["collected_at"].encode() not in data, name


def test_the_notebook_is_told_what_is_newest(home):
    collect(home.platform, home.config, home.circuits[0], home.records[C1], home.renderer, now=NOW)
    cell = json.loads(home.store.read(C1, 1, "scoring_notebook"))["cells"][1]["source"]
    assert "END = '2024-07-01T08:00:00+00:00'" in cell
    assert f"MODEL_DIGEST = '{home.records[C1].digest}'" in cell


def test_a_failed_notebook_is_that_circuits_reason_and_stops_no_other(home):
    home.renderer = FakeNotebookRenderer({str(C2): "scoring notebook, cell 9: AssertionError: x"})
    told = Told()
    results = collect_all(
        home.platform, home.config, list(home.records.values()), now=NOW, progress=told
    )
    assert results[C2] == "P001/C002 version 1: scoring notebook, cell 9: AssertionError: x"
    assert isinstance(results[C1], Evidence)
    assert isinstance(results[C3], Evidence)
    assert home.store.get(C2, 1) is None
    assert (told.total, sorted(told.done)) == (3, [str(C1), str(C2), str(C3)])


def test_what_nobody_foresaw_stops_no_other_either(home):
    class Broken(FakeNotebookRenderer):
        def render(self, notebook, parameters):
            if parameters["CIRCUIT"] == str(C1):
                raise RuntimeError("no kernel")
            return super().render(notebook, parameters)

    home.renderer = Broken()
    results = collect_all(home.platform, home.config, list(home.records.values()), now=NOW)
    assert results[C1] == "P001/C001: evidence: RuntimeError: no kernel"
    assert isinstance(results[C2], Evidence)


def test_every_renderer_is_closed_whatever_happens(home):
    class Interrupted(FakeNotebookRenderer):
        def render(self, notebook, parameters):
            raise KeyboardInterrupt

    home.renderer = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        collect_all(home.platform, home.config, list(home.records.values()), now=NOW, workers=2)
    assert home.renderer.closed == 2


def test_each_is_told_as_soon_as_it_is_made_and_in_the_callers_thread(home):
    told, threads = [], set()

    class Patient(FakeNotebookRenderer):
        """Renders the next circuit only when the one before was told."""

        def render(self, notebook, parameters):
            before = rendered.index(parameters["CIRCUIT"])
            assert heard[before].wait(60)
            return super().render(notebook, parameters)

    def hear(circuit, result):
        told.append((circuit, type(result)))
        threads.add(threading.current_thread())
        heard[len(told)].set()

    rendered = [str(C1), str(C2), str(C3)]
    heard = [threading.Event() for _ in range(4)]
    heard[0].set()
    home.renderer = Patient()
    records = [home.records[key] for key in (C1, C2, C3)]
    collect_all(home.platform, home.config, records, now=NOW, on_result=hear)
    assert told == [(C1, Evidence), (C2, Evidence), (C3, Evidence)]
    assert threads == {threading.current_thread()}


def test_a_circuit_that_left_the_config_has_a_reason(home):
    config = replace(home.config, circuits={})
    results = collect_all(home.platform, config, [home.records[C1]], now=NOW)
    assert "P001/C001 is not in the config" in results[C1]


def test_nothing_to_prove_is_nothing_done(home):
    assert collect_all(home.platform, home.config, [], now=NOW) == {}


def test_a_model_of_another_environment_has_no_lineage(home):
    record = replace(home.records[C1], environment_digest="0" * 64)
    with pytest.raises(DataError, match="was made with environment 000000000000"):
        collect(home.platform, home.config, home.circuits[0], record, home.renderer, now=NOW)


def test_a_model_of_a_commit_that_is_gone_has_no_lineage(home):
    record = replace(home.records[C1], config_commit="f" * 40)
    with pytest.raises(MlopsError, match="which is not in refs/heads/main"):
        collect(home.platform, home.config, home.circuits[0], record, home.renderer, now=NOW)


@pytest.mark.slow
def test_real_notebooks_run_in_real_kernels_and_repeat(tmp_path):
    made = TrainedHome(tmp_path / "home", str(C1), str(C2))
    records = list(made.records.values())
    results = collect_all(made.platform, made.config, records, now=NOW)
    assert all(isinstance(result, Evidence) for result in results.values()), results

    folder = made.platform.dev.evidence.folder(C1, 1)
    page = (tmp_path / "home" / folder / "scoring_notebook.html").read_text()
    notebook = json.loads(made.platform.dev.evidence.read(C1, 1, "scoring_notebook"))
    last = notebook["cells"][-1]["outputs"][-1]["data"]["text/plain"]
    assert "assertions hold" in "".join(last)
    assert str(tmp_path) not in json.dumps(notebook)
    assert str(tmp_path) not in page

    again = replace(made.platform.dev, evidence=FakeEvidenceStore())
    repeated = collect_all(replace(made.platform, dev=again), made.config, records, now=NOW)
    assert repeated == results
