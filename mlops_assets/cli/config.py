"""Commands about what should exist: the plan, refreshing specs, and the trust root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import Day, circuit_option, explains
from mlops_assets.cli.session import Refused, before_ingest, table
from mlops_assets.domain.trust import ROLES

if TYPE_CHECKING:
    from datetime import date

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


@trust.command(name="check")
@explains
def check(session: Session) -> None:
    """Check the trust root at the watched ref, and what revoked keys have signed."""
    from mlops_assets.flows.trust import check as checked

    document = checked(session.platform, now=session.now())
    problems = document.get("problems", [])
    lines = [str(line) for line in problems] or ["the trust root is sound"]
    keys = [f"{one['principal']}  {one['fingerprint']}  {one['state']}" for one in document["keys"]]
    soon = [f"soon: {line}" for line in document["warnings"]]
    session.answer(document, [*keys, *lines, *soon])
    if problems:
        raise Refused(f"the trust root has {len(problems)} problem(s)")


COMMANDS = (plan, refresh, trust)
