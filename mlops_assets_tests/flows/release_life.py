"""One random life of releases, lived by a home in memory and by the model side by side."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mlops_assets.domain import lifecycle
from mlops_assets.domain.deployment import history
from mlops_assets.domain.errors import MlopsError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.rollback import rehearse, resume, rollback
from mlops_assets_tests.fakes.killed import KilledError, Writes, trap
from mlops_assets_tests.fakes.release import AUTHOR, ENGINEER, MANAGER, VIEWER, ReleaseHome
from mlops_assets_tests.flows import release_model

if TYPE_CHECKING:
    from collections import Counter

KEYS = ["P001/C001", "P001/C002", "P002/C001"]
PEOPLE = {"engineer": ENGINEER, "manager": MANAGER, "author": AUTHOR, "viewer": VIEWER}
STAGES = ["registry", "test", "production"]
SIGNED = ["registry", "production"]
NEXT = {
    "candidate": "registry",
    "awaiting_registry": "registry",
    "registered": "test",
    "tested": "production",
    "awaiting_production": "production",
}
# One character a spec, the first is taken.
SPECS = "3456789abcdef"
# The share of steps that are killed and run again.
KILLED = 0.25


class Life:
    """One home and its model, taken through the same random steps."""

    def __init__(self, seed: int, happened: Counter[str]) -> None:
        self.chance = random.Random(seed)
        self.happened = happened
        self.home = ReleaseHome(*map(CircuitKey.parse, KEYS), quorum=1 + seed % 2)
        self.start = self.home.now
        self.writes = Writes(self.home)
        self.model = release_model.Model(KEYS, quorum=1 + seed % 2)
        self.ids: list[str] = []
        self.told: list[str] = []

    # --- doing the same on both sides ---------------------------------------------------------

    def do(self, what, ours, theirs):
        """Do one step here and in the model; both must refuse, or both answer the same."""
        self.told.append(what)
        if self.chance.random() < KILLED:
            self.writes.left = self.chance.randrange(12)
        try:
            got = attempt(ours)
        except KilledError:
            self.happened[f"killed {what.split()[0]}"] += 1
            self.told.append("  killed, run again")
            self.writes.left = None
            got = attempt(ours)
        finally:
            self.writes.left = None
        try:
            wanted = theirs()
        except release_model.RefusedError:
            wanted = "refused"
        self.happened[f"{what.split()[0]} {'refused' if wanted == 'refused' else 'done'}"] += 1
        assert got == wanted, self.explained(f"{got!r}, the model says {wanted!r}")

    def explained(self, why: str) -> str:
        return "\n".join([*self.told, why])

    def step(self) -> None:
        """Take one random step."""
        steps = [
            (self.edit, 3),
            (self.retire, 1),
            (self.tick, 2),
            (self.create, 4),
            (self.advance, 12),
            (self.round, 6),
            (self.request, 2),
            (self.decide, 4),
            (self.promote, 4),
            (self.left_dead, 5),
            (self.rollback, 5),
            (self.rollback_left_dead, 2),
        ]
        self.chance.choices([s for s, _ in steps], [weight for _, weight in steps])[0]()
        self.agree()

    # --- the steps ----------------------------------------------------------------------------

    def edit(self) -> None:
        key, bad = self.chance.choice(KEYS), self.chance.random() < 0.12
        number = self.model.newest[key] - 1
        if number == len(SPECS):
            return
        home, circuit = self.home, CircuitKey.parse(key)
        if circuit not in home.circuits:
            home.circuits.append(circuit)
        home.git.add(
            {f"plants/{key}.yml": f"{len(home.git.infos)}".encode()},
            author=AUTHOR,
            reviewers=[VIEWER],
        )
        home.train(circuit, spec=SPECS[number], **({"error": "no convergence"} if bad else {}))
        self.model.edit(key, bad=bad)
        self.told.append(f"edit {key}{' badly' if bad else ''}")

    def retire(self) -> None:
        key = self.chance.choice(KEYS)
        circuit = CircuitKey.parse(key)
        if circuit in self.home.circuits:
            self.home.circuits.remove(circuit)
            del self.model.wanted[key]
        else:
            self.home.circuits.append(circuit)
            self.model.wanted[key] = self.model.newest[key]
        self.told.append(f"retire or bring back {key}")

    def tick(self) -> None:
        hours = self.chance.choice([1, 5, 23, 24, 25])
        self.home.tick(hours=hours)
        self.model.tick(hours)
        self.told.append(f"tick {hours} h")

    def some(self) -> list[str]:
        return sorted(self.chance.sample(KEYS, self.chance.randint(1, 3)))

    def create(self) -> None:
        keys = self.some() if self.chance.random() < 0.5 else None
        unhold = self.some() if self.chance.random() < 0.3 else []

        def ours():
            named = [CircuitKey.parse(key) for key in keys or ()]
            freed = [CircuitKey.parse(key) for key in unhold]
            made = self.home.create(*named, unhold=freed)
            if made is None:
                return None
            if made not in self.ids:
                self.ids.append(made)
            return self.ids.index(made)

        def theirs():
            made = self.model.create(keys, unhold)
            return None if made is None else made.number

        self.do(f"create {keys} unhold {unhold}", ours, theirs)

    def advance(self, r=None) -> None:
        """Do for an open release what comes next, so that many get far."""
        releases = [each for each in self.model.releases if each.open]
        if r is None and not releases:
            self.create()
            return
        r = r or self.chance.choice(releases[-3:])
        stage = r.begun or NEXT.get(r.state, r.broken)
        self.sign(r, stage)
        self.promote(r, stage)

    def sign(self, r, stage) -> None:
        """Have as many people sign as it takes, where a stage needs that."""
        if stage == "test" or r.begun or r.state == "errored":
            return
        people = ["engineer", "manager"][: self.model.quorum if stage == "production" else 1]
        for person in people:
            self.decide(r, stage, person, yes=True)

    def round(self) -> None:
        """Change something and take it all the way, as far as it goes."""
        self.edit()
        self.create()
        for r in self.model.releases[-1:]:
            for _ in STAGES:
                if r.open:
                    self.advance(r)

    def request(self) -> None:
        r, stage = self.any_release(), self.chance.choice(SIGNED)
        if r is None:
            return
        made = self.ids[r.number]

        def ours():
            return self.home.request(made, stage).nonce is not None

        self.do(f"request {r.number} {stage}", ours, lambda: self.model.request(r, stage))

    def decide(self, r=None, stage=None, person=None, *, yes=None) -> None:
        r = r or self.any_release()
        if r is None:
            return
        stage = stage or (NEXT.get(r.state) if self.chance.random() < 0.7 else None)
        stage = stage if stage in SIGNED else self.chance.choice(SIGNED)
        person = person or self.chance.choice(list(PEOPLE))
        yes = self.chance.random() < 0.9 if yes is None else yes
        decide = self.home.approve if yes else self.home.reject

        def ours():
            return decide(self.ids[r.number], stage, PEOPLE[person]).accepted

        self.do(
            f"{'approve' if yes else 'reject'} {r.number} {stage} by {person}",
            ours,
            lambda: self.model.decide(r, stage, person, yes=yes),
        )

    def any_release(self):
        releases = self.model.releases
        if self.chance.random() < 0.5:
            releases = [r for r in releases if r.open] or releases
        return self.chance.choice(releases) if releases else None

    def promote(self, r=None, stage=None) -> None:
        r = r or self.any_release()
        if r is None:
            return
        stage = stage or self.chance.choice(STAGES)

        def ours():
            return self.home.promote(self.ids[r.number], stage).state

        def theirs():
            self.model.promote(r, stage)
            return r.state

        self.do(f"promote {r.number} {stage}", ours, theirs)

    def left_dead(self) -> None:
        """A stage dies or breaks half way, and stays so while others go on."""
        stage, stop, moves = (
            self.chance.choice(STAGES),
            self.chance.choice(["die", "break"]),
            self.chance.randrange(3),
        )
        r = self.any_release()
        if stage == "production" and self.chance.random() < 0.7:
            for _ in KEYS:
                self.edit()
            self.create()
            r = self.model.releases[-1] if self.model.releases else None
        if r is None:
            return
        while r.open and NEXT.get(r.state) in STAGES[: STAGES.index(stage)]:
            before = r.state
            self.advance(r)
            if r.state == before:
                break
        if NEXT.get(r.state) == stage:
            self.sign(r, stage)
        release = self.ids[r.number]
        # The trap counts swaps of the deployment, so no rollback may be finished on the way.
        resume(self.home.platform)
        self.model.finish(self.model.unfinished)

        def ours():
            undo = trap(self.home, stage, stop, moves)
            try:
                return self.home.promote(release, stage).state
            finally:
                undo()

        def theirs():
            self.model.promote(r, stage, stop, moves)
            return r.state

        self.told.append(f"{stop} in {stage} of {r.number} after {moves} plants")
        before = r.state
        try:
            theirs()
        except release_model.RefusedError:
            wanted = "refused"
        else:
            wanted = "stopped" if r.state in (before, "errored") else r.state
        try:
            got = ours()
        except RefusedError:
            got = "refused"
        except (KilledError, MlopsError):
            got = "stopped"
        if got == before and wanted == "stopped":
            got = "stopped"
        self.happened[f"{stop} {stage} {wanted}"] += 1
        assert got == wanted, self.explained(f"{got!r}, the model says {wanted!r}")
        if stage == "production" and self.chance.random() < 0.6:
            self.agree()
            self.rollback()

    def rollback(self) -> None:
        keys, to = self.some(), None
        if self.chance.random() < 0.3 and self.ids:
            to = self.chance.randrange(len(self.ids))
        reason = f"step {len(self.told)}"

        def ours():
            done = rollback(
                self.home.platform,
                [CircuitKey.parse(key) for key in keys],
                operator="op@co.example",
                reason=reason,
                now=self.home.now,
                to=None if to is None else self.ids[to],
            )
            return {str(key): self.ids.index(release) for key, release in done.to.items()}

        self.do(f"rollback {keys} to {to}", ours, lambda: self.model.rollback(keys, to))

    def rollback_left_dead(self) -> None:
        """A rollback dies after some plants; at times a signed release comes next."""
        next_one = None
        if self.chance.random() < 0.4:
            self.edit()
            self.create()
            next_one = self.model.releases[-1] if self.model.releases else None
            for stage in ("registry", "test"):
                if next_one is not None and NEXT.get(next_one.state) == stage:
                    self.advance(next_one)
            if next_one is not None and NEXT.get(next_one.state) == "production":
                self.sign(next_one, "production")
        keys, moves, reason = self.some(), self.chance.randrange(3), f"step {len(self.told)}"
        endpoints = self.home.production.prod.endpoints
        swap, left = endpoints.swap, [moves]

        def swaps(*args):
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            swap(*args)

        def dies(_):
            raise KilledError

        self.told.append(f"rollback {keys}, dead after {moves} plants")
        endpoints.swap = swaps
        try:
            rollback(
                self.home.platform,
                [CircuitKey.parse(key) for key in keys],
                operator="op@co.example",
                reason=reason,
                now=self.home.now,
                told=dies,
            )
        except KilledError:
            pass
        finally:
            endpoints.swap = swap
        moved = self.model.rollback(keys, moves=moves)
        self.happened["rollback left dead"] += bool(moved)
        if next_one is not None:
            self.agree()
            self.promote(next_one, "production")

    # --- comparing ----------------------------------------------------------------------------

    def agree(self) -> None:
        """Everything that anybody can see is as the model says."""
        home, model = self.home, self.model
        entries = home.ledger.entries()
        states = [view.state for view in lifecycle.fold(entries, home.now)]
        assert states == [r.state for r in model.releases], self.explained(
            f"states {states}, the model says {[r.state for r in model.releases]}"
        )
        live = {key: home.live(CircuitKey.parse(key)) for key in KEYS}
        wanted = {key: None if now is None else self.ids[now] for key, now in model.live.items()}
        assert live == wanted, self.explained(f"live {live}, the model says {wanted}")
        held = lifecycle.holds(entries)
        for key in KEYS:
            circuit = CircuitKey.parse(key)
            digests = {
                record.digest
                for record in home.dev.models.versions(circuit)
                if record.version in model.held[key]
            }
            assert held.get(circuit, frozenset()) == digests, self.explained(f"held of {key}")
            deployment = home.production.prod.endpoints.live(circuit.plant_id).of(circuit)
            back = (
                [
                    step.release
                    for step in history(deployment, home.platform.prod.endpoints.recorded)
                ]
                if deployment
                else []
            )
            wanted_back = [self.ids[number] for number in model.way_back(key)]
            assert back == wanted_back, self.explained(f"way back of {key}")
            targets = rehearse(home.platform, [circuit]).to
            now = model.live[key]
            finished = now is not None and key in model.releases[now].deployed
            expected = {circuit: wanted_back[0]} if wanted_back and finished else {}
            assert targets == expected, self.explained(f"a rollback of {key} now")


def attempt(work):
    """What a step answers, or that it was refused."""
    try:
        return work()
    except RefusedError:
        return "refused"
