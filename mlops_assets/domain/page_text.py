"""The page of a release as lines for a terminal, and as a document for other tools.

The same facts in the same order as the page in HTML, without its plots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.domain.page import overview_row, waits
from mlops_assets.domain.scoring import figure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from mlops_assets.domain.evaluation import Metrics
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.page import CircuitPart, ReleasePage

_HEADER = ("circuit", "action", "WAPE", "seasonal naive", "live now", "skill", "95 %", "look at")


def lines(page: ReleasePage, unfolded: Collection[str] = ()) -> list[str]:
    """Return the page as text.

    Circuits in ``unfolded``, those that need a look and one that is alone are told in full.
    """
    parts = page.parts
    told = [
        f"release    {page.release}  {page.state}"
        + (f", waits for {page.waits_for}" if page.waits_for else ""),
        f"digest     {page.digest}",
        f"made       {page.created_at}  from commit {page.config_commit}, attempt {page.attempt}",
    ]
    if page.reason:
        told.append(f"reason     {page.reason}")
    if not page.reviewed:
        told.append("UNREVIEWED: this home was made with four_eyes: off")
    if page.commands:
        told += _section("to sign", _to_sign(page))
    told += _section("checks", _verdicts(page.verdicts) or ["none is due in this state"])
    told += _section("what changes", _commits(page))
    told += _section("circuits, those that need a look first", _overview(parts))
    for part in parts:
        if part.circuit in unfolded or part.strangeness[:2] != (0, 0) or len(parts) == 1:
            told += _section(f"{part.circuit}: {part.changes}", _circuit(part))
    told += _section("the way back", _rollback(page, parts))
    told += _section("signatures", _signatures(page) or ["nobody has signed yet"])
    return told


def document(page: ReleasePage) -> dict[str, Any]:
    """Return what the page tells beside manifest, verdicts and signatures."""
    return {
        "changes": [dict(commit) for commit in page.commits],
        "circuits": [
            {
                "circuit": part.circuit,
                "action": part.action,
                "changes": part.changes,
                "diff": list(part.diff),
                "model": _figures(part.model),
                "floor": _figures(part.floor),
                "incumbent": _figures(part.incumbent),
                "skill": part.skill if part.model else None,
                "lineage": dict(part.chain),
                "facts": dict(part.facts),
                "verdicts": [
                    {"gate": v.gate, "passed": v.passed, "blocking": v.blocking, "reason": v.reason}
                    for v in part.verdicts
                ],
                "rollback": part.rollback or None,
            }
            for part in page.parts
        ],
        "rollback_command": page.rollback_command,
        "to_sign": [{"what": what, "command": command} for what, command in page.commands],
    }


def _figures(metrics: Metrics | None) -> dict[str, float] | None:
    if metrics is None:
        return None
    names = ("mae", "rmse", "mase", "wape", "r2", "coverage_80", "coverage_95")
    return {name: getattr(metrics, name) for name in names}


def _section(title: str, content: Iterable[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in content)]


def _to_sign(page: ReleasePage) -> list[str]:
    told = [page.signers] if page.signers else []
    for what, command in page.commands:
        told += [what, *(f"    {line}" for line in command.splitlines())]
    return told


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{_mark(each):7}  {each.gate}: {each.reason}" for each in verdicts]


def _mark(verdict: Verdict) -> str:
    if verdict.passed:
        return "passed"
    if waits(verdict):
        return "waits"
    return "REFUSED" if verdict.blocking else "warning"


def _commits(page: ReleasePage) -> list[str]:
    told = []
    for commit in page.commits:
        request = f", pull request {commit['pull request']}" if commit.get("pull request") else ""
        told.append(
            f"{commit['commit']}  {commit['subject']}: {commit.get('author', '-')}, "
            f"review: {commit.get('review', '-')}{request}; {commit.get('circuits', '')}"
        )
    return told or ["the config of these circuits is as it was released before"]


def _overview(parts: Sequence[CircuitPart]) -> list[str]:
    rows = [_HEADER, *(overview_row(part) for part in parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _circuit(part: CircuitPart) -> list[str]:
    return [
        *part.diff,
        *([" -> ".join(f"{what} {which}" for what, which in part.chain)] if part.chain else []),
        *_metrics(part),
        *(f"{what}: {which}" for what, which in part.facts),
        *_verdicts(part.verdicts),
    ]


def _metrics(part: CircuitPart) -> list[str]:
    known = [("model", part.model), ("seasonal naive", part.floor), ("live now", part.incumbent)]
    told = []
    for name, said in known:
        if (figures := _figures(said)) is not None:
            values = ", ".join(f"{what} {figure(value)}" for what, value in figures.items())
            told.append(f"{name}: {values}")
    return told


def _rollback(page: ReleasePage, parts: Sequence[CircuitPart]) -> list[str]:
    plan = [f"{part.circuit}: {part.rollback}" for part in parts if part.rollback]
    return [
        page.rollback_command,
        *(plan or ["planned and tried out before production is requested"]),
    ]


def _signatures(page: ReleasePage) -> list[str]:
    return [
        f"{each.stage}: {each.decision} by {each.principal} at {each.at}"
        + (f": {each.comment}" if each.comment else "")
        for each in page.signatures
    ]
