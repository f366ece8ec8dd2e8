"""What a pull request is told of itself: what it would change, and what training that gives.

Texts come from config and data that anybody may propose, so each stands in one cell as it is
written: nothing of it is read as markup, as a mention or as another line.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# By which the comment is found again, so that each push replaces what the last one said.
MARKER = "<!-- mlops plan -->"
# A comment holds 150,000 characters with the marker, as UTF-16 counts them; a change of the whole
# fleet is told in part.
_LONGEST = 149_000
_ROWS = 200
_CELL = 300


def comment_text(plan: bytes, train: bytes | None) -> str:
    """Return a comment from what `mlops --json plan` and `mlops --json train --ref` printed.

    Raises:
        DataError: one of them printed something else.
    """
    parts = ["### What this change asks for", *_plan(_document(plan, "plan"))]
    if train is not None:
        parts += ["", "### What training it gives", *_train(_document(train, "train"))]
    return "".join(f"{line}\n" for line in _within(parts))


def _within(lines: Sequence[str]) -> Sequence[str]:
    """Return as many lines as a comment holds."""
    left = _LONGEST
    for place, line in enumerate(lines):
        left -= len(line.encode("utf-16-le")) // 2 + 1
        if left < 0:
            return [*lines[:place], "", f"and {len(lines) - place} lines more"]
    return lines


def _plan(document: Any) -> list[str]:  # noqa: ANN401 any JSON value
    if isinstance(document, dict) and "error" in document:
        return ["The config is refused:", "", *_refused(document["error"])]
    lines = [line for line in document if line["action"] != "none"]
    same = len(document) - len(lines)
    told = f"{len(lines)} circuit(s) change, {same} stay as they are."
    rows = ([line["circuit"], line["action"], line["reason"]] for line in lines)
    return [told, *_table(("circuit", "action", "reason"), rows, len(lines))]


def _train(document: Any) -> list[str]:  # noqa: ANN401 any JSON value
    if "error" in document:
        return ["Nothing was trained:", "", *_refused(document["error"])]
    metrics = document["metrics"]
    told = f"{len(metrics)} circuit(s) trained to compare; nothing of it is registered or released."
    rows = (
        [key, *(_share(values.get(name)) for name in ("wape", "floor", "incumbent"))]
        for key, values in sorted(metrics.items())
    )
    failed = _listed([f"{key}: {why}" for key, why in sorted(document["failed"].items())])
    heads = ("circuit", "WAPE", "seasonal naive", "live model")
    return [told, *_table(heads, rows, len(metrics)), *failed]


def _refused(error: object) -> list[str]:
    return _listed(str(error).splitlines())


def _listed(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - _ROWS} more"] if len(lines) > _ROWS else []
    return [*(f"- {_cell(line)}" for line in lines[:_ROWS]), *more]


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], count: int) -> list[str]:
    if not count:
        return []
    shown = [row for row, _ in zip(rows, range(_ROWS), strict=False)]
    more = [f"and {count - _ROWS} more"] if count > _ROWS else []
    return [
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(map(_cell, row))} |" for row in shown),
        *more,
    ]


def _share(value: object) -> str:
    return "-" if value is None else f"{float(str(value)):.1%}"


def _cell(value: object) -> str:
    """Return a text as it is written, on one line, without a meaning of its own."""
    text = " ".join(str(value).split())
    shown = text if len(text) <= _CELL else f"{text[: _CELL - 3]}..."
    return re.sub(r"[&\\`*_{}\[\]()#+!|~@<>-]", lambda found: f"&#{ord(found[0])};", shown)


def _document(data: bytes, what: str) -> Any:  # noqa: ANN401 any JSON value
    kinds: Mapping[str, tuple[type, ...]] = {"plan": (list, dict), "train": (dict,)}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _odd(what) from error
    if not isinstance(found, kinds[what]) or not _readable(found, what):
        raise _odd(what)
    return found


def _readable(found: Any, what: str) -> bool:  # noqa: ANN401 any JSON value
    if isinstance(found, dict) and "error" in found:
        return True
    if what == "plan":
        names = {"circuit", "action", "reason"}
        return isinstance(found, list) and all(
            isinstance(line, dict) and names <= set(line) for line in found
        )
    metrics, failed = found.get("metrics"), found.get("failed")
    return (
        isinstance(metrics, dict)
        and isinstance(failed, dict)
        and all(
            isinstance(row, dict)
            and all(value is None or isinstance(value, int | float) for value in row.values())
            for row in metrics.values()
        )
    )


def _odd(what: str) -> DataError:
    command = "plan" if what == "plan" else "train --ref REF"
    return DataError(f"--{what}: is not what `mlops --json {command}` prints")
