"""Where we run is found in one order, and a folder that is no home says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_assets.domain.errors import HomeError, UsageError
from mlops_assets.settings import HomeLayout, LocalEngine, Settings, SparkEngine


def test_the_home_is_what_is_given_else_the_variable_else_beside_us(tmp_path):
    def home(given, environ):
        return Settings.find(given, None, environ, tmp_path).home

    variable = {"MLOPS_HOME": "from-variable"}
    assert home(Path("given"), variable) == tmp_path / "given"
    assert home(None, variable) == tmp_path / "from-variable"
    assert home(None, {"MLOPS_HOME": ""}) == tmp_path / ".mlops"
    assert home(Path("/absolute"), {}) == Path("/absolute")


def test_config_is_what_is_given_else_inside_the_home_else_beside_us(tmp_path):
    def config(given=None):
        return Settings.find(Path("home"), given, {}, tmp_path).config

    assert config() == tmp_path / "config"
    assert config(Path("mine")) == tmp_path / "mine"
    (tmp_path / "home" / "config").mkdir(parents=True)
    assert config() == tmp_path / "home" / "config"
    assert config(Path("mine")) == tmp_path / "mine"


def test_every_path_is_inside_the_home(tmp_path):
    layout = HomeLayout(tmp_path)
    names = [name for name, kind in vars(HomeLayout).items() if isinstance(kind, property)]
    assert len(names) > 20
    for name in names:
        assert getattr(layout, name).is_relative_to(tmp_path)
    assert all(folder.is_relative_to(tmp_path) for folder in layout.folders())


@pytest.mark.parametrize("kind", ["init", "demo"])
def test_a_home_says_how_it_was_made(tmp_path, kind):
    layout = HomeLayout(tmp_path)
    layout.home_file.write_text(json.dumps({"format": 1, "kind": kind}))
    assert layout.kind() == kind


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"format": 0, "kind": "demo"}', "format 0 is older than 1.*run `mlops migrate`"),
        ('{"format": 2, "kind": "demo"}', "format 2 is newer than 1.*install the mlops"),
        ('{"format": "1", "kind": "demo"}', "format is '1', not a whole number"),
        ('{"format": true, "kind": "demo"}', "format is True, not a whole number"),
        ('{"format": 1, "kind": "other"}', "kind is 'other', neither init nor demo"),
        ('{"format": 1}', "kind is None"),
        ("{", "not the description of a home"),
        ("[]", "not the description of a home"),
    ],
)
def test_a_home_that_cannot_be_used_says_why_in_one_line(tmp_path, text, line):
    layout = HomeLayout(tmp_path)
    layout.home_file.write_text(text)
    with pytest.raises(HomeError, match=line) as caught:
        layout.kind()
    assert "\n" not in str(caught.value)


def test_no_home_says_how_to_make_one(tmp_path):
    layout = HomeLayout(tmp_path / "nowhere")
    with pytest.raises(HomeError, match="is not a home: make one with `mlops demo` or `mlops init"):
        layout.kind()


def test_an_interrupted_init_says_how_to_go_on(tmp_path):
    layout = HomeLayout(tmp_path)
    layout.intent_file.write_text("{}")
    with pytest.raises(HomeError, match="was interrupted here: run the same command again"):
        layout.kind()


def test_heavy_work_runs_here_unless_the_environment_names_spark(tmp_path):
    def engine(**environ):
        return Settings.find(None, None, environ, tmp_path).engine

    assert engine() == engine(MLOPS_ENGINE="local") == LocalEngine()
    assert engine(MLOPS_ENGINE="spark") == SparkEngine("local[*]")
    master = "spark://127.0.0.1:7077"
    assert engine(MLOPS_ENGINE="spark", MLOPS_SPARK_MASTER=master) == SparkEngine(master)
    with pytest.raises(UsageError, match=r"'flink': it is local \(the default\) or spark"):
        engine(MLOPS_ENGINE="flink")
