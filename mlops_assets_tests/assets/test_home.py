"""The home of a Dagster process: what comes from a run's tags never becomes a path."""

from __future__ import annotations

import re
from html import unescape
from types import SimpleNamespace

import nbformat
import pytest
from dagster._grpc.impl import get_notebook_data
from nbconvert import HTMLExporter

from mlops_assets.assets.home import Home, RunProgress, page_copy
from mlops_assets.domain.errors import MlopsError
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.release import ReleaseHome
from mlops_assets_tests.fakes.training import Notes


@pytest.mark.parametrize(
    "tag", ["abcdefgh", "x/../../../ledger/approvals/y", "/etc/x", "..", "a\n", "a" * 5000]
)
def test_a_backfill_is_done_by_its_first_run_whatever_its_tag_holds(tmp_path, tag):
    home = Home(Settings(tmp_path / "home", tmp_path / "config"))
    for first in (True, False):
        with home.alone(tag) as alone:
            assert alone is first
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {
        home.settings.layout.locks
    }


def test_a_run_outside_of_any_backfill_is_always_alone(tmp_path):
    home = Home(Settings(tmp_path / "home", tmp_path / "config"))
    for _ in range(2):
        with home.alone(None) as alone:
            assert alone
    assert list(tmp_path.iterdir()) == []


class OnDisk(Home):
    """A home whose platform is in memory and whose Dagster folder is on a disk."""

    def __init__(self, settings, made):
        super().__init__(settings)
        self.made = made

    @property
    def platform(self):
        return self.made.platform


def test_dagster_opens_the_page_of_a_release_from_its_own_folder(tmp_path, monkeypatch):
    made = ReleaseHome()
    release = made.create()
    home = OnDisk(Settings(tmp_path / "home", tmp_path / "config"), made)
    home.publish(made.config, release)
    monkeypatch.chdir(home.settings.layout.dagster)
    data = get_notebook_data(page_copy(release))
    notebook = nbformat.reads(data, as_version=4)
    nbformat.validate(notebook)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    page = unescape(re.search(r'<iframe srcdoc="(.*?)" style=', body, re.DOTALL)[1])
    assert page.encode() == made.dev.evidence.pages[release]
    with pytest.raises(MlopsError):
        home.publish(made.config, "../../ledger/x")


def logging_into(lines):
    """A run's context that logs as `logging` does: what it is given is put into the line."""

    def info(line, *given):
        lines.append(line % given if given else line)

    return SimpleNamespace(log=SimpleNamespace(info=info))


def test_a_runs_log_says_how_far_it_is_and_so_does_whoever_started_it():
    log, also = [], Notes()
    context = logging_into(log)
    progress = RunProgress(context, also)
    progress.begin("training", 20)
    for number in range(20):
        progress.advance(f"P1/C{number}")
    progress.say("100% of it")
    assert log[:3] == ["training: 20", "training: 2 of 20, P1/C1", "training: 4 of 20, P1/C3"]
    assert log[-2:] == ["training: 20 of 20, P1/C19", "100% of it"]
    assert len(log) == 12
    assert (also.counts, len(also.labels), also.lines) == ({"training": 20}, 20, ["100% of it"])


def test_a_run_that_nobody_started_here_has_its_log_alone():
    log = []
    context = logging_into(log)
    progress = RunProgress(context, None)
    progress.begin("evidence", 1)
    progress.advance("P1/C1")
    assert log == ["evidence: 1", "evidence: 1 of 1, P1/C1"]
