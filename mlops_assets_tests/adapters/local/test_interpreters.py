"""Environments as virtual environments in the home, this interpreter, or a command to make one."""

from __future__ import annotations

import json
import sys
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

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
KEYS = [CircuitKey("P001", "C001"), CircuitKey("P001", "C002")]
# Stands for an environment whose libraries compute something else.
SHIFTED = """#!{python}
import json, runpy, sys
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
answer = json.load(open(sys.argv[2]))
for number, each in enumerate(sorted(answer["applied"]), 1):
    columns = answer["applied"][each]["columns"]
    columns["value"] = [(float.fromhex(v) + number / 4).hex() for v in columns["value"]]
json.dump(answer, open(sys.argv[2], "w"))
"""


def an_environment(text="1.0.0", *, numpy=None, python=PYTHON):
    packages = (Package(name="numpy", version=numpy or version("numpy"), hashes=()),)
    ref = EnvironmentRef.parse(f"forecasting:{text}")
    return Environment(ref=ref, python=python, packages=packages, summary="", digest="e" * 64)


@pytest.fixture(scope="module")
def jobs():
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


def install(root, text, script):
    python = root / "forecasting" / text / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(script.format(python=sys.executable))
    python.chmod(0o755)


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
    install(tmp_path, "1.1.0", SHIFTED)
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
        ({"numpy": "9.9.9"}, "numpy is .* here"),
        ({"python": "2.7"}, f"this is Python {PYTHON}"),
    ],
)
def test_an_environment_that_is_not_installed_says_the_command(tmp_path, jobs, wanted, why):
    with pytest.raises(RefusedError, match=why) as caught:
        LocalInterpreters(tmp_path).apply(an_environment(**wanted), jobs)
    folder = tmp_path / "forecasting" / "1.0.0"
    assert caught.value.code == "E_INTERPRETER"
    assert f"-m venv {folder} && {folder}/bin/python -m pip install numpy==" in str(caught.value)


def test_an_absent_package_is_named(tmp_path, jobs):
    absent = Package(name="no-such-package", version="1.0", hashes=())
    environment = an_environment()
    with pytest.raises(RefusedError, match="no-such-package is absent here"):
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
    install(tmp_path, "1.0.0", "#!{python}\nimport sys\nsys.exit('no such module')\n")
    with pytest.raises(MlopsError, match=r"forecasting:1\.0\.0: applying models failed: no such"):
        LocalInterpreters(tmp_path).apply(an_environment(), jobs)


def test_what_travels_between_interpreters_is_json(jobs):
    from mlops_assets.domain.rollout import request_bytes

    assert json.loads(request_bytes(jobs))["format"] == 1
