"""The way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import circuit_option, explains
from mlops_assets.cli.session import Refused
from mlops_assets.domain.errors import UsageError

if TYPE_CHECKING:
    from mlops_assets.cli.session import Session
    from mlops_assets.domain.deployment import RollbackReport


@click.command()
@circuit_option
@click.option("--plant", metavar="P", help="Every live circuit of a plant.")
@click.option("--all", "everything", is_flag=True, help="Every live circuit.")
@click.option("--to", metavar="ID", help="An earlier release of its deployment history.")
@click.option("--as", "operator", required=True, metavar="PRINCIPAL", help="Who does it: e-mail.")
@click.option("--reason", required=True, help="Why, for the ledger.")
@explains
def rollback(  # noqa: PLR0917 click passes options by name
    session: Session,
    circuits: tuple[str, ...],
    plant: str | None,
    everything: bool,  # noqa: FBT001 click passes it by name
    to: str | None,
    operator: str,
    reason: str,
) -> None:
    """Put the previous deployment back, for circuits, a plant or all; no approval is needed."""
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.rollback import rollback as roll_back

    if bool(circuits) + bool(plant) + everything != 1:
        raise UsageError("name one of --circuit KEY, --plant P, --all")
    known = sorted(live_deployments(session.platform.prod))
    texts = circuits or ((f"{plant}/*",) if plant else ())
    chosen = session.circuits(texts, known) if texts else known
    report = roll_back(
        session.platform,
        chosen,
        to=to,
        operator=operator,
        reason=reason,
        now=session.now(),
        told=lambda done: _tell(session, done),
    )
    if not report.circuits:
        raise Refused("nothing was rolled back")


def _tell(session: Session, report: RollbackReport) -> None:
    """Print what a rollback did."""
    document: dict[str, Any] = {
        "circuits": [str(key) for key in report.circuits],
        "from": {str(key): value for key, value in report.from_.items()},
        "to": {str(key): value for key, value in report.to.items()},
        "refused": {str(key): value for key, value in report.refused.items()},
        "seconds": report.seconds,
    }
    lines = [f"{key}: {document['from'][key]} -> {document['to'][key]}" for key in document["to"]]
    lines += [f"{key}: refused: {why}" for key, why in document["refused"].items()]
    if report.circuits:
        lines.append(f"{len(report.circuits)} circuits rolled back")
    session.answer(document, lines)


COMMANDS = (rollback,)
