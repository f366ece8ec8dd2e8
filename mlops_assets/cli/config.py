"""Commands about what should exist: the plan, refreshing specs, and the trust root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import Day, Moment, circuit_option, explains
from mlops_assets.cli.session import Refused, before_ingest, table
from mlops_assets.domain.errors import UsageError
from mlops_assets.domain.trust import ROLES

if TYPE_CHECKING:
    from datetime import date, datetime

    from mlops_assets.cli.session import Session


@click.command()
@click.option("--working-tree", is_flag=True, help="Preview uncommitted changes.")
@explains
def plan(session: Session, working_tree: bool) -> None:  # noqa: FBT001 click passes it by name
    """Compare what the config wants with what is registered and live."""
    from mlops_assets.flows.plan import left_over
    from mlops_assets.flows.plan import plan as planned

    config = session.desired(working_tree=working_tree)
    lines = planned(session.platform, config, now=session.now())
    document = [
        {"circuit": str(line.circuit), "action": line.action, "reason": line.reason}
        for line in lines
    ]
    session.answer(document, lambda: table(document, ("circuit", "action", "reason")))
    session.hint(before_ingest(session.platform) or left_over(lines))


@click.command()
@click.option("--cutoff", type=Day(), required=True, help="The new cutoff date of the specs.")
@circuit_option
@explains
def refresh(session: Session, cutoff: date, circuits: tuple[str, ...]) -> None:
    """Edit specs to a new cutoff date and commit them on a branch to be reviewed."""
    from mlops_assets.flows.refresh import refresh as edit

    config = session.desired()
    known = sorted(config.circuits)
    chosen = session.circuits(circuits, known) if circuits else known
    branch, commit = edit(session.platform, config, chosen, cutoff=cutoff, now=session.now())
    document = {"branch": branch, "commit": commit, "circuits": [str(key) for key in chosen]}
    session.answer(
        document,
        [f"branch {branch}, commit {commit}: {len(chosen)} circuits; review and merge it"],
    )


@click.group()
def trust() -> None:
    """Who may sign, and with which key."""


@trust.command(name="add-person")
@click.argument("email")
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    required=True,
    help="May be repeated.",
)
@click.option("--git-email", "git_emails", multiple=True, help="Other addresses in git history.")
@explains
def add_person(
    session: Session, email: str, roles: tuple[str, ...], git_emails: tuple[str, ...]
) -> None:
    """Add a person with roles, or give one other roles."""
    from mlops_assets.flows.trust import add_person as add

    commit = add(
        session.platform, email, roles=roles, git_emails=git_emails or (email,), now=session.now()
    )
    session.answer({"email": email, "commit": commit}, [f"{email}: {', '.join(roles)} ({commit})"])


@trust.command(name="add-key")
@click.argument("email")
@click.argument("public_key", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@explains
def add_key(session: Session, email: str, public_key: Path) -> None:
    """Add a person's ed25519 public key, a file such as id_ed25519.pub."""
    from mlops_assets.flows.trust import add_key as add

    text = public_key.read_text(encoding="utf-8", errors="replace")
    commit = add(session.platform, email, text, now=session.now())
    session.answer({"email": email, "commit": commit}, [f"{email}: key added ({commit})"])


def _key_text(key: str) -> str:
    """A fingerprint as it is, else the text of the public key file that is named."""
    if key.startswith("SHA256:"):
        return key
    path = Path(key).expanduser()
    if not path.is_file():
        raise UsageError(f"{key}: neither a fingerprint SHA256:... nor a public key file")
    return path.read_text(encoding="utf-8", errors="replace")


@trust.command(name="end-key")
@click.argument("key", metavar="KEY")
@click.option("--at", type=Moment(), required=True, help="From when on it counts no more, UTC.")
@explains
def end_key(session: Session, key: str, at: datetime) -> None:
    """End a key, named by fingerprint or .pub file; what it signed before stays good."""
    from mlops_assets.domain.canonical import moment_text
    from mlops_assets.flows.trust import end_key as end

    commit = end(session.platform, _key_text(key), at=at, now=session.now())
    session.answer({"commit": commit}, [f"the key ends {moment_text(at)} ({commit})"])


@trust.command(name="revoke-key")
@click.argument("key", metavar="KEY")
@click.option(
    "--since", type=Moment(), required=True, help="From when on what it signed is in doubt, UTC."
)
@click.option("--reason", required=True, help="Why, for those who read it later.")
@explains
def revoke_key(session: Session, key: str, since: datetime, reason: str) -> None:
    """Make a lost key void, named by fingerprint or .pub file, and list what it signed."""
    from mlops_assets.flows.trust import check as checked
    from mlops_assets.flows.trust import revoke_key as revoke

    platform, now = session.platform, session.now()
    commit = revoke(platform, _key_text(key), since=since, reason=reason, now=now)
    found = checked(platform, now=now)
    lines = found["problems"] or ["it has signed nothing since"]
    session.answer(
        {"commit": commit, "doubtful": found["doubtful"]},
        [f"the key opens nothing any more ({commit})", *lines],
    )


@trust.command(name="check")
@explains
def check(session: Session) -> None:
    """Check the trust root at the watched ref, and what revoked keys have signed."""
    from mlops_assets.flows.trust import check as checked

    document = checked(session.platform, now=session.now())
    problems = document.get("problems", [])
    lines = [str(line) for line in problems] or ["the trust root is sound"]
    keys = [
        f"{one['principal']}  {one['fingerprint']}  {one['state']}"
        + (f"  until {one['valid_before']}" if one["valid_before"] else "")
        for one in document["keys"]
    ]
    soon = [f"soon: {line}" for line in document["warnings"]]
    session.answer(document, [*keys, *lines, *soon])
    if problems:
        raise Refused(f"the trust root has {len(problems)} problem(s)")


COMMANDS = (plan, refresh, trust)
