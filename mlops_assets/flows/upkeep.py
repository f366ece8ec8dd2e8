"""Upkeep of the lake's tables: joined files, checkpoints, leftovers, and slices that were lost.

A daily job does it, and a slice does it every `EVERY` commits of the readings, so that a home
without a scheduler does not grow slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.ports import Lake, Progress, Tidied

# A week of slices.
EVERY = 56


def tidy(lake: Lake, *, now: datetime) -> dict[str, Tidied]:
    """Tidy every table that this host keeps; slices wait meanwhile, where readings are one."""
    if "readings" not in lake.upkeep:
        return _tidy(lake, now)
    with lake.journal.lock():
        reopen_lost(lake)
        return _tidy(lake, now)


def tidy_when_due(lake: Lake, before: int, *, now: datetime) -> dict[str, Tidied]:
    """Tidy once in `EVERY` commits of the readings since version ``before``, under the lock."""
    if not lake.readings.exists() or lake.readings.version() // EVERY == before // EVERY:
        return {}
    return _tidy(lake, now)


def _tidy(lake: Lake, now: datetime) -> dict[str, Tidied]:
    done = {name: table.tidy(now=now) for name, table in lake.upkeep.items()}
    return {name: each for name, each in done.items() if each is not None}


def reopen_lost(lake: Lake, progress: Progress | None = None) -> tuple[str, ...]:
    """Take up again the slices that a table no longer holds, after a torn commit or a restore.

    Returns:
        Their ids. Whatever commits to the tables must call this before, under the journal's lock:
        a new commit takes the number by which a lost one is noticed.
    """
    newest = {
        "readings": lake.readings.version() if lake.readings.exists() else None,
        "quarantine": lake.quarantine.version(),
        "restatements": lake.restatements.version(),
    }
    made = lake.journal.made()
    lost = [
        slice_id
        for slice_id, versions in made.items()
        if any(_missing(version, newest[table]) for table, version in versions.items())
    ]
    for slice_id in sorted(lost, key=lambda each: made[each].get("readings", 0)):
        lake.journal.reopen(slice_id)
        if progress is not None:
            progress.say(f"slice {slice_id} is no longer in the tables: it is read again")
    return tuple(lost)


def _missing(version: int, newest: int | None) -> bool:
    return newest is None or version > newest
