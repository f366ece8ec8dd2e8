"""Training data: exactly the rows that one model may learn from, pinned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import DataVersion, canonical_json
from mlops_assets.domain.model import COLD_START_DAYS
from mlops_assets.domain.readings import KEY, window_end

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import polars as pl

    from mlops_assets.domain.circuit import Circuit
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import Series

# Past the cold start at least half of the steps of that time must hold a reading.
MINIMUM_SHARE = 0.5
# More gaps than this share warn: the model learns from what was filled in.
GAPS_WARN_SHARE = 0.2


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

    @property
    def end(self) -> datetime:
        """The first moment that is not in it: local midnight after the cutoff date."""
        return data_end(self.cutoff_date, self.timezone)


def data_end(cutoff_date: date, timezone: str) -> datetime:
    """Return the first moment after the last whole local day that a model may learn from."""
    return window_end(cutoff_date + timedelta(days=1), timezone)


def content_digest(rows: pl.DataFrame) -> str:
    """Return the SHA-256 of one circuit's rows and columns, in whatever order and file they lie."""
    import polars as pl

    ordered = rows.sort(KEY).select(sorted(rows.columns))
    digest = hashlib.sha256()
    digest.update(canonical_json({"columns": ordered.columns, "rows": len(ordered)}))
    for column in ordered:
        if column.dtype == pl.Float64:
            # Adding 0.0 makes one zero of two; a gap is no number.
            digest.update((column.is_null() | column.is_nan()).to_numpy().astype("u1").tobytes())
            digest.update((column.fill_nan(None).fill_null(0.0) + 0.0).to_numpy().tobytes())
        elif column.dtype == pl.String:
            digest.update(canonical_json(column.to_list()))
        else:
            digest.update(column.to_physical().cast(pl.Int64).to_numpy().tobytes())
    return digest.hexdigest()


def next_version(cutoff_date: date, versions: Sequence[DataVersion]) -> DataVersion:
    """Return the version of new content for a date: the date, then ``.r1``, ``.r2``, ...

    >>> from datetime import date
    >>> str(next_version(date(2024, 6, 21), [DataVersion(date(2024, 6, 21))]))
    '2024-06-21.r1'
    """
    revisions = [version.revision for version in versions if version.cutoff_date == cutoff_date]
    return DataVersion(cutoff_date, max(revisions, default=-1) + 1)


def verdicts(data: TrainingData, series: Series, circuit: Circuit) -> tuple[Verdict, ...]:
    """Judge training data: enough rows, gaps, content as pinned."""
    import numpy as np

    known = int(np.isfinite(series.values).sum())
    share = known / len(series) if len(series) else 0.0
    cold = series.end - series.start < timedelta(days=COLD_START_DAYS)
    wanted = 1 if cold else int(MINIMUM_SHARE * COLD_START_DAYS * circuit.spec.steps_per_day)
    pinned = known == data.rows and series.end == data.end
    return (
        Verdict("enough_rows", known >= wanted, f"{known} readings, at least {wanted} are needed"),
        Verdict(
            "gaps",
            1 - share <= GAPS_WARN_SHARE,
            f"{1 - share:.1%} of the steps are empty, at most {GAPS_WARN_SHARE:.0%} are usual; "
            f"the longest gap is {_longest_gap(series)} steps",
            blocking=False,
        ),
        Verdict(
            "content_as_pinned",
            pinned,
            f"{known} readings up to {series.end.isoformat()}, {data.rows} up to "
            f"{data.end.isoformat()} are pinned as {data.version} ({data.content_digest[:12]})",
        ),
    )


def _longest_gap(series: Series) -> int:
    import numpy as np

    known = np.flatnonzero(np.isfinite(series.values))
    edges = np.concatenate(([-1], known, [len(series)]))
    return int(np.diff(edges).max()) - 1
