"""Environments as virtual environments in the home, this interpreter, or a command to make one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version

import numpy as np
import pytest

from mlops_assets.adapters.local.interpreters import LocalInterpreters
from mlops_assets.domain.circuit import Environment, Package, Spec
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef
from mlops_assets.domain.model import FitJob
from mlops_assets.domain.readings import Series
from mlops_assets.domain.rollout import ApplyJob, Move, compared, document, judge_rollout
from mlops_assets.forecasters.training import fit
from mlops_assets_tests.fakes.interpreters import make_venv

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
KEYS = [CircuitKey("P001", "C001"), CircuitKey("P001", "C002")]
# Stands for libraries that compute something else: what was answered is shifted at the end.
SHIFTED = """
import atexit, json, sys
def shift():
    if not sys.argv[-1].endswith("answer.json"):
        return
    answer = json.load(open(sys.argv[-1]))
    for number, each in enumerate(sorted(answer["applied"]), 1):
        columns = answer["applied"][each]["columns"]
        columns["value"] = [(float.fromhex(v) + number / 4).hex() for v in columns["value"]]
    json.dump(answer, open(sys.argv[-1], "w"))
atexit.register(shift)
"""
# A package of one file, as an index would have it.
WHEEL = {
    "tiny.py": "",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": "tiny.py,,\n",
}


def an_environment(text="1.0.0", *, numpy=None, python=PYTHON):
    packages = (Package(name="numpy", version=numpy or version("numpy"), hashes=()),)
    ref = EnvironmentRef.parse(f"forecasting:{text}")
    return Environment(ref=ref, python=python, packages=packages, summary="", digest="e" * 64)


@pytest.fixture(scope="module")
def jobs():
    return fitted()


def fitted():
    """Two fitted models with readings that go on after their cutoff."""
    start, hour = datetime(2024, 6, 1, tzinfo=UTC), timedelta(hours=1)
    spec = Spec(cutoff_date=date(2024, 6, 20), forecaster="seasonal_naive")
    made = []
    for number, key in enumerate(KEYS):
        values = 50 + 10 * np.sin(np.arange(480) / 24 * 2 * np.pi + number)
        result = fit(FitJob(circuit=key, spec=spec, series=Series(start, hour, values)))
        newer = Series(start, hour, np.append(values, values[:24]))
        made.append(ApplyJob(circuit=key, files=result.files, series=newer, steps=24))
    return made


def judged(before, after):
    moves = [
        Move(
            circuit=key,
            model_version=1,
            model_digest="5" * 64,
            before="forecasting:1.0.0",
            before_digest="a" * 64,
            after="forecasting:1.1.0",
            after_digest="b" * 64,
            live=True,
        )
        for key in KEYS
    ]
    rows = {str(m.circuit): compared(m, before[m.circuit], after[m.circuit]) for m in moves}
    return judge_rollout(moves, document("r-0", 0, rows), [])


def test_two_environments_with_one_interpreter_forecast_the_same(tmp_path, jobs):
    interpreters = LocalInterpreters(tmp_path)
    before = interpreters.apply(an_environment(), jobs)
    after = interpreters.apply(an_environment("1.1.0"), jobs)
    assert [len(each.columns["value"]) for each in before.values()] == [24, 24]
    assert judged(before, after).passed


def test_an_environment_that_computes_something_else_is_refused_with_the_largest(tmp_path, jobs):
    make_venv(tmp_path / "forecasting" / "1.1.0", startup=SHIFTED, numpy="9.9")
    interpreters = LocalInterpreters(tmp_path)
    before = interpreters.apply(an_environment(), jobs)
    verdict = judged(before, interpreters.apply(an_environment("1.1.0", numpy="9.9"), jobs))
    assert verdict.refuses
    assert "most for P001/C002: 0.5 where" in verdict.reason


def test_a_damaged_model_is_told_and_stops_no_other(tmp_path, jobs):
    broken = ApplyJob(circuit=KEYS[0], files={}, series=jobs[0].series, steps=24)
    answers = LocalInterpreters(tmp_path).apply(an_environment(), [broken, jobs[1]])
    assert "ModelError" in answers[KEYS[0]].error
    assert answers[KEYS[1]].golden


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"numpy": "9.9.9"}, r"this interpreter: numpy is \d"),
        ({"python": "2.7"}, f"this is Python {PYTHON}"),
    ],
)
def test_an_environment_that_is_not_installed_says_the_command(tmp_path, jobs, wanted, why):
    with pytest.raises(RefusedError, match=why) as caught:
        LocalInterpreters(tmp_path).apply(an_environment(**wanted), jobs)
    folder = tmp_path / "forecasting" / "1.0.0"
    assert caught.value.code == "E_INTERPRETER"
    assert f"-m venv --clear {folder} && " in str(caught.value)
    pip = f"{folder}/bin/python -m pip install --no-deps --require-hashes -r "
    assert f"{pip}{folder}.requirements.txt`" in str(caught.value)


def test_an_interpreter_that_is_there_and_differs_is_refused(tmp_path, jobs):
    place = tmp_path / "forecasting" / "1.0.0"
    make_venv(place, numpy="8.8")
    with pytest.raises(RefusedError, match=f"{place}: numpy is 8.8"):
        LocalInterpreters(tmp_path).apply(an_environment(), jobs)


def tiny(folder, *, digest=None):
    """A wheel in a folder, and an environment that asks for it by hash."""
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
    hashed = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    package = Package(name="tiny", version="1.0", hashes=(f"sha256:{hashed}",))
    return replace(an_environment("1.1.0"), packages=(package,))


def follow(tmp_path, environment, jobs):
    """Do what the refusal says, with a folder for an index."""
    with pytest.raises(RefusedError) as caught:
        LocalInterpreters(tmp_path / "root").apply(environment, jobs)
    command = str(caught.value).split("`")[1]
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_of_the_refusal_makes_an_environment_that_is_used(tmp_path, jobs):
    environment = tiny(tmp_path)
    done = follow(tmp_path, environment, jobs)
    assert done.returncode == 0, done.stderr
    here = LocalInterpreters(tmp_path).apply(an_environment(), jobs)
    there = LocalInterpreters(tmp_path / "root").apply(environment, jobs)
    assert judged(here, there).passed


def test_the_command_of_the_refusal_installs_nothing_but_what_was_pinned(tmp_path, jobs):
    environment = tiny(tmp_path, digest="0" * 64)
    done = follow(tmp_path, environment, jobs)
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    with pytest.raises(RefusedError, match="tiny is absent"):
        LocalInterpreters(tmp_path / "root").apply(environment, jobs)


def test_an_absent_package_is_named(tmp_path, jobs):
    absent = Package(name="no-such-package", version="1.0", hashes=())
    environment = an_environment()
    with pytest.raises(RefusedError, match="no-such-package is absent"):
        LocalInterpreters(tmp_path).apply(
            Environment(
                ref=environment.ref,
                python=PYTHON,
                packages=(absent,),
                summary="",
                digest=environment.digest,
            ),
            jobs,
        )


def test_an_interpreter_that_fails_is_told_by_its_last_line(tmp_path, jobs):
    python = make_venv(tmp_path / "forecasting" / "1.0.0")
    script = python.with_name("python-real")
    python.rename(script)
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *answer.json) echo no such module >&2; exit 1;; esac\n'
        f'exec {script} "$@"\n'
    )
    python.chmod(0o755)
    with pytest.raises(MlopsError, match=r"forecasting:1\.0\.0: applying models failed: no such"):
        LocalInterpreters(tmp_path).apply(an_environment(), jobs)


def test_an_interpreter_that_does_not_answer_is_no_interpreter(tmp_path, jobs):
    python = tmp_path / "forecasting" / "1.0.0" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(RefusedError, match="does not answer: broken"):
        LocalInterpreters(tmp_path).apply(an_environment(), jobs)
