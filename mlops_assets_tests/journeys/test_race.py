"""Two releases of one circuit deployed at once: exactly one does, the other learns why not.

Every race runs on a fresh copy of a home on disk, through the real adapters: half of them two
threads with a platform each, half two processes. CI runs 10 races; ``make races`` runs 200
(``MLOPS_RACES``).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows import release
from mlops_assets.flows.audit import verify
from mlops_assets.flows.plan import config_at
from mlops_assets_tests.journeys.command import mlops_process
from mlops_assets_tests.journeys.people import (
    approve,
    created,
    opened,
    promoted,
    retired_and_back,
)

SEED = 20250417
RACES = int(os.environ.get("MLOPS_RACES", "10"))
C1, C2 = CircuitKey("P001", "C001"), CircuitKey("P001", "C002")


@pytest.fixture(scope="module")
def rivals(made_demo, tmp_path_factory):
    """A home in which two circuits were retired, and two signed releases want the first back."""
    root = Path(tmp_path_factory.mktemp("rivals") / "home")
    shutil.copytree(made_demo[0], root, symlinks=True)
    retired_and_back(root, C1, C2)
    both, one = created(root, C1, C2), created(root, C1)
    for made in (both, one):
        promoted(root, made, "registry", "test")
        approve(root, made, "production")
    shutil.rmtree(root / "dagster")
    return root, both, one


def run(root: Path, made: str, start, seconds: float) -> tuple[str, str, tuple[str, ...]]:
    """Deploy a release once ``start`` lets everybody go; returns what this one was told."""
    platform = opened(root)
    config = config_at(platform)
    start.wait(60)
    time.sleep(seconds)
    try:
        done = release.promote(platform, config, made, "production", now=platform.clock.now())
    except RefusedError as error:
        return error.code, error.reason, ()
    return done.state, "", tuple(str(circuit) for circuit in done.circuits)


def runner(pipe, start) -> None:
    """A process that runs what it is sent until it is sent nothing."""
    while (sent := pipe.recv()) is not None:
        pipe.send(run(Path(sent[0]), sent[1], start, sent[2]))


class Processes:
    """Two processes that stay, because starting one costs more than a race."""

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.start = context.Barrier(2)
        self.pipes, self.children = [], []
        for _ in range(2):
            ours, theirs = context.Pipe()
            child = context.Process(target=runner, args=(theirs, self.start), daemon=True)
            child.start()
            self.pipes.append(ours)
            self.children.append(child)

    def __call__(self, root, names, delays):
        for pipe, name, delay in zip(self.pipes, names, delays, strict=True):
            pipe.send((str(root), name, delay))
        for pipe in self.pipes:
            assert pipe.poll(120), "a racer does not answer"
        return [pipe.recv() for pipe in self.pipes]

    def stop(self):
        for pipe, child in zip(self.pipes, self.children, strict=True):
            pipe.send(None)
            child.join(30)


def threads(root, names, delays):
    """The same in two threads."""
    start, told = threading.Barrier(2), [None, None]

    def racer(place):
        told[place] = run(root, names[place], start, delays[place])

    both = [threading.Thread(target=racer, args=(place,)) for place in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    return told


@pytest.fixture(scope="module")
def processes():
    made = Processes()
    yield made
    made.stop()


def live_of(root):
    """Which release serves each circuit."""
    platform = opened(root)
    live = platform.prod.endpoints.live("P001").live.values()
    return {deployment.circuit: deployment.release for deployment in live}


def events(root, event):
    """The releases that the ledger says this of."""
    return [
        entry.data["release"] for entry in opened(root).ledger.entries() if entry.event == event
    ]


def whole(root):
    """The audit log, its anchors and everything deployed verify."""
    platform = opened(root)
    assert verify(platform, now=platform.clock.now())["problems"] == []


def test_of_two_releases_raced_exactly_one_deploys(rivals, processes, tmp_path):
    home, both, one = rivals
    before, deployed_before = live_of(home), events(home, "deployed")
    chance, winners = random.Random(SEED), set()
    print(f"seed {SEED}, {RACES} races")
    for number in range(RACES):
        root = Path(shutil.copytree(home, tmp_path / f"race-{number}", symlinks=True))
        # Whoever comes first wins by far: a head start of some milliseconds lets either.
        delays = [chance.uniform(0, 0.02), chance.uniform(0, 0.02)]
        race = (threads, processes)[number % 2]
        told = dict(zip((both, one), race(root, (both, one), delays), strict=True))
        (winner,) = [name for name, (state, _, _) in told.items() if state == "deployed"]
        loser = one if winner == both else both
        winners.add(winner)
        circuits = (C1, C2) if winner == both else (C1,)
        assert told[winner][2] == tuple(map(str, circuits))
        code, reason, _ = told[loser]
        assert code in {"E_STATE", "E_STALE_BASE"}, (code, reason)
        assert f"{winner} deployed first" in reason or f"{winner} is live" in reason, reason
        assert live_of(root) == before | dict.fromkeys(circuits, winner)
        assert events(root, "deployed") == [*deployed_before, winner]
        assert events(root, "superseded") == [loser]
        assert events(root, "consumed").count(loser) == 1  # for the registry, not for production
        # What lost can never be deployed later either.
        assert run(root, loser, threading.Barrier(1), 0)[0] == "E_STATE"
        whole(root)
        shutil.rmtree(root)
    assert winners == {both, one}, "one of them always wins, so the other was never in the race"


def test_one_release_promoted_twice_at_once_is_done_once_and_both_say_so(
    rivals, processes, tmp_path
):
    home, both, _ = rivals
    before, chance = events(home, "deployed"), random.Random(SEED)
    for number in range(max(4, RACES // 4)):
        root = Path(shutil.copytree(home, tmp_path / f"same-{number}", symlinks=True))
        delays = [chance.uniform(0, 0.02), chance.uniform(0, 0.02)]
        told = (threads, processes)[number % 2](root, (both, both), delays)
        assert {state for state, _, _ in told} == {"deployed"}
        assert sorted(circuits for _, _, circuits in told) == [(), (str(C1), str(C2))]
        assert events(root, "deployed") == [*before, both]
        whole(root)
        shutil.rmtree(root)


def test_two_commands_that_promote_one_release_at_once_both_tell_the_truth(
    rivals, made_demo, tmp_path
):
    home, both, _ = rivals
    root = Path(shutil.copytree(home, tmp_path / "home", symlinks=True))
    shutil.copytree(made_demo[0] / "dagster", root / "dagster")
    words = ("release", "promote", both, "--stage", "production")
    running = [mlops_process(root, *words) for _ in range(2)]
    ended = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [0, 0], ended
    told = [json.loads(out) for out, _ in ended]
    assert {each["state"] for each in told} == {"deployed"}
    assert sorted(each["circuits"] for each in told) == [[], [str(C1), str(C2)]]
    assert events(root, "deployed").count(both) == 1
    whole(root)
