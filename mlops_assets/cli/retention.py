"""Commands about what is kept: removing what nobody needs, a copy elsewhere, and the way back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.option import explains

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
        lines.append(f"{done.rows} rows of forecasts, {done.swept} leftovers of killed processes")
    elif done.plan.going:
        lines.append("`mlops gc --remove` removes it")
    return lines


COMMANDS = (gc,)
