"""Sessions: one while anybody holds it, and one line where there can be none."""

from __future__ import annotations

import sys

import pytest

from mlops_assets.domain.errors import EngineError
from mlops_assets.engines.spark import session as module
from mlops_assets.engines.spark.session import SparkSessions, line


class FakeConf:
    def __init__(self):
        self.values = {}

    def set(self, name, value):
        self.values[name] = value


class FakeSession:
    def __init__(self):
        self.conf, self.stopped = FakeConf(), 0
        self.sparkContext = type("Context", (), {"defaultParallelism": 2})

    def stop(self):
        self.stopped += 1


@pytest.fixture
def installed(monkeypatch):
    """As if Spark were installed and no session were active."""
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "check_installed", lambda: None)
    monkeypatch.setattr(module, "installed", lambda: ())


def test_a_session_lives_while_anybody_holds_it_and_is_stopped_once(installed):
    started = []

    def start(configuration):
        assert configuration["spark.master"] == "local[1]"
        started.append(FakeSession())
        return started[-1]

    sessions = SparkSessions("local[1]", start=start)
    with sessions.session() as one, sessions.session() as other:
        assert one is other
        assert one.conf.values["spark.sql.session.timeZone"] == "UTC"
    assert [each.stopped for each in started] == [1]
    with sessions.session():
        pass
    assert [each.stopped for each in started] == [1, 1]


def test_a_cluster_that_does_not_answer_is_one_line(installed):
    def start(configuration):
        raise RuntimeError("all masters are unresponsive\n at a.b.C")

    with (
        pytest.raises(
            EngineError,
            match=r"^spark://x:1: no Spark session there: all masters are unresponsive$",
        ),
        SparkSessions("spark://x:1", start=start).session(),
    ):
        pass


def test_without_pyspark_the_line_names_the_command(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with (
        pytest.raises(EngineError, match="pyspark is not installed: run `make spark`"),
        SparkSessions("local[1]").session(),
    ):
        pass


def test_without_java_the_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda name: name)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match="no Java: install one of 17"):
        module.check_installed()


def test_executors_on_this_machine_run_this_interpreter_and_fetch_nothing(installed):
    there = module.configuration("spark://127.0.0.1:7077")
    assert there["spark.driver.host"] == "127.0.0.1"
    assert all(path in there["spark.executorEnv.PYTHONPATH"] for path in sys.path if path)
    assert not [name for name in there if "packages" in name or "repositories" in name]
    assert "spark.driver.host" not in module.configuration("spark://cluster:7077")


def test_what_java_says_is_cut_to_a_line():
    assert line(ValueError("one\ntwo")) == "one"
    assert line(ValueError()) == "ValueError"
