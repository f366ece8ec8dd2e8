"""What was refused and people must hear of: config at the watched ref, and releases.

Config that is refused stops every flow that reads it, so what is said of it must not rest on it:
the newest config before it that can be read says who hears of it, and where.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mlops_assets.catalog import load
from mlops_assets.domain import lifecycle, occasion
from mlops_assets.domain.errors import MlopsError
from mlops_assets.flows.plan import config_at
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from mlops_assets.domain.alert import Alert
    from mlops_assets.domain.circuit import Config, Plant
    from mlops_assets.ports import Platform

# Whoever pushed more commits than this on top of a mistake hears of it from the sensor's tick.
_LOOK_BACK = 50


def config_or_last_good(platform: Platform) -> Config:
    """Return the config at the watched ref, or where it is refused the newest one that is not.

    Raises:
        MlopsError: why the one at the watched ref is refused, where none before it can be read.
    """
    try:
        return config_at(platform)
    except MlopsError:
        for commit in islice(_earlier(platform), _LOOK_BACK):
            try:
                files = platform.config.files(commit)
                return load(files, commit=commit, algorithms=ALGORITHMS)
            except MlopsError:
                continue
        raise


def _earlier(platform: Platform) -> Iterator[str]:
    """Commits that were watched before, newest first; those that releases were made of, last."""
    head = platform.config.head()
    for commit in platform.config.log(None, since=None, until=head):
        if commit.commit != head:
            yield commit.commit
    for entry in reversed(platform.ledger.entries()):
        if "config_commit" in entry.data:
            yield entry.data["config_commit"]


def refused_config(platform: Platform, config: Config) -> Iterator[Alert]:
    """Say why the config at the watched ref is refused, where ``config`` is an older one."""
    head = platform.config.head()
    if config.commit == head:
        return
    try:
        config_at(platform)
    except MlopsError as error:
        newest = platform.config.log(None, since=None, until=head)[:1]
        authors = [commit.author for commit in newest]
        yield occasion.config_refused(head, str(error), authors, config.plants)


def rejected_releases(
    platform: Platform, plants: Mapping[str, Plant], *, since: datetime, now: datetime
) -> Iterator[Alert]:
    """Say which releases people rejected after ``since``, to those who asked for them."""
    entries = platform.ledger.entries()
    views = {view.release: view for view in lifecycle.fold(entries, now)}
    asked: dict[str, str] = {}
    for entry in entries:
        if entry.event == "requested":
            asked[entry.data["release"]] = entry.actor
        elif entry.event == "rejected" and entry.at > since:
            release = entry.data["release"]
            yield occasion.release_rejected(views[release], asked.get(release, ""), plants)
