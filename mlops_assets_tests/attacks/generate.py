"""Any number of generated attacks on the verification of statements, the same for the same seed.

Each family begins with its control, the untouched paper, which must be accepted; each attack is
compared with the paper it was made from, so that nothing unmodified is ever counted as refused.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mlops_assets_tests.attacks.papers import FAMILIES
from mlops_assets_tests.attacks.scene import requests
from mlops_assets_tests.attacks.tally import Tally, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = 20260601
# A control is tried again each so many attacks.
CONTROL_EVERY = 100
# How many releases have open requests, and how often a family may repeat itself before it counts
# as exhausted: each attack that is counted differs from all others.
RELEASES = 200
AGAIN = 500


def generated(
    count: int,
    seed: int = SEED,
    families: Iterable[str] = FAMILIES,
    *,
    releases: int = RELEASES,
    again: int = AGAIN,
) -> Tally:
    """Try ``count`` attacks, spread evenly over the families."""
    tally = Tally()
    names = list(families)
    open_requests = requests(releases)
    for place, name in enumerate(names):
        chance = random.Random(f"{seed} {name}")
        share = count // len(names) + (place < count % len(names))
        for number in range(share):
            good, bad = FAMILIES[name](chance, open_requests)
            known = tally.distinct[name]
            for tries in range(again):
                if bad.identity != good.identity and bad.identity not in known:
                    break
                good, bad = FAMILIES[name](chance, open_requests)
                if tries == again - 1:
                    raise RuntimeError(f"{name} has no more than {len(known)} different attacks")
            if number % CONTROL_EVERY == 0:
                tally.control(name, outcome_of(good))
            tally.add(name, outcome_of(bad), identity=bad.identity, what=f"number {number}")
    return tally
