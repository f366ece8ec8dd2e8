"""A home in memory whose processes die, or whose disk fills, at any of its writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.domain.errors import MlopsError

if TYPE_CHECKING:
    from mlops_assets_tests.fakes.release import ReleaseHome


class KilledError(BaseException):
    """Stands for kill -9."""


class Writes:
    """Counts everything that is written, and dies before the write it was told."""

    def __init__(self, home: ReleaseHome) -> None:
        self.left: int | None = None
        owners = [
            (home.ledger, ("append", "put")),
            (home.registry.models, ("register",)),
            (home.registry.environments, ("register",)),
            (home.dev.evidence, ("put_release", "replace_release")),
            (home.production.prod.endpoints, ("swap", "record")),
            (home.production.test.endpoints, ("swap", "record")),
        ]
        for owner, names in owners:
            for name in names:
                setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, write):
        def counted(*args, **named):
            if self.left is not None:
                if self.left == 0:
                    raise KilledError
                self.left -= 1
            return write(*args, **named)

        return counted


def trap(home: ReleaseHome, stage: str, stop: str, moves: int):
    """Make a stage die or break where the model says it does."""
    error = KilledError() if stop == "die" else MlopsError("no space left")

    def stops(*_args, **_named):
        raise error

    endpoints = home.production.prod.endpoints
    summary, register = home.production.lake.readings.summary, home.registry.models.register
    swap, append = endpoints.swap, home.ledger.append
    left = [moves]

    def swaps(*args):
        if left[0] == 0:
            raise error
        left[0] -= 1
        swap(*args)

    def appends(event, *args):
        if event == "deployed" and stop == "die":
            raise error
        return append(event, *args)

    match stage:
        case "registry":
            home.registry.models.register = stops
        case "test":
            home.production.lake.readings.summary = stops
        case _:
            endpoints.swap, home.ledger.append = swaps, appends

    def undo():
        home.registry.models.register = register
        home.production.lake.readings.summary = summary
        endpoints.swap, home.ledger.append = swap, append

    return undo
