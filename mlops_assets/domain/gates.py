"""Gates: one question each, answered with a reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate said. ``reason`` is a sentence an approver can act on."""

    gate: str
    passed: bool
    reason: str
    blocking: bool = True
