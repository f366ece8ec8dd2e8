"""The way back, and the way on after an upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import circuit_option, explains
from mlops_assets.cli.session import Refused
from mlops_assets.domain.alert import some
from mlops_assets.domain.errors import MlopsError, UsageError

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
    session.hint(_claimed(session, operator))
    if not report.circuits:
        raise Refused("nothing was rolled back")


def _claimed(session: Session, operator: str) -> str | None:
    """Say that a name is only claimed; a rollback is blocked by no trust root, found or not."""
    from mlops_assets.flows.ledger import trust_at

    try:
        known = operator in trust_at(session.platform.config).people
    except MlopsError as error:
        return f"--as {operator} is recorded as claimed: {error}"
    return None if known else f"--as {operator} is recorded as claimed: not in trust/roles.yml"


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


@click.command()
@explains
def renew(session: Session) -> None:
    """Let what is live run the code of this version, after an upgrade; what is signed stays."""
    from mlops_assets.flows.renewal import renew as make_anew

    circuits = [str(circuit) for circuit in make_anew(session.platform.prod)]
    some_were = f"{len(circuits)} circuits run this version's code now"
    none_was = "unchanged: what is live runs this version's code"
    session.answer({"circuits": circuits}, [some_were if circuits else none_was])


@click.command()
@click.option("--last", is_flag=True, help="Show the newest drill instead of running one.")
@explains
def drill(session: Session, last: bool) -> None:  # noqa: FBT001 click passes it by name
    """Try every way back up to the last step, digests checked; nothing is changed."""
    from mlops_assets.flows.drill import drill as try_every_way_back
    from mlops_assets.flows.drill import newest
    from mlops_assets.resources import drill_files

    platform, files = session.platform, drill_files(session.settings)
    if last:
        document, file = newest(files)
    else:
        found, file = try_every_way_back(platform, files, now=session.now())
        document = found.document()
    session.answer({**document, "file": file}, lambda: _drilled(document, file))
    if broken := document["broken"]:
        raise Refused(
            f"{len(broken)} of the ways back are broken: "
            + "; ".join(f"{key}: {why}" for key, why in sorted(broken.items()))
        )


def _drilled(document: dict[str, Any], file: str) -> list[str]:
    back, first = len(document["circuits"]), document["first_deployments"]
    lines = [f"{document['at']}: {back} ways back tried in {document['seconds']:.3f} s: {file}"]
    if first:
        lines.append(f"{len(first)} first deployments, which have none: {some(first)}")
    return lines


COMMANDS = (rollback, renew, drill)
