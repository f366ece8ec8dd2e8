"""A share of the generated attacks, handed in as people do: through `submit`, then at the gate.

Each is tried on a home with an open request, in memory or on a disk. Afterwards the log has not
grown by a byte, the gate is closed still, and the untouched statement opens it: the control.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import Asked
from mlops_assets.flows.gates import gate
from mlops_assets.flows.ledger import manifest_of
from mlops_assets.flows.signed import asked as asked_of
from mlops_assets_tests.attacks.papers import FAMILIES
from mlops_assets_tests.attacks.scene import Attempt, accepted, requests
from mlops_assets_tests.attacks.tally import ACCEPTED, Outcome, Tally, outcome_of
from mlops_assets_tests.fakes.release import AUTHOR, C1, ReleaseHome

# What bends the paper that is handed in; the other families bend what the home holds.
HANDED_IN = tuple(
    name
    for name in FAMILIES
    if name.startswith(("statement", "signature")) and name != "signature of another statement"
)
REPLAY = "replay of another home's request"


def _open(home: ReleaseHome) -> Asked:
    """The home's open request as the platform knows it."""
    entries = home.ledger.entries()
    view = lifecycle.find(lifecycle.fold(entries, home.now), home.made)
    assert view.open_request is not None
    manifest = manifest_of(home.ledger, view)
    return asked_of(home.platform, view, manifest, view.open_request)


def prepared(home: ReleaseHome) -> ReleaseHome:
    """AUTHOR changed C1, and its registry request is open."""
    home.edit(C1, author=AUTHOR)
    home.made = home.create(C1)
    assert home.request(home.made, "registry").nonce
    return home


def attacked(home: ReleaseHome, count: int, where: str, seed: int, tally: Tally) -> Tally:
    """Hand in ``count`` bent papers, then see that nothing has moved and the good one counts."""
    asked = _open(home)
    log_before, elsewhere = len(home.ledger.entries()), requests()
    names = (*HANDED_IN, REPLAY)
    for place, name in enumerate(names):
        chance = random.Random(f"{seed} {where} {name}")
        for number in range(count // len(names) + (place < count % len(names))):
            bad = _bent(chance, name, asked, elsewhere)
            outcome = outcome_of(lambda bad=bad: home.submit(bad.data, bad.armored))
            tally.add(f"{where}: {name}", outcome, identity=bad.identity, what=f"number {number}")
    _settled(home, asked, log_before, where, tally)
    return tally


def _bent(chance: random.Random, name: str, asked: Asked, elsewhere: Sequence[Asked]) -> Attempt:
    if name == REPLAY:
        return replace(accepted(chance.choice(elsewhere)), asked=asked)
    while True:
        good, bad = FAMILIES[name](chance, [asked])
        if bad.identity != good.identity:
            return bad


def _settled(home: ReleaseHome, asked: Asked, before: int, where: str, tally: Tally) -> None:
    if len(home.ledger.entries()) != before:
        tally.wrong.append(f"{where}: the ledger has grown")
    last = gate(home.platform, home.config, home.made, "registry", now=home.now)[-1]
    if last.passed or "signed by nobody" not in last.reason:
        tally.wrong.append(f"{where}: the gate says {last.reason}")
    good = accepted(asked)
    opened = outcome_of(lambda: home.submit(good.data, good.armored))
    if opened.code == ACCEPTED:
        opened = outcome_of(lambda: home.promote(home.made, "registry"))
    for name in (*HANDED_IN, REPLAY):
        tally.control(f"{where}: {name}", Outcome(opened.code, opened.reason))
