"""Invocations of a day: asked once, followed after a crash, asked again where one fell back."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from mlops_assets.domain.deployment import deployment_of
from mlops_assets.domain.errors import DataError, RefusedError
from mlops_assets.domain.forecast import Issue, Issued
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import ForecastValues
from mlops_assets.engines.azureml.answer import check_issued
from mlops_assets.engines.azureml.batch import AzureBatchEngine
from mlops_assets.engines.azureml.ordered import Patience
from mlops_assets.engines.azureml.request import (
    ScoreRequest,
    answer_bytes,
    read_answer,
    read_asked,
)
from mlops_assets_tests.fakes.deployment import an_entry
from mlops_assets_tests.fakes.remote import SCHEME, FakeExchange, FakeScoring

pytestmark = pytest.mark.azure

DAY = date(2024, 6, 24)
KEYS = [CircuitKey(f"P{plant}", f"C{number}") for plant in (1, 2) for number in (1, 2, 3)]


@dataclass(frozen=True)
class Work:
    """A day's batch that nobody does here."""

    live: dict = field(
        default_factory=lambda: {
            key: deployment_of(
                an_entry(key, digest="cd" * 32), release="r-0123456789ab", release_digest="ab" * 32
            )
            for key in KEYS
        }
    )
    day: date = DAY
    delta_version: int = 7

    def __call__(self, circuits):
        raise AssertionError("the endpoints do this")


class Endpoints(FakeScoring):
    """Answers with a level a circuit; those in ``falls`` and ``fails`` do."""

    def __init__(self, exchange, *, plants=False):
        super().__init__(exchange, self.answer, plants=plants)
        self.exchange, self.falls, self.fails = exchange, set(), set()

    def answer(self, data):
        place, asked = read_asked(data, "request")
        request = ScoreRequest.from_bytes(asked, "request")
        issued = [self.issued(each, request.day) for each in request.live.values()]
        self.exchange.put(place, answer_bytes(asked, issued))
        if any(each.issue is None for each in issued):
            raise DataError("as the script does")

    def issued(self, deployment, day=DAY):
        key = deployment.circuit
        if key in self.fails:
            return Issued(circuit=key, failed="no reading in the 14 days before 2024-06-24")
        level = np.full(24, float(key.circuit_id[1:]))
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        values = ForecastValues(start, timedelta(hours=1), *([level] * 5), approximate=False)
        issue = Issue(
            circuit=key,
            release=deployment.release,
            model_version=0 if key in self.falls else deployment.model_version,
            fallback="seasonal_naive" if key in self.falls else "none",
            fallback_reason="live model: damaged" if key in self.falls else "",
            values=values,
        )
        return Issued(circuit=key, issue=issue)


@pytest.fixture
def exchange():
    return FakeExchange()


@pytest.fixture
def endpoints(exchange):
    return Endpoints(exchange)


def engine(exchange, endpoints, **settings):
    usual = {"patience": Patience(first=0.001, longest=0.001, queue=0.01, cancel=0.01)}
    return AzureBatchEngine(exchange, endpoints, **(usual | settings))


def issued(exchange, endpoints, work=None, keys=KEYS, **settings):
    found = engine(exchange, endpoints, **settings).issue(work or Work(), keys)
    return {each.circuit: each for each in found}


def test_each_circuit_is_an_invocation_of_its_own_deployment(exchange, endpoints):
    found = issued(exchange, endpoints)
    assert [found[key].issue.values.value[0] for key in KEYS] == [1, 2, 3, 1, 2, 3]
    assert sorted(place for _, place in endpoints.invoked) == [
        f"plant-{key.plant_id}/{key.circuit_id}-a" for key in KEYS
    ]
    assert all(name.startswith("score-2024-06-24-") for name, _ in endpoints.invoked)


def test_a_deployment_that_serves_a_plant_is_asked_once_for_all_its_circuits(exchange):
    endpoints = Endpoints(exchange, plants=True)
    assert set(issued(exchange, endpoints)) == set(KEYS)
    assert sorted(place for _, place in endpoints.invoked) == [
        "plant-P1/plant-a",
        "plant-P2/plant-a",
    ]


def test_a_day_is_asked_once_for_the_same_models_and_readings(exchange, endpoints):
    for _ in range(3):
        assert set(issued(exchange, endpoints)) == set(KEYS)
    assert len(endpoints.invoked) == len(KEYS)
    issued(exchange, endpoints, replace(Work(), delta_version=8))
    assert len(endpoints.invoked) == 2 * len(KEYS)
    issued(exchange, endpoints, replace(Work(), day=DAY + timedelta(days=1)))
    assert len(endpoints.invoked) == 3 * len(KEYS)


def test_what_fell_back_or_failed_is_told_and_asked_again_by_the_next_batch(exchange, endpoints):
    endpoints.falls, endpoints.fails = {KEYS[0]}, {KEYS[1]}
    first = issued(exchange, endpoints)
    assert first[KEYS[0]].issue.fallback == "seasonal_naive"
    assert first[KEYS[1]].failed == "no reading in the 14 days before 2024-06-24"
    endpoints.falls = endpoints.fails = set()
    second = issued(exchange, endpoints)
    assert {key: each.issue.fallback for key, each in second.items()} == dict.fromkeys(KEYS, "none")
    assert len(endpoints.invoked) == len(KEYS) + 2
    assert len({name for name, _ in endpoints.invoked}) == len(KEYS) + 2


def test_a_batch_that_was_killed_finds_what_it_had_asked(exchange, endpoints):
    endpoints.falls = set(KEYS)
    results = engine(exchange, endpoints, at_once=1).issue(Work(), KEYS[:1])
    next(results)
    # Killed here, before anything was stored: the answer still counts.
    assert issued(exchange, endpoints, keys=KEYS[:1])[KEYS[0]].issue.fallback == "seasonal_naive"
    assert len(endpoints.invoked) == 1


def test_an_invocation_that_is_lost_is_asked_again_alone_and_then_said(exchange, endpoints):
    issued(exchange, endpoints)
    names = {place: name.removesuffix("-1") for name, place in endpoints.invoked}
    again = Endpoints(FakeExchange())
    first, second = names["plant-P1/C1-a"], names["plant-P1/C2-a"]
    again.dead = {f"{first}-1", f"{second}-1", f"{second}-2"}
    found = issued(again.exchange, again)
    assert found[KEYS[0]].issue is not None
    assert found[KEYS[1]].failed == (
        f"its invocation was lost ({second}-2 failed without an outcome); predict again"
    )
    assert len(again.invoked) == len(KEYS) + 2


def test_a_circuit_that_nothing_serves_is_named_and_stops_no_other(exchange, endpoints):
    place = endpoints.place

    def refusing(deployment):
        if deployment.circuit == KEYS[3]:
            raise RefusedError("E_NOT_PREPARED", "P2/C1: nothing serves it")
        return place(deployment)

    endpoints.place = refusing
    found = issued(exchange, endpoints)
    assert found[KEYS[3]].failed == "P2/C1: nothing serves it"
    assert sum(each.issue is not None for each in found.values()) == len(KEYS) - 1


def test_invocations_in_flight_are_bounded(exchange, endpoints):
    invoke, lock, open_now, most = endpoints.invoke, threading.Lock(), [0], [0]
    together = threading.Barrier(3, timeout=60)

    def slow(name, place, *, request):
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        together.wait()
        with lock:
            open_now[0] -= 1
        return invoke(name, place, request=request)

    endpoints.invoke = slow
    assert len(issued(exchange, endpoints, at_once=3)) == len(KEYS)
    assert most[0] == 3


def test_a_name_that_the_service_draws_itself_is_followed_and_after_a_crash_asked_anew(
    exchange, endpoints
):
    invoke, look = endpoints.invoke, endpoints.look
    endpoints.invoke = lambda name, place, *, request: invoke(
        f"drawn-{name}", place, request=request
    )
    endpoints.look = lambda name: look(name) if name.startswith("drawn-") else None
    endpoints.falls = {KEYS[0]}
    results = engine(exchange, endpoints).issue(Work(), KEYS[:1])
    assert next(results).issue.fallback == "seasonal_naive"
    # Killed here. The answer that lies there has no job by a name of ours, so it is nobody's.
    assert issued(exchange, endpoints, keys=KEYS[:1])[KEYS[0]].issue is not None
    assert [name[-2:] for name, _ in endpoints.invoked] == ["-1", "-2"]


def test_an_invocation_that_never_ends_is_cancelled_and_told(exchange, endpoints):
    def look(name):
        found = FakeScoring.look(endpoints, name)
        waits = found is not None and found.status == "completed"
        return replace(found, status="waiting") if waits else found

    endpoints.look = look
    endpoints._answer = lambda data: None
    found = issued(exchange, endpoints, keys=KEYS[:1])
    assert "for a machine and was cancelled" in found[KEYS[0]].failed
    assert set(endpoints.states.values()) == {"cancelled"}


def test_an_answer_to_another_request_or_of_other_circuits_is_refused():
    data = answer_bytes(b"request", [Issued(circuit=KEYS[0], failed="x")])
    assert read_answer(data, b"request", "answer")[0].failed == "x"
    with pytest.raises(DataError, match="answer: answers another request"):
        read_answer(data, b"other", "answer")
    with pytest.raises(DataError, match="answer: is not what a batch endpoint answers"):
        read_answer(data[:-7], b"request", "answer")


def test_an_invocation_is_given_one_file_that_names_no_secret(exchange, endpoints):
    issued(exchange, endpoints, keys=KEYS[:1])
    (file,) = [name for name in exchange.files if "/asked/" in name]
    place, asked = read_asked(exchange.files[file], "request")
    request = ScoreRequest.from_bytes(asked, "request")
    assert (request.delta_version, request.day) == (7, DAY)
    # Where to read and to write is nothing that a request may say.
    assert set(json.loads(asked)) == {"format", "delta_version", "day", "live"}
    assert list(request.live) == KEYS[:1]
    assert place == file.replace("asked/request", "outcome/outcome")
    assert SCHEME not in place
    assert len(asked) < 20_000


def with_values(issue, **changes):
    return replace(issue, values=replace(issue.values, **changes))


FORGED = {
    "release": lambda i: replace(i, release="r-ffffffffffff"),
    "circuit": lambda i: replace(i, circuit=CircuitKey("P9", "C9")),
    "version": lambda i: replace(i, model_version=i.model_version + 1),
    "a rung that nobody signed": lambda i: replace(
        i, fallback="previous_model", model_version=2, fallback_reason="x"
    ),
    "no rung at all": lambda i: replace(i, fallback="mine", fallback_reason="x"),
    "a fall without a reason": lambda i: replace(i, fallback="seasonal_naive", model_version=0),
    "a reason without a fall": lambda i: replace(i, fallback_reason="x"),
    "beyond the limits": lambda i: with_values(i, value=i.values.value + 10**7),
    "no number": lambda i: with_values(i, hi_95=np.full(24, np.nan)),
    "words": lambda i: with_values(i, value=["a"] * 24),
    "rows too few": lambda i: with_values(i, value=i.values.value[:-1]),
    "another day": lambda i: with_values(i, start=i.values.start + timedelta(days=1)),
    "an hour more": lambda i: replace(
        i,
        values=ForecastValues(
            i.values.start - timedelta(hours=1),
            i.values.step,
            *[np.ones(25)] * 5,
            approximate=False,
        ),
    ),
    "another step": lambda i: with_values(i, step=timedelta(minutes=15)),
    "no forecast": lambda i: i.values,
}


@pytest.mark.parametrize("forgery", FORGED)
def test_an_answer_that_is_nothing_that_was_signed_is_used_by_nobody(exchange, forgery):
    work = Work()
    limited = replace(work.live[KEYS[0]].serving, minimum="0", maximum="1000000")
    work.live[KEYS[0]] = replace(work.live[KEYS[0]], serving=limited)
    endpoints = Endpoints(exchange)
    honest = endpoints.issued
    endpoints.issued = lambda *given: replace(
        found := honest(*given), issue=FORGED[forgery](found.issue)
    )
    found = issued(exchange, endpoints, work, keys=KEYS[:1])[KEYS[0]]
    assert found.issue is None
    assert found.failed.startswith("its invocation was lost (scoring/2024-06-24/plant-P1/C1-a/")
    assert "find out who wrote it" in found.failed
    assert "\n" not in found.failed


def test_an_answer_that_lies_there_before_anything_was_asked_is_not_taken(exchange, endpoints):
    issued(exchange, endpoints, keys=KEYS[:1])
    (place,) = [name for name in exchange.files if name.endswith("/1/outcome/outcome")]
    elsewhere = FakeExchange()
    elsewhere.files[place] = exchange.files[place]
    others = Endpoints(elsewhere)
    assert issued(elsewhere, others, keys=KEYS[:1])[KEYS[0]].issue is not None
    assert [name[-2:] for name, _ in others.invoked] == ["-2"]


@pytest.mark.parametrize("told", [None, 7, [7], [KEYS[0]]])
def test_bytes_that_tell_of_no_circuits_are_one_line(told):
    with pytest.raises(DataError, match="answer: tells of no circuits"):
        check_issued(told, Work(), KEYS[:1], "answer")


def test_the_same_circuit_told_twice_is_not_another_s_answer(endpoints):
    twice = [endpoints.issued(Work().live[KEYS[0]])] * 2
    with pytest.raises(DataError, match="tells of other circuits than were asked for"):
        check_issued(twice, Work(), KEYS[:2], "answer")
