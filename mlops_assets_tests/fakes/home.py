"""A home in memory while it is made; it may die after any number of steps."""

from __future__ import annotations

from mlops_assets.domain.errors import HomeError
from mlops_assets.flows.home import NewHome
from mlops_assets_tests.fakes.config import FakeConfigRepository
from mlops_assets_tests.fakes.ledger import FakeLedger
from mlops_assets_tests.fakes.readings import FakeLandingZone


class FakeHomePlace:
    def __init__(self):
        self.intent = None
        self.whole = False

    def begin(self, document):
        if self.intent not in (None, dict(document)):
            raise HomeError("something else is here")
        self.intent = dict(document)
        return self.whole

    def finish(self):
        self.whole = True


class Parts:
    """The parts of one home, kept over several attempts to make it."""

    def __init__(self):
        self.place = FakeHomePlace()
        self.repository = FakeConfigRepository()
        self.ledger = FakeLedger()
        self.repository.notes = self.ledger.anchors
        self.landing = FakeLandingZone()

    @property
    def new(self):
        return NewHome(
            place=self.place,
            config=lambda: self.repository,
            ledger=lambda _: self.ledger,
            landing=self.landing,
        )
