"""Releases: make one, look at it, ask for signatures, sign, take it through its stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import KeyFilePath, circuit_option, explains
from mlops_assets.cli.session import Refused, marked, review, table
from mlops_assets.domain.occasion import sign_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.cli.session import Session
    from mlops_assets.domain.approval import Decision
    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.release import ReleaseView, Stage

PEOPLES_STAGES = click.Choice(["registry", "production"])
# What brings a release on from the state that a stage leaves it in.
_NEXT = {
    "registered": "`mlops release promote {} --stage test` tests it",
    "tested": f"`{sign_command('{}', 'production')}` signs it",
    "deployed": "`mlops predict` forecasts with it",
}


def stage_option(choice: click.Choice[str]) -> Callable[..., Any]:
    """Return the ``--stage`` option for these stages."""
    return click.option("--stage", type=choice, required=True)


def _publish(session: Session, config: Config, release_id: str) -> None:
    """Write the release's evidence page as it stands now."""
    from mlops_assets.flows.evidence import page

    page(session.platform, config, release_id, now=session.now())


@click.group()
def release() -> None:
    """The immutable set of models that travels together."""


@release.command()
@circuit_option
@click.option("--without", multiple=True, metavar="KEY", help="Leave a circuit out.")
@click.option("--unhold", multiple=True, metavar="KEY", help="Release a held model again.")
@click.option(
    "--acknowledge-restatements",
    "acknowledge",
    is_flag=True,
    help="Let people sign models whose readings changed since, the changes named in the release.",
)
@explains
def create(
    session: Session,
    circuits: tuple[str, ...],
    without: tuple[str, ...],
    unhold: tuple[str, ...],
    acknowledge: bool,  # noqa: FBT001 click passes it by name
) -> None:
    """Cut a release of named circuits, or of all whose wanted model is not live."""
    from mlops_assets.domain.lifecycle import holds
    from mlops_assets.flows.deployment import live_deployments
    from mlops_assets.flows.release import create as cut

    config = session.desired()
    known = sorted({*config.circuits, *live_deployments(session.platform.prod)})
    chosen = session.circuits(circuits, known) if circuits else None
    freed = session.circuits(unhold, known)
    free = [str(key) for key in freed if not holds(session.platform.ledger.entries()).get(key)]
    made, keys = cut(
        session.platform,
        config,
        chosen,
        without=session.circuits(without, known),
        unhold=freed,
        acknowledge=acknowledge,
        now=session.now(),
        actor="platform",
    )
    if made:
        _publish(session, config, made)
    session.answer(
        {"release": made, "circuits": [str(key) for key in keys]},
        [f"release {made}: {len(keys)} circuits" if made else "nothing to release"],
    )
    session.hint(f"--unhold: not held: {', '.join(free)}" if free else None)


def _row(view: ReleaseView, config: Config, *, reviewed: bool) -> dict[str, Any]:
    return {
        "release": view.release,
        "state": view.state,
        "circuits": [str(key) for key in view.circuits],
        "created_at": view.created_at.isoformat(),
        "waits_for": view.waits_for(config.policy),
        "reviewed": reviewed,
    }


@release.command(name="list")
@explains
def list_(session: Session) -> None:
    """Every release, its state and what it waits for."""
    from mlops_assets.flows.ledger import four_eyes, views

    config, platform = session.desired(), session.platform
    off = four_eyes(platform.ledger.entries(), config.policy) == "off"
    rows = [_row(view, config, reviewed=not off) for view in views(platform, session.now())]
    short = [{**row, "circuits": len(row["circuits"])} for row in rows]
    columns = ("release", "state", "circuits", "created_at", "waits_for")
    session.answer(rows, lambda: table(marked(short), (*columns, *review(rows))))


@release.command()
@click.argument("release_id", metavar="ID")
@circuit_option
@explains
def show(session: Session, release_id: str, circuits: tuple[str, ...]) -> None:
    """All that the evidence page of a release says; named circuits are told in full."""
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.page_text import lines
    from mlops_assets.flows.page import described
    from mlops_assets.flows.release import show as describe

    platform, config, now = session.platform, session.desired(), session.now()
    page = described(platform, config, release_id, now=now, plots=False)
    document = describe(platform, config, release_id, now=now, page=page)
    known = [CircuitKey.parse(part.circuit) for part in page.circuits]
    unfolded = [str(key) for key in session.circuits(circuits, known)]
    session.answer(
        document, lambda: [*lines(page, unfolded), "", f"page  {document['page'] or 'none yet'}"]
    )


@release.command()
@click.argument("release_id", metavar="ID")
@stage_option(PEOPLES_STAGES)
@click.option("--as", "requester", default="platform", metavar="PRINCIPAL")
@explains
def request(session: Session, release_id: str, stage: Stage, requester: str) -> None:
    """Open the 24-hour window in which people may sign a stage."""
    from mlops_assets.flows.approval import request as ask

    config = session.desired()
    window = ask(
        session.platform,
        config,
        release_id,
        stage,
        requester=requester,
        now=session.now(),
    )
    document = {
        "release": window.release,
        "stage": window.stage,
        "nonce": window.nonce,
        "expires_at": window.expires_at,
        "missing": list(window.missing),
    }
    missing = window.missing
    _publish(session, config, release_id)
    session.answer(
        document,
        [f"missing: {reason}" for reason in missing]
        or [(f"open until {window.expires_at}: `{sign_command(release_id, stage)}` signs it")],
    )
    if missing:
        raise Refused(f"{release_id}: {stage}: {len(missing)} reason(s) why nobody can sign yet")
    if "@" in requester:
        session.hint(f"{requester} asked for it, so somebody else must sign")


@release.command()
@click.argument("release_id", metavar="ID")
@stage_option(PEOPLES_STAGES)
@click.option("--as", "principal", required=True, metavar="PRINCIPAL")
@click.option("--decision", type=click.Choice(["approve", "reject"]), default="approve")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@explains
def statement(  # noqa: PLR0917 click passes options by name
    session: Session,
    release_id: str,
    stage: Stage,
    principal: str,
    decision: Decision,
    out: Path,
) -> None:
    """Write the statement that a person signs for the open request."""
    from mlops_assets.domain.identifiers import sha256
    from mlops_assets.flows.approval import statement as state

    data = state(
        session.platform,
        session.desired(),
        release_id,
        stage,
        principal,
        decision,
        now=session.now(),
    )
    out.write_bytes(data)
    session.answer(
        {"statement": str(out), "sha256": sha256(data)},
        [
            f"{out} written; sign it:",
            f"ssh-keygen -Y sign -n release-approval.v1@mlops-assets -f KEY {out}",
            f"mlops release submit {out} {out}.sig",
        ],
    )


def _submitted(session: Session, submission: Any, following: str = "") -> None:  # noqa: ANN401 flows' type
    document = {
        "accepted": submission.accepted,
        "code": submission.code,
        "reason": submission.reason,
    }
    lines = [submission.reason, *([following] if following else [])]
    session.answer(document, lines if submission.accepted else [])
    if not submission.accepted:
        raise Refused(f"{submission.code}: {submission.reason}")


@release.command()
@click.argument("statement_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("signature_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@explains
def submit(session: Session, statement_file: Path, signature_file: Path) -> None:
    """Verify a signed statement and record it."""
    from mlops_assets.flows.approval import submit as hand_in

    _submitted(
        session,
        hand_in(
            session.platform,
            session.desired(),
            statement_file.read_bytes(),
            # Windows' OpenSSH writes its own line ends into the armor.
            signature_file.read_bytes().replace(b"\r\n", b"\n"),
            now=session.now(),
        ),
    )


def _decide(decision: str) -> click.Command:
    @click.command(name=decision, help=f"Request if none is open, then sign: {decision}.")
    @click.argument("release_id", metavar="ID")
    @stage_option(PEOPLES_STAGES)
    @click.option(
        "--key",
        type=KeyFilePath(),
        required=True,
        help="Your ed25519 key: its file, or the .pub of one in ssh-agent.",
    )
    @click.option("--comment", default="", help="For the ledger.")
    @explains
    def command(session: Session, release_id: str, stage: Stage, key: Path, comment: str) -> None:
        from mlops_assets.flows.approval import approve, reject
        from mlops_assets.resources import signer

        sign = approve if decision == "approve" else reject
        config = session.desired()
        submission = sign(
            session.platform,
            config,
            release_id,
            stage,
            signer(key),
            comment,
            now=session.now(),
        )
        _publish(session, config, release_id)
        following = (
            f"`mlops release promote {release_id} --stage {stage}` does it once enough signed"
        )
        _submitted(session, submission, following if decision == "approve" else "")

    return command


release.add_command(_decide("approve"))
release.add_command(_decide("reject"))


@release.command()
@click.argument("release_id", metavar="ID")
@stage_option(click.Choice(["registry", "test", "production"]))
@explains
def promote(session: Session, release_id: str, stage: Stage) -> None:
    """Do a stage if its gate is open."""
    from mlops_assets.flows.promotion import precheck
    from mlops_assets.launch import promote as launch

    precheck(session.platform, session.desired(), release_id, stage, now=session.now())
    done = launch(session.settings, release_id, stage, session.progress)
    document: dict[str, Any] = {
        "release": done.release,
        "stage": done.stage,
        "state": done.state,
        "circuits": [str(key) for key in done.circuits],
        "refused": {str(key): reason for key, reason in done.refused.items()},
    }
    lines = [f"{key}: {reason}" for key, reason in document["refused"].items()]
    lines.append(f"{done.release}: {done.state}, {len(done.circuits)} circuits")
    if done.state in _NEXT:
        lines.append(_NEXT[done.state].format(done.release))
    session.answer(document, lines)
    if done.refused:
        raise Refused(f"{done.release}: {stage} refused: {'; '.join(done.refused.values())}")


COMMANDS = (release,)
