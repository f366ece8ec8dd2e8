"""What releases should do, in little: a second opinion that imports nothing of the project.

Circuits are texts such as ``P001/C001``, models are numbers a circuit counts up, releases are their
numbers in order, time is in hours. Signatures, digests and files do not exist here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY = 24
BEFORE = {"registry": "candidate", "production": "tested"}
AWAITING = {"registry": "awaiting_registry", "production": "awaiting_production"}
DONE = {
    "registry": {"registered", "tested", "awaiting_production", "deployed", "rolled_back"},
    "test": {"tested", "awaiting_production", "deployed", "rolled_back"},
    "production": {"deployed", "rolled_back"},
}
ENDS = {"failed", "rejected", "superseded", "deployed", "rolled_back"}
MAY_SIGN = {
    "registry": {"engineer", "author"},
    "production": {"engineer", "manager", "author"},
}


class RefusedError(Exception):
    """The platform has to refuse, too."""


@dataclass
class Release:
    """``wants`` is a model by circuit, None to retire it; ``commit`` counts the author's edits."""

    number: int
    wants: dict[str, int | None]
    replaces: dict[str, int | None]
    commit: int
    state: str = "candidate"
    until: int = 0
    signed: set[str] = field(default_factory=set)
    signed_at: int = 0
    approved_at: int | None = None
    begun: str | None = None
    broken: str | None = None
    deployed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    tried_production: bool = False
    source: Release | None = None

    @property
    def open(self) -> bool:
        return self.state not in ENDS

    def end(self, state: str) -> None:
        self.state, self.begun, self.broken = state, None, None


class Model:
    """A home: what config wants, what is live, what is held, and every release."""

    def __init__(self, circuits: list[str], quorum: int) -> None:
        self.now, self.commit, self.quorum = 0, 0, quorum
        self.wanted: dict[str, int] = dict.fromkeys(circuits, 1)
        self.newest = dict.fromkeys(circuits, 1)
        self.bad: set[tuple[str, int]] = set()
        self.live: dict[str, int | None] = dict.fromkeys(circuits)
        self.held: dict[str, set[int]] = {key: set() for key in circuits}
        self.releases: list[Release] = []
        self.unfinished: list[dict[str, tuple[int, int]]] = []
        self.reached: list[str] = []

    def edit(self, key: str, *, bad: bool) -> None:
        self.commit += 1
        self.newest[key] += 1
        self.wanted[key] = self.newest[key]
        self.bad |= {(key, self.newest[key])} if bad else set()

    def tick(self, hours: int) -> None:
        self.now += hours
        for r in self.releases:
            for stage, state in AWAITING.items():
                if r.state == state and not r.begun and self.now >= r.until:
                    r.state = BEFORE[stage]

    def create(self, keys: list[str] | None, unhold: list[str]) -> Release | None:
        for key in unhold:
            self.held[key].clear()
        wants: dict[str, int | None] = {}
        refused = False
        for key in sorted(keys if keys is not None else self.live):
            wish, now = self.wanted.get(key), self.live[key]
            if (wish is None and now is None) or wish in self.held[key]:
                refused = True
                self.reached += ["held"] if wish else []
            elif wish is None or now is None or self.releases[now].wants[key] != wish:
                wants[key] = wish
        if keys is None:
            wants = {key: wish for key, wish in wants.items() if not self._waits(key, wish)}
        elif refused:
            raise RefusedError
        if not wants:
            return None
        new = Release(
            len(self.releases), wants, {key: self.live[key] for key in wants}, self.commit
        )
        for r in self.releases:
            if r.open and (r.wants, r.replaces, r.commit) == (wants, new.replaces, new.commit):
                return r
        for r in reversed(self.releases):
            if r.state == "failed" and self._part_of(new, r) and (found := self._approval(r)):
                new.state, new.source = "registered", found
                self.reached.append("approval copied")
                break
        self.releases.append(new)
        return new

    def _waits(self, key: str, wish: int | None) -> bool:
        same = (wish, self.live[key])
        return any(r.open and (r.wants.get(key, 0), r.replaces.get(key)) == same
                   for r in self.releases)  # fmt: skip

    @staticmethod
    def _part_of(new: Release, old: Release) -> bool:
        return new.commit == old.commit and all(
            key in old.wants and (old.wants[key], old.replaces[key]) == (wish, new.replaces[key])
            for key, wish in new.wants.items()
        )

    def _approval(self, r: Release) -> Release | None:
        """The release whose registry approval counts for this one, if it is less than a day old."""
        if r.tried_production:
            return None
        if r.source is not None:
            return self._approval(r.source)
        young = r.approved_at is not None and self.now - r.approved_at < DAY
        return r if young else None

    def stale(self, r: Release) -> set[str]:
        """Circuits that serve neither what the release replaces nor, in deployment, itself."""
        after = {k: r.number if wish is not None else None for k, wish in r.wants.items()}
        return {
            key
            for key, before in r.replaces.items()
            if self.live[key] != before
            and not (r.begun == "production" and self.live[key] == after[key])
        }

    def request(self, r: Release, stage: str) -> bool:
        if r.state == AWAITING[stage] or r.begun == stage:
            return True
        if r.state != BEFORE[stage]:
            raise RefusedError
        if self.stale(r):
            return False
        r.state, r.until, r.signed = AWAITING[stage], self.now + DAY, set()
        return True

    def decide(self, r: Release, stage: str, person: str, *, yes: bool) -> bool:
        """Approve or reject; opens the window where none is. Returns whether it counts."""
        if r.state == BEFORE[stage] and not self.request(r, stage):
            return False
        if r.state != AWAITING[stage] or r.begun or person not in MAY_SIGN[stage]:
            return False
        if yes and (self.stale(r) or (person == "author" and self._wrote(r))):
            self.reached.append("stale" if self.stale(r) else "author")
            return False
        if not yes:
            r.state = "rejected"
        elif person not in r.signed:
            r.signed_at = r.signed_at if r.signed else self.now
            r.signed.add(person)
        return True

    def _wrote(self, r: Release) -> bool:
        """All edits are the author's: whether one is in what the release changes."""
        since = [0 if b is None else self.releases[b].commit for b in r.replaces.values()]
        return r.commit > min(since)

    def promote(self, r: Release, stage: str, stop: str = "", moves: int = 0) -> None:
        """Do a stage. ``stop`` is ``die`` or ``break``, in production after ``moves`` plants."""
        if r.state in DONE[stage]:
            return
        if stage == "production":
            self.finish(self.unfinished)
        begun = stage != "test" and r.begun == stage
        ready = "registered" if stage == "test" else AWAITING[stage]
        if not (r.broken == stage if r.state == "errored" else begun or r.state == ready):
            raise RefusedError
        busy = any(o.begun == "production" and o is not r and o.wants.keys() & r.wants.keys()
                   for o in self.releases)  # fmt: skip
        if stage == "production" and not begun and busy:
            self.reached.append("busy")
            raise RefusedError
        stale = self.stale(r)
        if begun and stage == "production" and stale == r.wants.keys():
            self.reached.append("all stale")
            r.end("failed")
            return
        short = len(r.signed) < (self.quorum if stage == "production" else 1)
        if (stale and not (begun and stage == "production")) or (
            stage != "test" and not begun and short
        ):
            raise RefusedError
        if stage != "test":
            r.begun = stage
        {"registry": self._register, "test": self._test, "production": self._deploy}[stage](
            r, stop, moves
        )

    def _register(self, r: Release, stop: str, _: int) -> None:
        r.approved_at = r.signed_at
        if stop and any(wish is not None for wish in r.wants.values()):
            if stop == "break":
                r.state, r.broken = "errored", "registry"
            return
        r.end("registered")

    def _test(self, r: Release, stop: str, _: int) -> None:
        if stop == "break":
            r.state, r.broken = "errored", "test"
        elif not stop:
            r.end("failed" if self.bad & set(r.wants.items()) else "tested")

    def _deploy(self, r: Release, stop: str, moves: int) -> None:
        r.tried_production = True
        keys = r.wants.keys() - self.stale(r)
        after = {key: None if r.wants[key] is None else r.number for key in keys}
        plants = sorted({key[:4] for key in keys if self.live[key] != after[key]})
        stops = stop == "die" or (stop == "break" and moves < len(plants))
        for key in keys:
            if key[:4] in plants[: moves if stops else None]:
                self.live[key] = after[key]
        if stops:
            r.state, r.broken = (
                ("errored", "production") if stop == "break" else (r.state, r.broken)
            )
            return
        r.end("deployed")
        r.deployed = set(keys)
        self.reached += ["partly stale"] if keys != r.wants.keys() else ["deployed"]
        for other in self.releases:
            if other.open and r.deployed & other.wants.keys():
                other.end("superseded")

    def way_back(self, key: str) -> list[int]:
        """The releases that a circuit may be rolled back to, newest first."""
        step, found = self.live[key], []
        while step is not None and (step := self.releases[step].replaces[key]) is not None:
            found.append(step)
        return found

    def rollback(
        self, keys: list[str], to: int | None = None, moves: int | None = None
    ) -> dict[str, int]:
        """One step back, or to a named release; dies after ``moves`` plants where that is given."""
        hurt = [group for group in self.unfinished if group.keys() & set(keys)]
        if hurt:
            self.reached.append("rollback finished")
            return self.finish(hurt, moves)
        group: dict[str, tuple[int, int]] = {}
        for key in sorted(keys):
            now, back = self.live[key], self.way_back(key)
            target = to if to in back else None if to is not None else next(iter(back), None)
            if now is None or target is None:
                continue
            if key not in self.releases[now].deployed:
                self.reached.append("unfinished deployment")
                continue
            group[key] = (now, target)
            self.reached.append("rolled back" if to is None else "rolled back to")
            source = self.releases[now]
            source.gone.add(key)
            self.held[key].add(source.wants[key] or 0)
            if source.state == "deployed" and source.gone == source.deployed:
                source.state = "rolled_back"
        if group:
            self.unfinished.append(group)
        return self.finish([group], moves)

    def finish(
        self, groups: list[dict[str, tuple[int, int]]], moves: int | None = None
    ) -> dict[str, int]:
        """Do what rollbacks decided; dies after ``moves`` plants where that is given."""
        steps = {key: step for group in groups for key, step in group.items()}
        plants = sorted({key[:4] for key, (now, _) in steps.items() if self.live[key] == now})
        for key, (now, target) in steps.items():
            if self.live[key] == now and key[:4] in plants[:moves]:
                self.live[key] = target
        left = [g for g in self.unfinished if any(self.live[k] == now for k, (now, _) in g.items())]
        self.unfinished = left
        return {key: target for key, (_, target) in steps.items()}
