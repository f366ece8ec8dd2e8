"""Refreshing specs: a new cutoff date, on a branch that people review and merge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops_assets.catalog import load, spec_path
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.domain.evidence import PLATFORM_EMAIL
from mlops_assets.forecasters.catalogue import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import Platform

_LINE = re.compile(rb"^(cutoff_date[ \t]*:[ \t]*)([^\s#]+)", re.MULTILINE)


def refresh(
    platform: Platform,
    config: Config,
    circuits: Sequence[CircuitKey],
    *,
    cutoff: date,
    now: datetime,
    author: str = PLATFORM_EMAIL,
) -> tuple[str, str]:
    """Give specs a new cutoff date on the branch ``refresh-DATE``; returns branch and commit.

    Only the date in its line changes: comments and order stay. The result is read as config before
    it is committed, so that a spec whose line could not be edited is refused by name. Where every
    spec has that date already, the answer is the watched branch.
    """
    from mlops_assets.domain.training_data import data_end
    from mlops_assets.flows.readings import data_now

    present = data_now(platform.kind, platform.lake, now)
    files = dict(platform.config.files(config.commit))
    edited: dict[str, bytes] = {}
    for key in circuits:
        if key not in config.circuits:
            raise UsageError(f"--circuit {key}: no such circuit in the config")
        spec = config.circuits[key].spec
        if data_end(cutoff, spec.timezone) > present:
            raise DataError(f"--cutoff: {cutoff} is not over in {spec.timezone}, the zone of {key}")
        if spec.cutoff_date != cutoff:
            edited[spec_path(key)] = with_cutoff(files[spec_path(key)], cutoff)
    if not edited:
        return platform.config.ref.removeprefix("refs/heads/"), config.commit
    after = load({**files, **edited}, commit=config.commit, algorithms=ALGORITHMS)
    if left := [key for key in circuits if after.circuits[key].spec.cutoff_date != cutoff]:
        raise DataError(f"{spec_path(left[0])}: cutoff_date is not in a line of its own: put it so")
    branch = f"refresh-{cutoff.isoformat()}"
    message = f"Refresh {len(edited)} circuits to {cutoff.isoformat()}"
    commit = platform.config.commit(edited, message=message, author=author, branch=branch)
    return branch, commit


def with_cutoff(data: bytes, cutoff: date) -> bytes:
    r"""Return a spec's text with another cutoff date and nothing else changed.

    >>> from datetime import date
    >>> with_cutoff(b"cutoff_date: 2026-06-23  # spring\n", date(2026, 7, 1))
    b'cutoff_date: 2026-07-01  # spring\n'
    """
    return _LINE.sub(rb"\g<1>" + cutoff.isoformat().encode(), data, count=1)
