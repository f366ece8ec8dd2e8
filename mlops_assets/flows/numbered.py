"""Models under numbers of ours that others count by too: what is taken there is passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import ForeignError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.domain.model import ModelRecord
    from mlops_assets.ports import ModelRegistry

# So many numbers of one circuit that others have taken are no accident.
_PASSED_OVER = 5


def registered(
    models: ModelRegistry,
    record: ModelRecord,
    files: Mapping[str, bytes],
    proof: bytes,
    say: Callable[[str], None],
) -> ModelRecord:
    """Register a model under its number, or the next that nobody else has taken.

    Raises:
        ForeignError: so many are taken that it is no accident.
        StaleError: somebody else was faster here.
    """
    for left in reversed(range(_PASSED_OVER)):
        try:
            return models.register(record, files, proof)
        except ForeignError as error:
            if not left:
                raise
            say(str(error))
        record = replace(record, version=models.next_version(record.circuit))
    raise AssertionError("the last number is taken or raises")


def shown(models: ModelRegistry, record: ModelRecord, say: Callable[[str], None]) -> ModelRecord:
    """Have a stored model named wherever it is looked for: its run may have been killed before."""
    try:
        list(models.publish([record]))
    except ForeignError as error:
        say(str(error))
        again = replace(record, version=models.next_version(record.circuit))
        return registered(models, again, models.files(record), models.proof(record), say)
    return record
