"""Quota: how many circuits fit on endpoints that are counted, asked before anything is made.

A service gives a region of a subscription so many endpoints and deployments, and an endpoint so
many deployments; what is made past that fails in the middle of a release. Each circuit takes one
deployment where it is tried and two where it is live (the live one and the idle one that the next
release fills), so that a plant holds 10 circuits and a region 166, or 250 where the test endpoints
are counted elsewhere. A bundle serves all circuits of a plant by one deployment, of which there are
as many: then plants are what is counted, and circuits have no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.gates import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

# What one deployment serves: one circuit, or every circuit of its plant.
Serves = Literal["circuit", "plant"]
QUOTA_GATE = "quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a region of a subscription allows; a support request raises it."""

    endpoints: int = 100
    deployments: int = 500
    per_endpoint: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What one circuit (of a bundle: one plant) takes of the quota.

    ``here`` is the number of its deployments on this workspace's endpoint; ``elsewhere`` that on
    other workspaces' endpoints that the same quota counts, ``sharing`` how many of those there are.
    """

    here: int
    elsewhere: int = 0
    sharing: int = 0


def capacity(quota: Quota, shares: Shares) -> tuple[int, int, int]:
    """How many plants fit a region, how many circuits a plant, and how many circuits a region.

    >>> capacity(Quota(), Shares(here=2, elsewhere=1, sharing=1))
    (50, 10, 166)
    >>> capacity(Quota(), Shares(here=2))
    (100, 10, 250)
    """
    return (
        quota.endpoints // (1 + shares.sharing),
        quota.per_endpoint // max(shares.here, shares.elsewhere),
        quota.deployments // (shares.here + shares.elsewhere),
    )


def judge_quota(
    circuits: Mapping[str, int], quota: Quota, shares: Shares, *, serves: Serves = "circuit"
) -> Verdict:
    """Whether so many circuits by plant fit; the reason names each number and its limit.

    Args:
        circuits: circuits that are served or are to be, by plant.
        quota: what the region allows.
        shares: what each circuit takes, or each plant where one deployment serves all of it.
        serves: what one deployment serves.
    """
    plants, per_plant, region = capacity(quota, shares)
    units = {plant: 1 if serves == "plant" else count for plant, count in circuits.items() if count}
    total = sum(units.values())
    noun = "circuits" if serves == "circuit" else "plants"
    over: list[str] = []
    if len(units) > plants:
        over.append(f"{len(units)} plants, {plants} fit")
    for plant, count in sorted(units.items()):
        if count > per_plant:
            over.append(f"{plant} has {count} circuits, {per_plant} fit its endpoint")
    if total > region:
        over.append(f"{total} {noun}, {region} fit the region")
    if not over:
        fit = min(plants, region) if serves == "plant" else region
        return Verdict(QUOTA_GATE, passed=True, reason=f"{total} {noun}, {fit} fit the region")
    advice = "ask for a higher quota and write it into the settings"
    if serves == "circuit" and len(units) <= plants:
        advice = (
            f"serve each plant by one deployment (`serves: plant` in the settings), or {advice}"
        )
    return Verdict(QUOTA_GATE, passed=False, reason=f"{'; '.join(over)}: {advice}")
