"""Monitor as files that any collector reads: a line of JSON a row, and gauges as OpenMetrics text.

``rows/DAY.jsonl`` holds one line a circuit, the newest one; ``metrics.prom`` is what a Prometheus
node exporter picks up from a folder.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.files import locked, read_bytes, write_atomic
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.monitor import GAUGES, row_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date
    from pathlib import Path

    from mlops_assets.domain.monitor import Gauge
    from mlops_assets.domain.quality import DayQuality


class LocalMonitor:
    """``monitoring/`` of the home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, days: Sequence[DayQuality]) -> None:
        """Put rows into the file of their day, each in place of the one it replaces."""
        by_day: dict[date, dict[str, str]] = {}
        for day in days:
            by_day.setdefault(day.issued_for, {})[str(day.circuit)] = _line(day)
        for issued_for, lines in by_day.items():
            path = self._folder / "rows" / f"{issued_for.isoformat()}.jsonl"
            whole = self._lines(path) | lines
            write_atomic(path, "".join(whole[key] for key in sorted(whole)).encode())

    def gauges(self, gauges: Sequence[Gauge]) -> None:
        """Replace the file of gauges."""
        lines = []
        for name in GAUGES:
            series = [gauge for gauge in gauges if gauge.name == name]
            metric = name.replace(".", "_")
            lines += [f"# TYPE {metric} gauge"] if series else []
            lines += [f"{metric}{_labels(gauge)} {gauge.value!r}" for gauge in series]
        write_atomic(self._folder / "metrics.prom", "\n".join([*lines, "# EOF\n"]).encode())

    def _lines(self, path: Path) -> dict[str, str]:
        try:
            lines = (read_bytes(path) or b"").decode().splitlines(keepends=True)
            return {str(json.loads(line)["circuit"]): line for line in lines}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: is not what was written there; delete it") from error


class LocalSentRows:
    """``monitoring/sent.json``: the id of each row that was taken, by its key."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sent.json"

    def read(self) -> Mapping[str, str]:
        """The ids by key; none before the first sending."""
        return read_sent(read_bytes(self._path), str(self._path))

    def write(self, sent: Mapping[str, str]) -> None:
        """Replace all of them in one step."""
        write_atomic(self._path, sent_bytes(sent))

    def lock(self) -> AbstractContextManager[None]:
        """Hold the sending against other senders of this home."""
        return locked(self._path.with_name(".lock"))


def sent_bytes(sent: Mapping[str, str]) -> bytes:
    """Return what `read_sent` reads."""
    return json.dumps(dict(sorted(sent.items())), indent=0).encode()


def read_sent(data: bytes | None, where: str) -> Mapping[str, str]:
    """Read ids by key; DataError where ``where`` holds anything else."""
    says = f"{where}: is not what was written there; delete it, and rows are sent again"
    try:
        sent = dict(json.loads(data or b"{}"))
    except (ValueError, TypeError) as error:
        raise DataError(says) from error
    if not all(isinstance(each, str) for each in sent.values()):
        raise DataError(says)
    return sent


def _line(day: DayQuality) -> str:
    values = {item.name: getattr(day, item.name) for item in fields(day)}
    values |= {"circuit": str(day.circuit), "issued_for": day.issued_for.isoformat()}
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = None
    return json.dumps({"id": row_id(day), **values}) + "\n"


def _labels(gauge: Gauge) -> str:
    if gauge.circuit is None:
        return ""
    return f'{{plant="{gauge.circuit.plant_id}",circuit="{gauge.circuit.circuit_id}"}}'
