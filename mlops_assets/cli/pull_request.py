"""Telling a pull request what it changes, before anybody approves it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.option import explains
from mlops_assets.domain.errors import UsageError
from mlops_assets.settings.azure import AzureBackend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.adapters.azure.pull_request import AzurePullRequests
    from mlops_assets.cli.session import Session
    from mlops_assets.settings import Settings
    from mlops_assets.settings.azure import Role

_PRINTED = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--pull-request", "number", type=click.IntRange(min=1), required=True)
@click.option("--plan", type=_PRINTED, required=True, help="What `mlops --json plan` printed.")
@click.option("--train", type=_PRINTED, help="What `mlops --json train --ref REF` printed.")
@explains
def comment(session: Session, number: int, plan: Path, train: Path | None) -> None:
    """Tell a pull request what it changes; what was told before is replaced."""
    from mlops_assets.domain.pull_request import MARKER, comment_text

    text = comment_text(plan.read_bytes(), train.read_bytes() if train else None)
    changed = _pull_requests(session.settings, os.environ).comment(number, MARKER, text)
    said = "told" if changed else "unchanged: told before"
    session.answer({"pull_request": number, "changed": changed}, [f"pull request {number}: {said}"])


def _pull_requests(settings: Settings, environ: Mapping[str, str]) -> AzurePullRequests:
    backend = settings.backend
    if not isinstance(backend, AzureBackend) or backend.devops is None:
        raise UsageError("settings: devops names no repository; write it as docs/azure.md shows")
    from mlops_assets.adapters.azure.identity import credential
    from mlops_assets.adapters.azure.pull_request import AzurePullRequests, PipelineToken

    token = environ.get("SYSTEM_ACCESSTOKEN")
    role: Role = next((each for each in ("review", "dev") if each in backend.roles), "review")
    who = PipelineToken(token) if token else credential(backend, role)
    return AzurePullRequests(backend.devops, who)


COMMANDS = (comment,)
