"""Commands that only look: status, trace, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import Day, explains
from mlops_assets.cli.session import Refused, cell, table
from mlops_assets.domain.identifiers import CircuitKey

if TYPE_CHECKING:
    from datetime import date

    from mlops_assets.cli.session import Session


@click.command()
@explains
def status(session: Session) -> None:
    """Per circuit: live model, release, last forecast, quality, what waits for whom."""
    from mlops_assets.flows.status import status as states

    rows = states(session.platform, session.desired(), now=session.now())
    columns = ("circuit", "model", "release", "last_forecast", "quality", "held", "waits_for")
    session.answer(rows, lambda: table(rows, columns))


@click.command()
@click.argument("key")
@click.option("--date", "day", type=Day(), required=True, help="The day that was forecast.")
@explains
def trace(session: Session, key: str, day: date) -> None:
    """Follow a predicted number back to its proof, verified on the way."""
    from mlops_assets.flows.trace import trace as follow

    chain = follow(session.platform, session.desired(), CircuitKey.parse(key), day)
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
    session.answer(document, [str(line) for line in lines])
    if not document["ok"]:
        raise Refused(f"verify found {len(document['problems'])} problem(s)")


COMMANDS = (status, trace, verify)
