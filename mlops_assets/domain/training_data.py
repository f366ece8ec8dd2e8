"""Training data: exactly the rows that one model may learn from, pinned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from mlops_assets.domain.identifiers import CircuitKey, DataVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """A registered MLTable data asset.

    ``content_digest`` covers the canonical rows and the columns, whatever file they lie in;
    ``delta_version`` is the version of the readings table they were read at.
    """

    circuit: CircuitKey
    version: DataVersion
    content_digest: str
    delta_version: int
    rows: int
    cutoff_date: date
    timezone: str
    first_timestamp: datetime
    last_timestamp: datetime
    columns: tuple[str, ...]
    path: str
