"""One measured figure against its limit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``holds`` says whether ``figure`` is at most ``limit``, both in ``unit``."""

    name: str
    figure: float
    limit: float
    unit: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return self.figure <= self.limit

    def document(self) -> dict[str, Any]:
        """Return the JSON object of the ``--json`` list."""
        return {**asdict(self), "holds": self.holds}
