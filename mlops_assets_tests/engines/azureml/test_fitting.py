"""Fits that are ordered elsewhere: nothing twice, failures alone, and an end to every wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from mlops_assets.adapters.local.slots import LocalTrainingSlots
from mlops_assets.domain.errors import DataError, EngineError, ModelError
from mlops_assets.engines.azureml.fit_job import FitOrder, outcome_bytes
from mlops_assets.engines.azureml.fitting import AzureFittingEngine
from mlops_assets.engines.azureml.ordered import Patience
from mlops_assets.ports.remote import RemoteState
from mlops_assets_tests.engines.test_processes import job, named
from mlops_assets_tests.fakes.engine import FakeTrainingSlots, cheap_fit
from mlops_assets_tests.fakes.remote import SCHEME, FakeExchange

pytestmark = pytest.mark.azure


class Cluster:
    """Machines on which time passes only while somebody waits.

    A job waits for a machine for ``queue`` seconds and runs for ``runs``; a name in ``dead`` then
    ends without an outcome, and one that is cancelled keeps its machine for ``ends`` seconds more.
    ``down`` refuses every question.
    """

    def __init__(self, exchange, *, queue=0, runs=30, ends=40):
        self.exchange, self.queue, self.runs, self.ends = exchange, queue, runs, ends
        self.now = 0.0
        self.dead, self.down = set(), False
        self.submitted, self.cancelled, self.looks = {}, {}, []
        self.most = 0
        self._lock = threading.Lock()

    def sleep(self, seconds):
        with self._lock:
            self.now += seconds

    def submit(self, name, job, *, order, outcome, seconds):
        assert name not in self.submitted
        self.submitted[name] = (self.now, job, order, outcome)
        self.most = max(self.most, sum(not self.look(each).over for each in tuple(self.submitted)))

    def look(self, name):
        if self.down:
            raise EngineError(f"asking after job {name}: Azure cannot be reached; run it again")
        self.looks.append(name)
        if name not in self.submitted:
            return None
        began, each, order, outcome = self.submitted[name]
        if name in self.cancelled:
            over = self.now >= self.cancelled[name] + self.ends
            return RemoteState(status="cancelled" if over else "running", page=f"https://ml/{name}")
        if self.now < began + self.queue:
            return RemoteState(status="waiting")
        if self.now < began + self.queue + self.runs:
            return RemoteState(status="running")
        if name in self.dead:
            return RemoteState(status="failed", page=f"https://ml/{name}")
        self._leave(each, order.removeprefix(SCHEME), outcome.removeprefix(SCHEME))
        return RemoteState(status="completed")

    def cancel(self, name):
        self.cancelled.setdefault(name, self.now)

    def _leave(self, each, order, outcome):
        try:
            found = cheap_fit(each) if each.circuit.circuit_id != "REFUSES" else refused()
        except ModelError as error:
            found = str(error)
        self.exchange.put(f"{outcome}/outcome", outcome_bytes(self.exchange.files[order], found))


def refused():
    raise ModelError("nothing but gaps")


@pytest.fixture
def exchange():
    return FakeExchange()


def engine(exchange, cluster, *, workers=2, slots=None, **settings):
    usual = {"patience": Patience(first=5, longest=60, queue=3600), "sleep": cluster.sleep}
    return AzureFittingEngine(
        workers, slots or FakeTrainingSlots(), exchange, cluster, **(usual | settings)
    )


def test_a_crash_at_any_moment_orders_nothing_twice_and_the_next_call_hands_on(exchange):
    cluster = Cluster(exchange)
    for _ in range(3):
        results = engine(exchange, cluster).fit([job("A")])
        assert next(results)[1].files == cheap_fit(job("A")).files
        # Left here as by a kill: the generator hears nothing more.
    assert len(cluster.submitted) == 1


def test_what_was_handed_on_is_done_again_for_whoever_asks_later(exchange):
    cluster = Cluster(exchange)
    for number in (1, 2):
        assert named(engine(exchange, cluster).fit([job("A")]))["A"].circuit.circuit_id == "A"
        assert len(cluster.submitted) == number
    assert [name[-2:] for name in cluster.submitted] == ["-1", "-2"]


def test_a_lost_job_is_ordered_again_alone_and_then_said(exchange):
    cluster = Cluster(exchange)
    dead = named_of(job("A"))
    cluster.dead = {f"{dead}-1"}
    found = named(engine(exchange, cluster).fit([job("A"), job("B")]))
    assert found["A"].circuit.circuit_id == "A"
    assert sorted(name[-2:] for name in cluster.submitted) == ["-1", "-1", "-2"]
    cluster.dead = {f"{dead}-3", f"{dead}-4"}
    assert named(engine(exchange, cluster).fit([job("A")]))["A"] == (
        f"its job was lost ({dead}-4 failed without an outcome; see https://ml/{dead}-4); "
        "train it again"
    )


def named_of(each):
    """The first part of a job's name, as the engine makes it."""
    found = Cluster(FakeExchange())
    list(engine(found.exchange, found).fit([each]))
    (name,) = found.submitted
    return name.removesuffix("-1")


def test_a_refusal_is_told_again_until_it_was_heard_and_then_tried_again(exchange):
    cluster = Cluster(exchange)
    results = engine(exchange, cluster).fit([job("REFUSES")])
    assert next(results)[1] == "nothing but gaps"
    assert named(engine(exchange, cluster).fit([job("REFUSES")])) == {"REFUSES": "nothing but gaps"}
    assert len(cluster.submitted) == 1
    list(engine(exchange, cluster).fit([job("REFUSES")]))
    assert len(cluster.submitted) == 2


def together(cluster, threads):
    """A sleep in which time first passes when so many threads wait for it."""
    all_wait, here = threading.Barrier(threads, timeout=60), threading.local()

    def sleep(seconds):
        if not getattr(here, "waited", False):
            here.waited = True
            all_wait.wait()
        cluster.sleep(seconds)

    return sleep


def test_two_at_once_who_ask_for_the_same_fit_follow_one_job(exchange):
    cluster = Cluster(exchange, runs=100)
    sleep = together(cluster, 2)

    def ask(_):
        return named(engine(exchange, cluster, sleep=sleep).fit([job("A")]))["A"].files

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    assert first == second
    assert len(cluster.submitted) == 1
    assert all(name.endswith("/lock") for name in exchange.locks)


def test_as_many_are_in_flight_as_workers_and_each_holds_a_slot(exchange):
    cluster, slots = Cluster(exchange, runs=50), FakeTrainingSlots()
    jobs = [job(f"C{number}") for number in range(12)]
    fits = engine(exchange, cluster, workers=5, slots=slots, sleep=together(cluster, 5))
    assert len(named(fits.fit(jobs))) == 12
    assert cluster.most == 5
    assert slots.most == 5
    assert slots.held == 0


def test_a_slot_whose_holder_was_killed_is_free_when_its_job_is_over(exchange, tmp_path):
    cluster, slots = Cluster(exchange, runs=500), LocalTrainingSlots(tmp_path, 1)
    exchange.put("slots/0/fit-p001-orphan-1", b"")
    cluster.submit("fit-p001-orphan-1", job("A"), order=order_in(exchange), outcome="o", seconds=9)
    exchange.put("slots/0/fit-p001-never-1", b"")
    found = named(engine(exchange, cluster, slots=slots).fit([job("B")]))
    assert found["B"].circuit.circuit_id == "B"
    began = [at for name, (at, *_) in cluster.submitted.items() if "-b-" in name]
    assert began[0] >= 500
    assert cluster.cancelled == {}
    assert not any(name.startswith("slots/") for name in exchange.files)


def order_in(exchange):
    """Some order that lies in the exchange."""
    exchange.put("some/order", b"an order")
    return exchange.uri("some/order")


def test_what_is_in_flight_is_said_beside_its_slot_until_it_is_over(exchange):
    cluster, seen = Cluster(exchange), []
    sleep = cluster.sleep

    def looking(seconds):
        seen.extend(name for name in tuple(exchange.files) if name.startswith("slots/"))
        sleep(seconds)

    list(engine(exchange, cluster, sleep=looking).fit([job("A")]))
    (name,) = cluster.submitted
    assert set(seen) == {f"slots/0/{name}"}
    assert not any(each.startswith("slots/") for each in exchange.files)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (
            {"queue": 10**6},
            "waited 1 hours for a machine and was cancelled; look at the nodes and the quota",
        ),
        ({"runs": 10**6}, "ran for more than 1000 s and was cancelled"),
    ],
)
def test_a_job_that_takes_too_long_is_cancelled(exchange, shape, why):
    cluster = Cluster(exchange, **shape)
    found = named(engine(exchange, cluster, timeout_seconds=100, attempts=1).fit([job("A")]))
    assert why in found["A"]
    assert list(cluster.cancelled) == list(cluster.submitted)


def test_a_cancelled_job_is_over_before_its_next_attempt_begins(exchange):
    cluster = Cluster(exchange, runs=10**6, ends=300)
    jobs = [job(f"C{number}") for number in range(4)]
    fits = engine(exchange, cluster, timeout_seconds=100, sleep=together(cluster, 2))
    found = named(fits.fit(jobs))
    assert all("ran for more than 1000 s" in why for why in found.values())
    assert len(cluster.submitted) == 8
    assert cluster.most == 2


def test_a_job_that_is_cancelled_and_goes_on_gets_no_second_attempt_beside_it(exchange):
    cluster = Cluster(exchange, runs=10**6, ends=10**7)
    found = named(engine(exchange, cluster, timeout_seconds=100).fit([job("A")]))
    (name,) = cluster.submitted
    assert found["A"] == (
        f"its job was lost ({name} ran for more than 1000 s and was cancelled, but goes on 30 "
        f"minutes later; see https://ml/{name}); train it again"
    )


def test_a_fleet_without_a_machine_is_told_after_one_patience_and_not_one_by_one(exchange, caplog):
    cluster = Cluster(exchange, queue=10**6)
    jobs = [job(f"C{number}") for number in range(20)]
    found = named(engine(exchange, cluster, workers=5, sleep=together(cluster, 5)).fit(jobs))
    assert len(cluster.submitted) == 5
    said = sorted(found.values())
    assert sum("waited 1 hours for a machine" in why for why in said) == 5
    assert said[-1] == (
        "was not ordered: the jobs before it got no machine; see to the cluster's nodes and quota, "
        "then train it again"
    )
    assert "has waited 30 minutes for a machine; it is cancelled after 1 hours" in caplog.text


class Slots(FakeTrainingSlots):
    """Slots that fail when they are taken, as ``broken`` says, or when they are given back."""

    def __init__(self, *, taken="", given=""):
        super().__init__()
        self.taken, self.given = taken, given

    @contextmanager
    def take(self):
        if self.taken:
            raise DataError(self.taken)
        with super().take() as number:
            yield number
        if self.given:
            raise DataError(self.given)


def test_a_slot_that_cannot_be_taken_fails_its_circuits_and_ends_the_wait(exchange):
    away = "dev/locks/training/turn: cannot be locked: connection refused; check the network"
    fits = engine(exchange, Cluster(exchange), slots=Slots(taken=away))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: named(fits.fit([job("A"), job("B"), job("C")])))
        told = found.result(timeout=60)
    assert told == dict.fromkeys("ABC", f"could not take a training slot: {away}; train it again")


def test_a_fit_that_is_done_counts_though_its_slot_cannot_be_given_back(exchange):
    fits = engine(exchange, Cluster(exchange), slots=Slots(given="away"))
    assert named(fits.fit([job("A")]))["A"].circuit.circuit_id == "A"


def test_an_outcome_that_cannot_be_marked_as_heard_stops_no_other_circuit(exchange, caplog):
    put = exchange.put

    def full(name, data):
        if name.endswith("/spent"):
            raise DataError(f"{name}: cannot be written; check the account")
        put(name, data)

    exchange.put = full
    found = named(engine(exchange, Cluster(exchange)).fit([job("A"), job("B")]))
    assert set(found) == {"A", "B"}
    assert "P001/A: its outcome stays and would be taken again" in caplog.text


def test_an_outcome_that_no_job_has_left_is_not_taken(exchange):
    cluster = Cluster(exchange)
    list(engine(exchange, cluster).fit([job("A")]))
    planted = {name: data for name, data in exchange.files.items() if not name.endswith("/spent")}
    again = FakeExchange()
    again.files |= planted
    other = Cluster(again)
    found = named(engine(again, other).fit([job("A")]))
    assert found["A"].circuit.circuit_id == "A"
    assert [name[-2:] for name in other.submitted] == ["-2"]


def test_an_orphan_that_never_gets_a_machine_does_not_keep_its_slot_for_ever(
    exchange, tmp_path, caplog
):
    cluster, slots = Cluster(exchange, queue=10**6), LocalTrainingSlots(tmp_path, 1)
    exchange.put("slots/0/fit-p001-orphan-1", b"")
    cluster.submit("fit-p001-orphan-1", job("A"), order=order_in(exchange), outcome="o", seconds=9)
    submit = cluster.submit

    def from_now_on(*given, **named):
        cluster.queue = 0
        submit(*given, **named)

    cluster.submit = from_now_on
    found = named(engine(exchange, cluster, slots=slots).fit([job("B")]))
    assert found["B"].circuit.circuit_id == "B"
    assert list(cluster.cancelled) == ["fit-p001-orphan-1"]
    assert "training slot 0 waits for job fit-p001-orphan-1, whose run has ended" in caplog.text
    assert "its training slot is free for others" in caplog.text


def test_questions_come_ever_more_rarely(exchange):
    cluster = Cluster(exchange, runs=3000)
    named(engine(exchange, cluster).fit([job("A")]))
    assert len(cluster.looks) < 70


def test_an_outage_fails_the_circuit_and_not_the_job(exchange):
    cluster = Cluster(exchange)
    results = engine(exchange, cluster).fit([job("A")])
    cluster.down = True
    assert named(results)["A"].endswith("Azure cannot be reached; run it again")
    cluster.down = False
    assert named(engine(exchange, cluster).fit([job("A")]))["A"].circuit.circuit_id == "A"
    assert cluster.cancelled == {}


def test_what_retention_removed_is_done_again(exchange):
    cluster = Cluster(exchange)
    for _ in range(3):
        list(engine(exchange, cluster).fit([job("A")]))
    # Azure ML knows the jobs for ever; what they left, and that it was heard, is gone.
    exchange.files.clear()
    cluster._leave = lambda *_: None
    assert (
        "-5 completed without an outcome" in named(engine(exchange, cluster).fit([job("A")]))["A"]
    )
    assert [name[-2:] for name in cluster.submitted] == ["-1", "-2", "-3", "-4", "-5"]


def test_storage_that_is_away_spends_no_attempt(exchange):
    cluster = Cluster(exchange)
    get = exchange.get

    def away(name):
        raise DataError(f"{name}: cannot be read; check the network")

    exchange.get = away
    found = named(engine(exchange, cluster).fit([job("A")]))
    assert found["A"].endswith("cannot be read; check the network")
    exchange.get = get
    assert not any(name.endswith("spent") for name in exchange.files)


def test_an_outcome_of_another_order_is_not_taken(exchange):
    cluster = Cluster(exchange)
    folder = named_of(job("A")).split("-")[-1]
    other = outcome_bytes(b"another", cheap_fit(job("A")))
    cluster._leave = lambda _job, _order, outcome: exchange.put(f"{outcome}/outcome", other)
    found = named(engine(exchange, cluster).fit([job("A")]))
    assert found["A"] == (
        f"its job was lost (fits/P001/A/{folder}/2/outcome: answers another order; remove it and "
        "train again); train it again"
    )


def test_bytes_that_are_no_outcome_are_one_line(exchange):
    cluster = Cluster(exchange)
    folder = named_of(job("A")).split("-")[-1]
    cluster._leave = lambda _job, _order, outcome: exchange.put(
        f"{outcome}/outcome", b"PK\3\4 torn"
    )
    found = named(engine(exchange, cluster).fit([job("A")]))
    assert found["A"].startswith(
        f"its job was lost (fits/P001/A/{folder}/2/outcome: is not the outcome of a fit"
    )
    assert "\n" not in found["A"]


def test_an_order_says_its_limits_so_that_raising_one_is_another_order(exchange):
    cluster = Cluster(exchange)
    for seconds in (100, 200):
        list(engine(exchange, cluster, timeout_seconds=seconds).fit([job("A")]))
    assert {name[-2:] for name in cluster.submitted} == {"-1"}
    assert len(cluster.submitted) == 2


def test_an_order_arrives_whole():
    sent = FitOrder(job=job("A"), fit_function="m:f", timeout_seconds=1.5, memory_bytes=7)
    found = FitOrder.from_bytes(sent.to_bytes(), "order")
    assert (found.fit_function, found.timeout_seconds, found.memory_bytes) == ("m:f", 1.5, 7)
    assert found.job.spec == sent.job.spec
    assert found.to_bytes() == sent.to_bytes()
