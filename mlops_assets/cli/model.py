"""Training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import circuit_option, explains
from mlops_assets.cli.session import Refused, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.cli.session import Session
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.training import TrainReport
    from mlops_assets.launch import TrainSummary


@click.command()
@circuit_option
@click.option("--all", "everything", is_flag=True, help="Every circuit of the plan (the default).")
@click.option("--ref", help="Train what this git ref changes, to compare; no release.")
@explains
def train(session: Session, circuits: tuple[str, ...], everything: bool, ref: str | None) -> None:  # noqa: FBT001 click passes it by name
    """Train what the plan names, prove it, and cut one release of it."""
    if circuits and everything:
        raise click.UsageError("--circuit and --all exclude each other")
    config = session.desired(ref=ref)
    known = sorted(config.circuits)
    chosen: list[CircuitKey] | None = session.circuits(circuits, known) if circuits else None
    summary: TrainReport | TrainSummary
    if ref is not None:
        from mlops_assets.flows.model import compare_ref

        summary = compare_ref(
            session.platform, config, chosen, now=session.now(), progress=session.progress
        )
        broken: tuple[CircuitKey, ...] = tuple(summary.failed)
        seconds: Mapping[CircuitKey, float] = summary.seconds
        left_over = None
    else:
        from mlops_assets.launch import train as launch

        summary = launch(session.settings, chosen, session.progress)
        broken, seconds, left_over = summary.broken, {}, summary.left_over
    document: dict[str, Any] = {
        "release": summary.release,
        "trained": list(summary.trained),
        "skipped": list(summary.skipped),
        "failed": dict(summary.failed),
        "metrics": {key: dict(row) for key, row in summary.metrics.items()},
    }
    session.answer(document, lambda: _lines(document, seconds))
    session.hint(left_over)
    if broken:
        reasons = "; ".join(f"{key}: {summary.failed[key]}" for key in broken)
        raise Refused(f"train: {len(broken)} circuit(s) failed: {reasons}")


def _lines(document: dict[str, Any], seconds: Mapping[CircuitKey, float]) -> list[str]:
    rows = [
        {"circuit": key, **values, "seconds": seconds.get(key)}
        for key, values in sorted(document["metrics"].items())
    ]
    timed = ("seconds",) if seconds else ()
    lines = table(rows, ("circuit", "wape", "floor", "incumbent", *timed)) if rows else []
    if timed and document["trained"]:
        lines.append(f"to retrain: {', '.join(str(key) for key in document['trained'])}")
    lines += [f"{key}: {reason}" for key, reason in sorted(document["failed"].items())]
    lines.append(
        f"trained {len(document['trained'])}, skipped {len(document['skipped'])}, "
        f"failed {len(document['failed'])}"
    )
    if document["release"]:
        lines.append(
            f"release {document['release']}: `mlops release request {document['release']} "
            "--stage registry` opens its approval"
        )
    return lines


COMMANDS = (train,)
