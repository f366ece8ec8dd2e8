"""Models of proposals that were merged: taken over as they are, under the commit of the merge.

A squash or a rebase leaves the commit that a model was trained from in no history, and a model that
is to be signed must be made from what the watched ref holds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from mlops_assets.flows import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.domain.circuit import Environment
    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.ports import ConfigRepository, ModelRegistry


def merged(config: ConfigRepository, commit: str) -> Callable[[str], bool]:
    """Tell whether ``commit`` holds another; for what is only proposed, all counts as held."""

    @cache
    def held(other: str) -> bool:
        if other == commit or config.contains(other, commit):
            return True
        return not config.contains(commit, config.head())

    return held


def other_packages(record: ModelRecord, environment: Environment) -> bool:
    """Whether a proposed version of an environment got other packages before it was merged."""
    same = record.environment == environment.ref
    return same and record.environment_digest != environment.digest


def taken_over(
    models: ModelRegistry,
    record: ModelRecord,
    origin: Mapping[str, str],
    say: Callable[[str], None],
) -> ModelRecord:
    """Register the same bytes and proof as the next version, with the ``origin`` of now."""
    again = replace(
        record,
        version=models.next_version(record.circuit),
        config_commit=origin["config_commit"],
        tags={**record.tags, **origin},
    )
    return numbered.registered(models, again, models.files(record), models.proof(record), say)
