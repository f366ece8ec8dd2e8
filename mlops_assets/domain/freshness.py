"""What the readings table says of itself: its schema, its keys, its age, who is silent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.readings import DEAD_AFTER, FIXED, KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from mlops_assets.domain.circuit import Circuit
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.readings import CircuitReadings, State

# Keys are looked at over this long, so that the cost does not grow with history.
KEYS_CHECKED = timedelta(days=7)
# Silence of a few circuits is theirs; of more than this share it is the table's.
MAXIMUM_SILENT_SHARE = 0.1
_NAMED = 5


def schema_verdict(columns: Sequence[str]) -> Verdict:
    """Whether every column that the platform reads is there."""
    if missing := [name for name in FIXED if name not in columns]:
        return Verdict("schema", passed=False, reason=f"missing columns: {', '.join(missing)}")
    return Verdict("schema", passed=True, reason=f"{len(columns)} columns as expected")


def unique_keys_verdict(recent: pl.DataFrame) -> Verdict:
    """Whether each key comes once in the newest rows."""
    doubled = len(recent) - recent.n_unique(list(KEY)) if len(recent) else 0
    reason = f"{doubled} of {len(recent)} keys of the newest {KEYS_CHECKED.days} days come twice"
    return Verdict("unique_keys", passed=doubled == 0, reason=reason)


def freshness_verdict(newest: datetime, now: datetime, limit_hours: int) -> Verdict:
    """Whether the newest reading is young enough."""
    hours = (now - newest) / timedelta(hours=1)
    return Verdict(
        "freshness",
        passed=hours <= limit_hours,
        reason=f"the newest reading is {hours:.1f} h old, at most {limit_hours} h are allowed",
        blocking=False,
    )


def completeness_verdict(
    shares: Mapping[CircuitKey, CircuitReadings],
    circuits: Mapping[CircuitKey, Circuit],
    now: datetime,
) -> Verdict:
    """Whether the circuits that live still tell something, by each one's own longest gap."""
    found: dict[State, list[str]] = {}
    for key, share in sorted(shares.items()):
        longest = timedelta(hours=circuits[key].spec.limits.maximum_gap_hours)
        found.setdefault(share.state(longest, now), []).append(str(key))
    named: dict[State, str] = {
        "silent": "silent",
        "stuck": "stuck",
        "dead": f"dead for {DEAD_AFTER.days} days",
        "no readings": "never reported",
    }
    living = sum(len(found.get(state, ())) for state in ("reporting", "stuck", "silent"))
    reason = f"{len(found.get('reporting', ()))} of {len(shares)} circuits report"
    for state, words in named.items():
        if state in found:
            reason += f"; {words}: {_some(found[state])}"
    lost = len(found.get("silent", ())) + len(found.get("stuck", ()))
    return Verdict(
        "completeness",
        passed=lost <= MAXIMUM_SILENT_SHARE * living,
        reason=reason,
        blocking=False,
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
