"""Commands about what is kept: removing what nobody needs, a copy elsewhere, and the way back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import explains
from mlops_assets.cli.session import Refused
from mlops_assets.domain.errors import UsageError

if TYPE_CHECKING:
    from mlops_assets.cli.session import Session
    from mlops_assets.flows.retention import Collected


@click.command()
@click.option("--remove", is_flag=True, help="Remove it; without this it is only shown.")
@click.option("--dry-run", is_flag=True, help="Only show, which is what happens anyway.")
@explains
def gc(session: Session, remove: bool, dry_run: bool) -> None:  # noqa: FBT001 click passes it by name
    """Show what the retention policy lets go and why the rest stays; --remove lets it go."""
    from mlops_assets.flows.retention import collect
    from mlops_assets.resources import storage

    done = collect(
        session.platform,
        session.desired(),
        storage(session.settings),
        now=session.now(),
        remove=remove and not dry_run,
    )
    session.answer(_document(done, removed=remove and not dry_run), lambda: _lines(done, remove))


def _document(done: Collected, *, removed: bool) -> dict[str, Any]:
    return {
        "removed": removed,
        "things": [
            {"kind": each.kind, "name": each.name, "bytes": each.bytes} for each in done.plan.going
        ],
        "bytes": done.plan.bytes,
        "rows": done.rows,
        "files": done.files,
        "swept": done.swept,
        "stays": [
            {"kind": kind, "reason": reason, "things": count}
            for (kind, reason), count in done.plan.staying.items()
        ],
    }


def _lines(done: Collected, removed: bool) -> list[str]:  # noqa: FBT001 private
    verb = "removed" if removed else "would go"
    lines = [
        f"{verb:9} {each.kind:22} {each.name}  {each.bytes >> 10} KiB" for each in done.plan.going
    ]
    lines += [
        f"stays     {kind:22} {count}: {reason}"
        for (kind, reason), count in done.plan.staying.items()
    ]
    counts = Counter(each.kind for each in done.plan.going)
    total = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"
    lines.append(f"{verb}: {total}; {done.plan.bytes >> 20} MiB")
    if removed:
        lines.append(
            f"{done.rows} rows of forecasts, {done.files} replaced files of the readings table, "
            f"{done.swept} leftovers of killed processes"
        )
    elif done.plan.going:
        lines.append("`mlops gc --remove` removes it")
    return lines


@click.command()
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A folder of backups outside the home; what it has already is not written again.",
)
@explains
def backup(session: Session, folder: Path) -> None:
    """Copy the home to another folder, by content, while the platform may work on it."""
    from mlops_assets.resources import backups

    taken = backups(session.settings, folder).take(session.now(), session.progress)
    document = {
        "snapshot": taken.snapshot,
        "files": taken.files,
        "bytes": taken.bytes,
        "written": taken.written,
    }
    session.answer(
        document,
        [
            (
                f"snapshot {taken.snapshot}: {taken.files} files, {taken.bytes >> 20} MiB, "
                f"{taken.written >> 10} KiB of it new"
            )
        ],
    )


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A folder that `mlops backup` wrote.",
)
@click.option("--snapshot", metavar="NAME", help="Which one; the newest where none is named.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on although the config repository has anchored later decisions: they are lost.",
)
@click.option("--as", "operator", default="", metavar="PRINCIPAL", help="Who accepts the loss.")
@click.option("--reason", default="", help="Why, for the ledger.")
@explains
def restore(  # noqa: PLR0917 click passes options by name
    session: Session,
    folder: Path,
    snapshot: str | None,
    accept_loss: bool,  # noqa: FBT001 click's
    operator: str,
    reason: str,
) -> None:
    """Make --home, absent or empty, of a backup, every byte checked, and say what it lacks."""
    from mlops_assets.domain.trust import checked_email
    from mlops_assets.flows.audit import verify
    from mlops_assets.resources import backups

    if accept_loss:
        checked_email(operator, "--as, who accepts the loss,")
        if not reason.strip():
            raise UsageError("restore: accepting a loss needs a reason; say --reason TEXT")
    name = backups(session.settings, folder).restore(snapshot, session.progress)
    lost = (
        session.platform.ledger.accept_loss(operator, reason, session.now()) if accept_loss else 0
    )
    found = verify(session.platform, now=session.now())
    document = {"snapshot": name, "home": session.settings.home, "lost": lost, **found}
    lines = [f"{session.settings.home}: restored from {name}", *found["problems"]]
    if lost:
        lines.append(f"{lost} later decisions are lost, which the ledger says from now on")
    lines.append("`mlops rebuild` fills Dagster's database again")
    session.answer(document, lines)
    if not found["ok"]:
        raise Refused(
            f"restored, but verify found {len(found['problems'])} problem(s); where later "
            "decisions are lost, remove it and restore with --accept-loss --as YOU --reason TEXT"
        )


COMMANDS = (gc, backup, restore)
