"""What became of attacks: accepted, refused with a code, or crashed; counted by family."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import MlopsError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED = "ACCEPTED"
CRASHED = "CRASHED"
# What a person reads in a terminal: one line that does not scroll away.
LONGEST_REASON = 4000


@dataclass(frozen=True, slots=True)
class Outcome:
    """``code`` is `ACCEPTED`, `CRASHED`, or what refused; ``reason`` is what people read."""

    code: str
    reason: str = ""

    @property
    def refused(self) -> bool:
        return self.code not in {ACCEPTED, CRASHED}


def outcome_of(attempt: Callable[[], Any]) -> Outcome:
    """Try it. A refusal is the product's own error, or a result that was not accepted."""
    try:
        result = attempt()
    except RefusedError as error:
        return _readable(error.code, error.reason)
    except MlopsError as error:
        return _readable(type(error).__name__, str(error))
    except Exception as error:  # noqa: BLE001 that is what is counted here
        return Outcome(CRASHED, f"{type(error).__name__}: {error}")
    if getattr(result, "accepted", True):
        return Outcome(ACCEPTED, repr(result)[:200])
    return _readable(result.code, result.reason)


def _readable(code: str, reason: str) -> Outcome:
    """A refusal that would garble a terminal counts as a crash: nobody can act on it."""
    if not code or not reason.isprintable() or not 0 < len(reason) <= LONGEST_REASON:
        return Outcome(CRASHED, f"{code}: unreadable reason {reason[:200]!r}")
    return Outcome(code, reason)


class Tally:
    """Counts by family and code; keeps the first examples of what must not be."""

    def __init__(self) -> None:
        self.codes: dict[str, Counter[str]] = defaultdict(Counter)
        self.distinct: dict[str, set[int]] = defaultdict(set)
        self.controls: Counter[str] = Counter()
        self.wrong: list[str] = []

    def control(self, family: str, outcome: Outcome) -> None:
        """The untouched original of a family: unless it is accepted, its mutants prove nothing."""
        self.controls[family] += 1
        if outcome.code != ACCEPTED:
            self.wrong.append(f"{family}: control was refused: {outcome.code} {outcome.reason}")

    def add(self, family: str, outcome: Outcome, *, identity: int, what: str) -> None:
        """Count one attack; ``identity`` tells equal attempts apart from different ones."""
        self.codes[family][outcome.code] += 1
        self.distinct[family].add(identity)
        if not outcome.refused:
            self.wrong.append(f"{family}: {outcome.code}: {what}: {outcome.reason}")

    @property
    def tried(self) -> int:
        return sum(sum(codes.values()) for codes in self.codes.values())

    def table(self) -> str:
        """One line a family."""
        head = f"{'family':36} {'tried':>7} {'distinct':>8} {'control':>7} {'acc.':>4} {'crash':>5}"
        lines = [f"{head}  refused by code"]
        for family, codes in self.codes.items():
            refused = ", ".join(
                f"{code} {count}"
                for code, count in codes.most_common()
                if code not in {ACCEPTED, CRASHED}
            )
            lines.append(
                f"{family:36} {sum(codes.values()):7} {len(self.distinct[family]):8} "
                f"{self.controls[family]:7} {codes[ACCEPTED]:4} {codes[CRASHED]:5}  {refused}"
            )
        total = Counter[str]()
        for codes in self.codes.values():
            total.update(codes)
        lines.append(
            f"{'all':36} {self.tried:7} {sum(map(len, self.distinct.values())):8} "
            f"{sum(self.controls.values()):7} {total[ACCEPTED]:4} {total[CRASHED]:5}  "
            f"{len(total.keys() - {ACCEPTED, CRASHED})} codes"
        )
        return "\n".join(lines)
