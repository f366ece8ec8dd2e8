"""Commands about a home as a whole: make one, look after it, open it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import explains
from mlops_assets.cli.session import Refused, table
from mlops_assets.domain.errors import MlopsError
from mlops_assets.domain.gates import Verdict

if TYPE_CHECKING:
    from mlops_assets.cli.session import Session
    from mlops_assets.domain.circuit import Effort

_READINGS = click.Path(path_type=Path)
_EFFORT = click.Choice(["fast", "balanced", "best"])


@click.command()
@click.option("--readings", type=_READINGS, help="A long-format Parquet or CSV file.")
@click.option("--feature", "features", multiple=True, metavar="NAME", help="A column to keep.")
@click.option("--horizon", type=click.IntRange(1, 336), default=24, help="Hours to forecast.")
@click.option("--effort", type=_EFFORT, default="balanced")
@explains
def init(
    session: Session, readings: Path | None, features: tuple[str, ...], horizon: int, effort: Effort
) -> None:
    """Make a home: its folders, its config repository, ledger entry 0."""
    from mlops_assets.resources.home import initialise

    document = initialise(
        session.settings, readings=readings, features=features, horizon=horizon, effort=effort
    )
    session.answer(
        document,
        [
            (
                f"{session.settings.home}: {document['plants']} plants, "
                f"{document['circuits']} circuits, every {document['interval']}"
            ),
            "next: `mlops ingest`, `mlops plan`, `mlops train`",
        ],
    )


@click.command()
@click.option("--readings", type=_READINGS, help="Your own readings instead of simulated ones.")
@click.option("--circuits", type=click.IntRange(min=1), help="Only the first N circuits.")
@click.option("--horizon", type=click.IntRange(1, 336), default=24, help="Hours to forecast.")
@click.option("--effort", type=_EFFORT, help="Of circuits whose forecaster is auto.")
@explains
def demo(
    session: Session,
    readings: Path | None,
    circuits: int | None,
    horizon: int,
    effort: Effort | None,
) -> None:
    """The whole loop in a fresh home, from readings to daily predictions."""
    from mlops_assets.cli.demo import PEOPLE, Demo
    from mlops_assets.resources.home import initialise_demo

    initialise_demo(
        session.settings,
        people=PEOPLE,
        readings=readings,
        circuits=circuits,
        horizon=horizon,
        effort=effort,
        progress=session.progress,
    )
    document = Demo(session).run()
    counts = ("circuits", "trained", "deployed", "predicted", "skill", "seconds")
    lines = table([{name: document[name] for name in counts}], counts)
    lines += [f"left out: {key}: {reason}" for key, reason in document["refused"].items()]
    lines.append(f"open it: mlops --home {session.settings.home} ui")
    session.answer(document, lines)


@click.command()
@explains
def migrate(session: Session) -> None:
    """Bring an older home to this version's format."""
    from mlops_assets.resources.home import migrate_home

    done = migrate_home(session.settings)
    session.answer({"steps": done}, done or ["nothing to do: the home has this version's format"])


@click.command()
@explains
def doctor(session: Session) -> None:
    """Check settings, home, config, ledger and tools, before anything is changed."""
    from mlops_assets.cli.doctor import examine, examine_backend

    findings = examine_backend(session.settings)
    try:
        platform = session.platform
    except MlopsError as error:
        if not findings:
            raise
        # Asked before there is a home, so that what would stop `init` is known before it.
        begun = session.settings.layout.begun()
        says = str(error) if begun else "none yet: `mlops init` is next"
        findings += (Verdict("home", passed=not begun, reason=says),)
    else:
        findings += examine(session.settings, platform, now=session.now())
    rows = [{"check": one.gate, "ok": one.passed, "says": one.reason} for one in findings]
    session.answer(rows, lambda: table(rows, ("check", "ok", "says")))
    if bad := [one for one in findings if not one.passed]:
        raise Refused(f"doctor: {len(bad)} problem(s): {bad[0].reason}")


@click.command()
@explains
def rebuild(session: Session) -> None:
    """Refill Dagster's database from the facts and the ledger."""
    from mlops_assets.launch import rebuild as refill

    document = refill(session.settings, session.progress)
    session.answer(document, [f"{name}: {count} events" for name, count in document.items()])


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=3000)
@explains
def ui(session: Session, port: int) -> None:
    """Dagster's web server and daemon on this home, on 127.0.0.1."""
    from mlops_assets.launch import serve

    session.platform.config.head()  # a home that cannot be used is refused here, in one line
    raise SystemExit(serve(session.settings, port))


COMMANDS = (init, demo, migrate, doctor, rebuild, ui)
