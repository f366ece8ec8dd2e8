"""Random lives of releases agree with a small model of them that knows none of the project's code.

CI runs 40 sequences; ``make lives`` runs 1,000 (``MLOPS_SEQUENCES``). Every sequence starts in a
fresh home of three circuits at two plants and takes 30 steps: editing, training, requesting,
signing, rejecting, expiring, promoting, rolling back, retiring, unholding. Any step may be killed
before any of its writes and run again; stages and rollbacks may also be left dead half way, or
broken, while others go on. After each step every release's state, what is live, held and may be
rolled back to must be what the model says. A run that never reached one of `MUST_HAPPEN` fails.
"""

from __future__ import annotations

import os
from collections import Counter

from mlops_assets_tests.flows.release_life import STAGES, Life

SEED = 20260711
SEQUENCES = int(os.environ.get("MLOPS_SEQUENCES", "40"))
STEPS = 30
MUST_HAPPEN = {
    *("deployed", "busy", "stale", "held", "author", "approval copied", "rolled back"),
    *("rolled back to", "unfinished deployment", "killed approve", "killed create"),
    *("killed promote", "killed rollback", "rollback left dead", "reject done"),
    *(f"{stop} {stage} stopped" for stop in ("die", "break") for stage in STAGES),
    *(f"state {end}" for end in ("failed", "rejected", "superseded", "rolled_back", "errored")),
}
# What takes hundreds of sequences to come about.
RARE = {"partly stale", "all stale", "rollback finished"}


def test_random_lives_of_releases_agree_with_the_model():
    happened: Counter[str] = Counter()
    print(f"seed {SEED}, {SEQUENCES} sequences of {STEPS} steps")
    for number in range(SEQUENCES):
        life = Life(SEED * 100_000 + number, happened)
        for _ in range(STEPS):
            life.step()
        happened.update(life.model.reached)
        happened.update(f"state {r.state}" for r in life.model.releases)
    print(dict(sorted(happened.items())))
    wanted = MUST_HAPPEN | (RARE if SEQUENCES >= 1000 else set())
    assert {name for name in wanted if not happened[name]} == set()
