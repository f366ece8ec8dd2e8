"""Warm start of `auto`: what the incumbent's contest found need not be found again.

Most of a contest is spent on trying every variant of every forecaster (orders, trends, seasons). A
warm training fits the variants that the incumbent's contest chose, and leaves out whom it sent
home, where both were known before its own first origin: nothing that an origin is judged on has
chosen anything. All parameters, weights, widths and figures are its own.

The way back is a full contest: for another question, for a contest too long ago, for a first origin
before the contest's, from the origin on at which the warm mean is known to lose to the floor, and
for the final model where it does worse against the floor than the contest's did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.identifiers import digest_of
from mlops_assets.domain.warm_start import Learned
from mlops_assets.forecasters.catalogue import ALGORITHMS, candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Spec
    from mlops_assets.domain.warm_start import WarmStart

# Members learn from up to 91 days: after eight weeks most of those are newer than the contest.
HOLDS = timedelta(days=56)
# How much worse against the floor a warm mean may do than the contest's before all is tried again.
MARGIN = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known before the first origin: variants by label, and who need not compete."""

    variants: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, datetime] = field(default_factory=dict)


def known_before(
    warm_start: WarmStart | None, spec: Spec, moments: Sequence[datetime], log: list[str]
) -> Known | None:
    """Return what a training may begin from, None where it begins from nothing."""
    if warm_start is None or spec.forecaster != "auto" or not moments:
        return None
    learned, first = warm_start.learned, moments[0]
    against = None
    if learned.question != question(spec):
        against = "it was asked something else"
    elif learned.since > first:
        against = f"its contest began on {learned.since:%Y-%m-%d}, after the first origin"
    elif first - learned.since > HOLDS:
        against = f"its contest began on {learned.since:%Y-%m-%d}, over {HOLDS.days} days before"
    if against:
        log.append(f"warm start: none from {warm_start.model[:12]}, {against}")
        return None
    left = {label: moment for label, moment in learned.left.items() if moment <= first}
    log.append(
        f"warm start: from model {warm_start.model[:12]}, variants of the contest of "
        f"{learned.since:%Y-%m-%d}" + (f", without {', '.join(sorted(left))}" if left else "")
    )
    return Known(variants=learned.variants, left=left)


def drifted(ratio: float, warm_start: WarmStart | None = None) -> str | None:
    """Say why a warm mean with this error over the floor's is not good enough, if so."""
    if not ratio <= 1:
        return f"error {ratio:.3f} of the floor's"
    if warm_start is not None and ratio > (1 + MARGIN) * warm_start.learned.ratio:
        return f"error {ratio:.3f} of the floor's, {warm_start.learned.ratio:.3f} in the contest"
    return None


def learned_from(
    spec: Spec,
    first: datetime,
    *,
    variants: Mapping[str, str],
    left: Mapping[str, datetime],
    ratio: float,
    before: WarmStart | None,
) -> Learned:
    """Return what the next training may begin from.

    A warm training passes on what it began from, with whom it sent home itself. A mean that lost to
    the floor hands on its variants too: its errors are those of days on which the next training is
    judged, and may not say how that begins.
    """
    if before is not None:
        contest = before.learned
        return Learned(
            question=contest.question,
            since=contest.since,
            variants=contest.variants,
            left={**left, **contest.left},
            ratio=contest.ratio,
        )
    ratio = ratio if math.isfinite(ratio) else 1.0
    return Learned(question=question(spec), since=first, variants=variants, left=left, ratio=ratio)


def question(spec: Spec) -> str:
    """Return the digest of what a contest is about; only the cutoff date may differ."""
    return digest_of(
        {
            "algorithm_version": ALGORITHMS["auto"].version,
            "candidates": list(candidates(spec)),
            "features": list(spec.features),
            "horizon": spec.horizon,
            "interval": spec.interval,
            "timezone": spec.timezone,
        }
    )


def ratio_of(error: float, floor_error: float) -> float:
    """Return a mean absolute error as a share of the floor's; NaN where there is none."""
    return error / floor_error if floor_error > 0 else math.nan
