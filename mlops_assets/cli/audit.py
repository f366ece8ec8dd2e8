"""Commands that only look: status, trace, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import Day, explains
from mlops_assets.cli.session import Refused, before_ingest, cell, marked, review, table
from mlops_assets.domain.identifiers import CircuitKey

if TYPE_CHECKING:
    from datetime import date

    from mlops_assets.cli.session import Session


@click.command()
@explains
def status(session: Session) -> None:
    """Per circuit: live model, release, last forecast, quality, what waits for whom."""
    from mlops_assets.flows.status import incidents
    from mlops_assets.flows.status import status as states

    platform, config, now = session.platform, session.desired(), session.now()
    found = incidents(platform, config, now=now)
    rows = states(platform, config, now=now, found=found)
    columns = ("circuit", "model", "release", "last_forecast", "quality", "held", "waits_for")
    lines = [f"{one['severity']}: {one['subject']}: `{one['command']}`" for one in found]
    session.answer(rows, lambda: [*table(marked(rows), (*columns, *review(rows))), *lines])
    session.hint(before_ingest(platform))


@click.command()
@click.argument("key")
@click.option("--date", "day", type=Day(), required=True, help="The day that was forecast.")
@explains
def trace(session: Session, key: str, day: date) -> None:
    """Follow a predicted number back to its proof, verified on the way."""
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.trace import trace as follow

    platform, config = session.platform, session.desired()
    # What was forecast once is followed even where the circuit is neither wanted nor live any more.
    forecast = platform.lake.predictions.read(issued_for=day).select("plant_id", "circuit_id")
    known = {*config.circuits, *live_deployments(platform.prod)}
    known |= {CircuitKey(plant, circuit) for plant, circuit in forecast.unique().iter_rows()}
    (circuit,) = session.circuits([key], sorted(known))
    chain = follow(platform, config, circuit, day)
    session.answer(chain, lambda: _chain(chain))


def _chain(chain: dict[str, object], indent: str = "") -> list[str]:
    lines: list[str] = []
    for name, value in chain.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_chain(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name:16} {cell(value)}")
    return lines


@click.command()
@click.option("--reproduce", metavar="ID", help="Train a release again and compare.")
@explains
def verify(session: Session, reproduce: str | None) -> None:
    """Check the chain, its anchors, every signature, and the digests of all that is deployed."""
    from mlops_assets.flows.audit import verify as check

    document = check(session.platform, now=session.now())
    if reproduce is not None:
        from mlops_assets.flows.reproduce import reproduce as again

        problems = again(session.platform, reproduce, now=session.now(), progress=session.progress)
        document = {**document, "problems": [*document["problems"], *problems]}
        document["ok"] = not document["problems"]
    lines = [*document["problems"], f"{document['entries']} ledger entries checked"]
    lines += [document["not_asked"]] if "not_asked" in document else []
    session.answer(document, [str(line) for line in lines])
    if not document["ok"]:
        raise Refused(f"verify found {len(document['problems'])} problem(s)")


COMMANDS = (status, trace, verify)
