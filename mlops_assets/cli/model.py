"""Training, and trying a spec before it is changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import circuit_option, explains
from mlops_assets.cli.session import Refused, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.cli.session import Session
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.training import TrainReport
    from mlops_assets.domain.trial import Trial
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
        from mlops_assets.flows.comparison import compare_ref

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
    if ref is not None:
        document["seconds"] = dict(seconds)
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


@click.command("try")
@click.option("--circuit", "key", required=True, metavar="KEY", help="A circuit such as P001/C003.")
@click.option(
    "--spec",
    "spec_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The changed spec, written as plants/PLANT/CIRCUIT.yml is.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the plot goes, an HTML file; a new temporary file without it.",
)
@explains
def try_spec(session: Session, key: str, spec_file: Path, out: Path | None) -> None:
    """Backtest a changed spec against what it would replace; nothing of the home changes."""
    from mlops_assets.adapters.local.files import write_atomic
    from mlops_assets.flows.trial import proposed, trial

    config = session.desired()
    chosen = session.circuits([key], sorted(config.circuits))
    if len(chosen) != 1:
        raise click.UsageError(f"--circuit {key}: name one circuit")
    changed = proposed(
        session.platform, config, chosen[0], spec_file.read_bytes(), file=str(spec_file)
    )
    found = trial(session.platform, config, changed, now=session.now(), progress=session.progress)
    plot = out or _temporary(str(chosen[0]))
    write_atomic(plot, found.page())
    session.answer(
        {**found.document(), "spec": spec_file, "plot": plot}, lambda: _tried(found, plot)
    )


def _temporary(key: str) -> Path:
    """Return a new empty file of the system's, which nobody else can have made."""
    import os
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f"trial-{key.replace('/', '-')}-", suffix=".html")
    os.close(descriptor)
    return Path(name)


def _tried(found: Trial, plot: Path) -> list[str]:
    columns = ("candidate", "what", "mae", "wape", "skill", "coverage_80", "coverage_95")
    document = found.document()
    lines = table(document["candidates"], columns)
    lines.append(document["says"])
    lines += [
        f"{each['gate']}: {each['reason']}" for each in document["gates"] if not each["passed"]
    ]
    return [*lines, *document["notes"], f"plot: {plot}"]


COMMANDS = (train, try_spec)
