"""The daily batch asks a model for its golden forecast once, whichever process asks."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.forecast import predict
from mlops_assets.flows.ladder import Forecasting
from mlops_assets_tests.fakes import forecast as fakes
from mlops_assets_tests.fakes.serving import DAY, NOW, Production

C1, C2 = CircuitKey("P1", "C1"), CircuitKey("P1", "C2")


@dataclass
class FakeProvenModels:
    digests: frozenset[str] = frozenset()
    written: list[frozenset[str]] = field(default_factory=list)

    def known(self):
        return self.digests

    def remember(self, digests):
        self.digests = frozenset(digests)
        self.written.append(self.digests)


@pytest.fixture
def production():
    made = Production()
    made.prod = replace(made.prod, proven=FakeProvenModels())
    return made


@pytest.fixture
def asked(monkeypatch):
    """Count the golden forecasts."""
    found = []
    own = fakes.FakeFitted.reproduces_golden
    monkeypatch.setattr(
        fakes.FakeFitted, "reproduces_golden", lambda model: found.append(model) or own(model)
    )
    return found


def a_process(production, *, day=DAY, circuits=None):
    """Forecast as a process of its own does: with nothing in its memory."""
    fresh = Forecasting(load=fakes.load, seasonal_naive=fakes.naive)
    now = NOW + (day - DAY)
    return predict(
        production.lake,
        production.prod,
        production.registry,
        day=day,
        circuits=circuits,
        now=now,
        data_now=now,
        forecasting=fresh,
    )


def test_the_second_process_asks_no_model_again(production, asked):
    production.serve(C1)
    production.serve(C2, add=1.0)
    a_process(production)
    assert len(asked) == 2

    a_process(production, day=DAY + timedelta(days=1))

    assert len(asked) == 2


def test_a_model_that_was_not_reproduced_is_asked_every_time(production, asked):
    production.serve(C1, golden=False)
    for days in (0, 1):
        report = a_process(production, day=DAY + timedelta(days=days))

        assert "environment mismatch" in report.circuits[C1].fallback_reason
        assert len(asked) == days + 1
    assert production.prod.proven.digests == frozenset()


def test_where_anything_that_computes_is_another_every_model_is_asked(production, asked):
    production.serve(C1)
    a_process(production)
    production.prod.proven.digests = frozenset()  # what another environment knows

    a_process(production, day=DAY + timedelta(days=1))

    assert len(asked) == 2


def test_only_what_is_live_is_remembered_and_one_circuit_forgets_no_other(production, asked):
    production.serve(C1)
    production.serve(C2, add=1.0)
    production.prod.proven.digests = frozenset({"9" * 64})
    a_process(production)
    known = production.prod.proven.digests
    assert len(known) == 2
    assert "9" * 64 not in known

    a_process(production, day=DAY + timedelta(days=1), circuits=[C1])

    assert production.prod.proven.digests == known
