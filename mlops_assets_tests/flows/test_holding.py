"""What is held while deployments are made ready, which takes minutes: their plants, no ledger."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from mlops_assets.domain.errors import EngineError, RefusedError, StaleError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.incident import PLATFORM
from mlops_assets.flows.audit import verify
from mlops_assets.flows.rollback import rollback
from mlops_assets_tests.fakes.release import C1, C2, MANAGER, ReleaseHome

OTHER = CircuitKey("P002", "C001")
MOMENT, LONG = 0.2, 60.0


class Slow:
    """Production endpoints on which some circuits take as long to be made ready as is wished."""

    def __init__(self, home, *circuits):
        self.began, self.goes_on = threading.Event(), threading.Event()
        endpoints = home.production.prod.endpoints
        through = endpoints.prepare

        def prepare(deployments):
            if {each.circuit for each in deployments} & set(circuits):
                self.began.set()
                assert self.goes_on.wait(LONG)
            return through(deployments)

        endpoints.prepare = prepare

    @contextmanager
    def meanwhile(self, work):
        """Do some work that is slow in a thread, and go on once it makes ready."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            try:
                assert self.began.wait(LONG)
                yield done
            finally:
                self.goes_on.set()


@pytest.fixture
def home():
    """Two plants with a way back each."""
    made = ReleaseHome(C1, C2, OTHER)
    made.deployed()
    made.edit(C1, C2, OTHER)
    made.deployed()
    return made


def signed(home, *circuits):
    """A release that only waits to be deployed."""
    home.edit(*circuits)
    made = home.tested(*circuits)
    assert home.approve(made, "production", MANAGER).accepted
    return made


def roll(home, *circuits, **named):
    who = {"operator": "op@co.example", "reason": "worse", "now": home.now} | named
    return rollback(home.platform, circuits, **who)


def within_a_moment(work):
    """Do something in another thread, as another process would, and say whether it was done."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(LONG)


def test_while_one_plant_is_deployed_others_are_rolled_back_and_people_decide(home):
    made = signed(home, C1)
    before = home.live(OTHER)
    slow = Slow(home, C1)
    with slow.meanwhile(lambda: home.promote(made, "production")) as deploying:
        report = within_a_moment(lambda: roll(home, OTHER))
        assert report.circuits == (OTHER,)
        assert home.live(OTHER) != before
        home.edit(C2)
        second = within_a_moment(lambda: home.registered(C2))
        assert home.state(second) == "registered"
        assert not deploying.done()
        assert home.state(made) == "awaiting_production"
    assert deploying.result(LONG).state == "deployed"
    assert home.live(C1) == made
    assert verify(home.platform, now=home.now)["problems"] == []


def test_while_one_plant_is_rolled_back_others_are_deployed(home):
    made = signed(home, OTHER)
    slow = Slow(home, C1)
    with slow.meanwhile(lambda: roll(home, C1)) as rolling:
        assert within_a_moment(lambda: home.promote(made, "production")).state == "deployed"
        assert not rolling.done()
    assert rolling.result(LONG).circuits == (C1,)
    assert verify(home.platform, now=home.now)["problems"] == []


def test_a_rollback_of_a_plant_that_is_deployed_comes_after_it(home):
    before, made = home.live(C1), signed(home, C1)
    slow = Slow(home, C1)
    with ThreadPoolExecutor(1) as pool:
        with slow.meanwhile(lambda: home.promote(made, "production")):
            rolling = pool.submit(lambda: roll(home, C1))
            with pytest.raises(TimeoutError):
                rolling.result(MOMENT)
        report = rolling.result(LONG)
    assert (report.from_, report.to) == ({C1: made}, {C1: before})
    assert home.ledger.events()[-2:] == ["deployed", "rolled_back"]


def test_a_deployment_of_a_plant_that_is_rolled_back_finds_its_base_gone(home):
    made = signed(home, C1)
    slow = Slow(home, C1)
    with ThreadPoolExecutor(1) as pool:
        with slow.meanwhile(lambda: roll(home, C1)):
            deploying = pool.submit(lambda: home.promote(made, "production"))
            with pytest.raises(TimeoutError):
                deploying.result(MOMENT)
        with pytest.raises(RefusedError) as caught:
            deploying.result(LONG)
    assert caught.value.code == "E_STALE_BASE"
    assert "consumed" not in home.ledger.events()[-2:]


def test_one_release_promoted_twice_is_deployed_once_however_long_it_takes(home):
    made = signed(home, C1)
    slow = Slow(home, C1)
    with ThreadPoolExecutor(1) as pool:
        with slow.meanwhile(lambda: home.promote(made, "production")) as first:
            second = pool.submit(lambda: home.promote(made, "production"))
            with pytest.raises(TimeoutError):
                second.result(MOMENT)
        assert (first.result(LONG).circuits, second.result(LONG).circuits) == ((C1,), ())
    assert home.ledger.events().count("deployed") == 3


def test_what_cannot_be_made_ready_is_recorded_and_holds_nothing(home):
    before, made = home.live(C1), signed(home, C1)
    endpoints = home.production.prod.endpoints
    endpoints.broken = {"P001": "P001/C001 is not ready: it is being changed for 15 minutes"}
    with pytest.raises(EngineError, match="every plant serves what it did"):
        home.promote(made, "production")
    assert (home.state(made), home.live(C1)) == ("errored", before)
    endpoints.broken = {}
    assert within_a_moment(lambda: home.promote(made, "production")).state == "deployed"


def test_a_killed_rollback_is_finished_before_its_plant_is_deployed(home):
    made = signed(home, C1)
    endpoints, swap = home.production.prod.endpoints, home.production.prod.endpoints.swap

    def killed(*_):
        raise KeyboardInterrupt

    endpoints.swap = killed
    with pytest.raises(KeyboardInterrupt):
        roll(home, C1)
    endpoints.swap = swap
    with pytest.raises(RefusedError) as caught:
        home.promote(made, "production")
    assert caught.value.code == "E_STALE_BASE"
    assert verify(home.platform, now=home.now)["problems"] == []


def test_the_platform_goes_back_from_a_release_once_also_when_two_of_it_try(home):
    live = home.live(C1)
    slow = Slow(home, C1)
    automatic = {"operator": PLATFORM, "only_from": live}
    with slow.meanwhile(lambda: roll(home, C1, **automatic)) as first:
        assert within_a_moment(lambda: roll(home, OTHER, **automatic)).circuits == (OTHER,)
    with pytest.raises(StaleError, match=f"went back from {live} meanwhile; nothing was done"):
        first.result(LONG)
    assert home.live(C1) == live


def test_a_target_that_was_removed_while_it_was_made_ready_is_not_gone_back_to(home):
    live = home.live(C1)
    target = home.production.prod.endpoints.live("P001").of(C1).replaces
    gone = home.production.prod.endpoints.recorded(C1, target)
    slow = Slow(home, C1)
    with slow.meanwhile(lambda: roll(home, C1)) as rolling:
        home.ledger.append("collected", PLATFORM, {"things": []}, home.now)
        del home.registry.models.records[C1, gone.model_version]
    with pytest.raises(Exception, match="there is no such version"):
        rolling.result(LONG)
    assert home.live(C1) == live
