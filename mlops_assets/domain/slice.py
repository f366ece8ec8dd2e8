"""Slices: what one file of a slice turned out to be, and what becomes of the rows of circuits.

An engine may read files anywhere and settle circuits in any groups, as long as each circuit's rows
stay together in the order of their arrival: parts add up to what one pass over all rows gives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    import polars as pl

    from mlops_assets.domain.addition import Addition, SliceRecord
    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.readings import RawFile
    from mlops_assets.domain.stamps import DateOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceOrder:
    """All that another machine must know to do a slice by the same rules.

    ``addition`` says what of the files is read again, and ``history`` what was merged before it;
    without one the files are new.
    """

    slice_id: str
    files: tuple[RawFile, ...]
    config: Config
    now: datetime
    addition: Addition | None = None
    history: tuple[SliceRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFact:
    """What one file turned out to be.

    ``refused`` says why nothing of it can be used, ``features`` which feature columns it has, and
    ``unread_cells`` counts by feature the cells that are left empty because they hold no number.
    ``order`` is the order of dates that it proves: None where it has dates and proves none,
    "iso" where it has none.
    """

    path: str
    rows: int = 0
    refused: str = ""
    unknown_columns: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    unread_cells: Mapping[str, int] = field(default_factory=dict)
    order: DateOrder | str | None = "iso"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What becomes of the rows of some circuits, beside the rows that enter the table.

    ``entries`` are for the quarantine, without their slice; ``withdrawn`` names keys whose rows
    leave the table. ``held`` counts by reason the rows that their neighbours keep out, ``returned``
    those that enter without having arrived now. ``days`` and ``newest`` are of the rows that enter,
    ``features`` the feature columns that they have.
    """

    entries: pl.DataFrame
    withdrawn: pl.DataFrame
    entering: int = 0
    superseded: int = 0
    repeated: int = 0
    returned: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    days: tuple[date, ...] = ()
    newest: datetime | None = None
    features: tuple[str, ...] = ()

    def __add__(self, other: Part) -> Part:
        """Two parts of one slice."""
        import polars as pl

        newest = [moment for moment in (self.newest, other.newest) if moment is not None]
        return Part(
            entries=pl.concat([self.entries, other.entries]),
            withdrawn=pl.concat([self.withdrawn, other.withdrawn]),
            entering=self.entering + other.entering,
            superseded=self.superseded + other.superseded,
            repeated=self.repeated + other.repeated,
            returned=self.returned + other.returned,
            held=dict(sorted((Counter(self.held) + Counter(other.held)).items())),
            days=tuple(sorted({*self.days, *other.days})),
            newest=max(newest, default=None),
            features=tuple(dict.fromkeys([*self.features, *other.features])),
        )
