"""Rolling out an environment without training: what must be compared, and what the answer means.

A model is applied in the environment that it runs in and in the new one, to the same frozen
readings; only forecasts that are equal bit for bit are harmless, because serving asks a model for
its golden forecast bit for bit and steps down where it does not come. Jobs and answers travel
between interpreters as JSON: numbers as hexadecimal floats, files as base64.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.gates import Verdict
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef, canonical_json, decimal_text
from mlops_assets.domain.readings import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = 1
# So many circuits a reason names; it counts the others.
_NAMED = 5
COLUMNS = ("value", "lo_80", "hi_80", "lo_95", "hi_95")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One model that is to run in another environment than it was proved in."""

    circuit: CircuitKey
    model_version: int
    model_digest: str
    before: str
    before_digest: str
    after: str
    after_digest: str
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyJob:
    """One model to apply to one series, ``steps`` far."""

    circuit: CircuitKey
    files: Mapping[str, bytes]
    series: Series
    steps: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What an environment made of a job: a forecast by column, or the sentence why not."""

    columns: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    golden: bool = False
    error: str = ""


def request_bytes(jobs: Iterable[ApplyJob]) -> bytes:
    """Return jobs as one JSON document."""
    document = [
        {
            "circuit": str(job.circuit),
            "files": {name: base64.b64encode(data).decode() for name, data in job.files.items()},
            "start": job.series.start.isoformat(),
            "step_seconds": int(job.series.step.total_seconds()),
            "values": _hex(job.series.values.tolist()),
            "features": {name: _hex(each.tolist()) for name, each in job.series.features.items()},
            "steps": job.steps,
        }
        for job in jobs
    ]
    return json.dumps({"format": FORMAT, "jobs": document}).encode()


def read_request(data: bytes) -> list[ApplyJob]:
    """Read jobs back."""
    import numpy as np

    return [
        ApplyJob(
            circuit=CircuitKey.parse(job["circuit"]),
            files={name: base64.b64decode(text) for name, text in job["files"].items()},
            series=Series(
                datetime.fromisoformat(job["start"]),
                timedelta(seconds=job["step_seconds"]),
                np.array(_floats(job["values"])),
                {name: np.array(_floats(each)) for name, each in job["features"].items()},
            ),
            steps=job["steps"],
        )
        for job in json.loads(data)["jobs"]
    ]


def answer_bytes(applied: Mapping[CircuitKey, Applied]) -> bytes:
    """Return answers as one JSON document."""
    document = {
        str(key): {
            "columns": {name: _hex(values) for name, values in each.columns.items()},
            "golden": each.golden,
            "error": each.error,
        }
        for key, each in applied.items()
    }
    return json.dumps({"format": FORMAT, "applied": document}).encode()


def read_answer(data: bytes, *, where: str) -> dict[CircuitKey, Applied]:
    """Read answers back; DataError names ``where`` when they are none."""
    try:
        return {
            CircuitKey.parse(key): Applied(
                {name: tuple(_floats(values)) for name, values in each["columns"].items()},
                each["golden"] is True,
                str(each["error"]),
            )
            for key, each in json.loads(data)["applied"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: gave no readable forecasts; look at its installation") from error


def _hex(values: Iterable[float]) -> list[str]:
    return [float(value).hex() for value in values]


def _floats(texts: Iterable[str]) -> list[float]:
    return [float.fromhex(text) for text in texts]


def compared(move: Move, before: Applied, after: Applied) -> dict[str, Any]:
    """Return what the evidence says of one model: its largest difference, or why there is none."""
    problem = ""
    for name, applied in ((move.before, before), (move.after, after)):
        if not problem and applied.error:
            problem = f"cannot be applied in {name}: {applied.error}"
        elif not problem and not applied.golden:
            problem = f"does not give its golden forecast in {name}"
    difference = _difference(before.columns, after.columns)
    forecast = before.columns.get("value", ())
    mean = sum(abs(value) for value in forecast) / len(forecast) if forecast else math.nan
    return {
        "model_version": move.model_version,
        "model_digest": move.model_digest,
        "from": move.before,
        "from_digest": move.before_digest,
        "to": move.after,
        "to_digest": move.after_digest,
        "steps": len(forecast),
        "largest_difference": _text(difference),
        "mean_forecast": _text(mean),
        "problem": problem,
    }


def _difference(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]
) -> float:
    """Return the largest difference over all columns; infinite where they cannot be compared."""
    largest = 0.0
    for name in COLUMNS:
        ours, theirs = before.get(name, ()), after.get(name, ())
        if not ours or len(ours) != len(theirs):
            return math.inf
        for one, other in zip(ours, theirs, strict=True):
            same = one == other or (math.isnan(one) and math.isnan(other))
            gap = 0.0 if same else abs(one - other)
            largest = max(largest, math.inf if math.isnan(gap) else gap)
    return largest


def _text(value: float) -> str | None:
    return decimal_text(value) if math.isfinite(value) else None


def document(release: str, delta_version: int, rows: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the evidence of a rollout: each model in both environments on the same readings."""
    return canonical_json(
        {
            "format": FORMAT,
            "release": release,
            "delta_version": delta_version,
            "circuits": {key: dict(row) for key, row in rows.items()},
        }
    )


def judge_rollout(moves: Sequence[Move], stored: bytes | None, left: Sequence[str]) -> Verdict:
    """Ask whether every model forecasts the same in its new environment, and none is left behind.

    ``left`` are live circuits that would stay in the environment that the release leaves.
    """
    problems = [
        f"{move.circuit}: {move.before} to {move.after} is MAJOR and needs training"
        for move in moves
        if EnvironmentRef.parse(move.before).version.major
        != EnvironmentRef.parse(move.after).version.major
    ]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        named = ", ".join(left[:_NAMED]) + more
        problems.append(f"all or nothing: {named} would stay behind; release them with it")
    if stored is None:
        problems.append("the environments were not compared: request the registry stage")
        return Verdict("environment", passed=False, reason="; ".join(problems))
    try:
        rows = json.loads(stored)["circuits"]
        problems += [text for move in moves if (text := _unproved(move, rows))]
        differing = {key: row for key, row in rows.items() if _gap(row) and not row["problem"]}
        if differing:
            problems.append(_largest(differing, len(rows)))
    except (ValueError, KeyError, TypeError, AttributeError):
        problems.append("the comparison of environments is not as it was stored")
    after = ", ".join(sorted({move.after for move in moves}))
    reason = "; ".join(problems) or (
        f"{len(moves)} models forecast the same, bit for bit, in {after} on frozen readings"
    )
    return Verdict("environment", passed=not problems, reason=reason)


def _unproved(move: Move, rows: Mapping[str, Mapping[str, Any]]) -> str | None:
    row = rows.get(str(move.circuit))
    pins = (move.model_digest, move.before_digest, move.after_digest)
    if row is None or (row["model_digest"], row["from_digest"], row["to_digest"]) != pins:
        return f"{move.circuit}: was not compared as it is released"
    return f"{move.circuit}: {row['problem']}" if row["problem"] else None


def _gap(row: Mapping[str, Any]) -> float:
    text = row["largest_difference"]
    return math.inf if text is None else float(text)


def _largest(differing: Mapping[str, Mapping[str, Any]], count: int) -> str:
    key = max(sorted(differing), key=lambda each: _gap(differing[each]))
    row = differing[key]
    gap = row["largest_difference"] or "without bound"
    return (
        f"forecasts differ for {len(differing)} of {count} models, most for {key}: {gap} where the "
        f"mean forecast is {row['mean_forecast']}, from {row['from']} to {row['to']}; "
        "give the environment a MAJOR version and train"
    )
