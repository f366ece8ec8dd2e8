"""What every set of environments must do: the fake, this interpreter, and a second real one."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from mlops_assets.adapters.local.interpreters import LocalInterpreters
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import EnvironmentRef
from mlops_assets.domain.rollout import COLUMNS, ApplyJob
from mlops_assets.forecasters.serialization import load
from mlops_assets_tests.adapters.local.test_interpreters import KEYS, an_environment, fitted
from mlops_assets_tests.fakes.interpreters import FakeInterpreters, make_venv

ABSENT = EnvironmentRef.parse("forecasting:9.0.0")


@pytest.fixture(scope="module")
def jobs():
    return fitted()


@pytest.fixture(params=["fake", "this", "venv"])
def interpreters(request, tmp_path):
    if request.param == "fake":
        made = FakeInterpreters(load)
        made.absent.add(ABSENT)
        made.packages[ABSENT] = [f"numpy is {version('numpy')}"]
        return made
    if request.param == "venv":
        make_venv(tmp_path / "forecasting" / "1.0.0", numpy=version("numpy"))
    return LocalInterpreters(tmp_path)


def test_each_model_forecasts_there_what_it_forecasts_here(interpreters, jobs):
    answers = interpreters.apply(an_environment(), jobs)
    assert set(answers) == set(KEYS)
    for job in jobs:
        values = load(job.files).apply(job.series, job.steps)
        wanted = {name: tuple(getattr(values, name).tolist()) for name in COLUMNS}
        assert answers[job.circuit].columns == wanted
        assert (answers[job.circuit].golden, answers[job.circuit].error) == (True, "")


def test_a_model_that_cannot_be_loaded_is_told_and_stops_no_other(interpreters, jobs):
    broken = ApplyJob(circuit=KEYS[0], files={}, series=jobs[0].series, steps=24)
    answers = interpreters.apply(an_environment(), [broken, jobs[1]])
    assert "ModelError" in answers[KEYS[0]].error
    assert answers[KEYS[1]].error == ""


def test_an_environment_that_is_not_there_is_refused_with_what_makes_it(interpreters, jobs):
    with pytest.raises(RefusedError, match=r"forecasting:9\.0\.0 .*`.+`") as caught:
        interpreters.apply(an_environment("9.0.0", numpy="9.9.9"), jobs)
    assert caught.value.code == "E_INTERPRETER"


def test_it_is_told_in_what_this_interpreter_differs(interpreters):
    assert list(interpreters.differing(an_environment())) == []
    other = an_environment("9.0.0", numpy="9.9.9")
    assert list(interpreters.differing(other)) == [f"numpy is {version('numpy')}"]
