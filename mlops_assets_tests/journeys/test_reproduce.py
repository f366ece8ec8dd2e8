"""A release that trains to other bytes is told with how far it differs, and why it may."""

from __future__ import annotations

import re
from dataclasses import replace

from mlops_assets.domain.identifiers import EnvironmentRef
from mlops_assets.flows.ledger import views
from mlops_assets.flows.reproduce import reproduce
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.fakes.interpreters import FakeInterpreters
from mlops_assets_tests.journeys.people import opened


class OtherCode:
    """An engine whose algorithms have all become another, a cheap one for the test."""

    def __init__(self, engine):
        self.engine = engine
        self.jobs = []

    def fit(self, jobs):
        self.jobs += jobs
        return self.engine.fit(
            [replace(job, spec=_naive(job.spec), warm_start=None) for job in jobs]
        )


def _naive(spec):
    return replace(spec, forecaster="seasonal_naive", hyperparameters={})


def newer():
    """The catalogue of a later version, whose every algorithm gives other models."""
    return {name: replace(one, version=one.version + 1) for name, one in ALGORITHMS.items()}


def test_another_algorithm_and_other_packages_are_named_with_the_difference(demo_home):
    platform = opened(demo_home)
    engines, interpreters = [], FakeInterpreters()

    def engine(workers):
        engines.append(OtherCode(platform.engine(workers)))
        return engines[-1]

    interpreters.packages[EnvironmentRef.parse("forecasting:1.0.0")] = ["numpy is 9.9.9"]
    changed = replace(platform, engine=engine, interpreters=interpreters)
    now = platform.clock.now()
    (view,) = views(platform, now)
    lines = reproduce(changed, view.release, now=now, algorithms=newer())

    asked = {job.circuit: job.spec.forecaster for job in engines[0].jobs}
    assert set(asked) == set(view.circuits)
    for line, circuit in zip(lines, view.circuits, strict=True):
        assert line.startswith(f"{circuit}: trains to other bytes; golden forecasts differ by")
        assert float(re.search(r"at most (\S+) of their mean", line)[1]) > 0
        assert "the stored model still gives its golden forecast here" in line
        name, before = asked[circuit], ALGORITHMS[asked[circuit]].version
        assert f"trained by {name} {before}, here it is {before + 1}" in line
        assert "this is not forecasting:1.0.0: numpy is 9.9.9" in line
        assert "\n" not in line


def test_where_nothing_of_the_release_changed_the_code_or_the_machine_did(demo_home):
    platform = opened(demo_home)
    now = platform.clock.now()
    (view,) = views(platform, now)
    changed = replace(
        platform,
        engine=lambda workers: OtherCode(platform.engine(workers)),
        interpreters=FakeInterpreters(),
    )
    lines = reproduce(changed, view.release, now=now)
    said = "algorithm and packages are those of the release, so the code or the machine differ"
    assert all(line.endswith(said) for line in lines)
    assert lines
