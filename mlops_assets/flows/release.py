"""Releases: cutting one from what should be live and is not, and telling how each one stands.

Everything else that people do with releases is offered here too, under the names they use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.domain import lifecycle
from mlops_assets.domain.approval import PLATFORM
from mlops_assets.domain.canonical import moment_text
from mlops_assets.domain.errors import RefusedError
from mlops_assets.domain.lifecycle import holds
from mlops_assets.domain.page_text import document
from mlops_assets.flows.approval import (
    Submission,
    Window,
    approve,
    expire,
    reject,
    request,
    statement,
    submit,
)
from mlops_assets.flows.awaited import next_stage
from mlops_assets.flows.candidate import Bench
from mlops_assets.flows.gates import gate
from mlops_assets.flows.ledger import manifest_of, views
from mlops_assets.flows.page import described
from mlops_assets.flows.promotion import Promotion, promote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mlops_assets.domain.circuit import Config
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.page import ReleasePage
    from mlops_assets.ports import Platform

__all__ = [
    "Promotion",
    "Submission",
    "Window",
    "approve",
    "create",
    "cut",
    "expire",
    "gate",
    "holds",
    "promote",
    "reject",
    "request",
    "show",
    "statement",
    "submit",
    "views",
]


def create(
    platform: Platform,
    config: Config,
    circuits: Sequence[CircuitKey] | None = None,
    *,
    without: Sequence[CircuitKey] = (),
    unhold: Sequence[CircuitKey] = (),
    acknowledge: bool = False,
    now: datetime,
    actor: str = PLATFORM,
) -> tuple[str | None, tuple[CircuitKey, ...]]:
    """Cut a release of named circuits, or of all that should be live and are not.

    Named circuits that are live as wanted are left out; those that cannot be released are refused,
    all in one sentence. An open release with the same content is returned instead of a second one;
    after its end the same content is a new attempt. With ``acknowledge`` it names what changed
    under its models since they learned, so that people can sign them all the same.
    """
    with platform.ledger.lock():
        bench = Bench.at(platform, config, now, unhold=unhold, actor=actor, acknowledge=acknowledge)
        keys = set(config.circuits) | set(bench.live) if circuits is None else set(circuits)
        entries, refused = bench.entries(keys - set(without))
        if circuits is None:
            return bench.cut([entry for entry in entries if not bench.waits(entry)], actor)
        if refused:
            raise RefusedError("E_CIRCUIT", "; ".join(refused.values()))
        return bench.cut(entries, actor)


def cut(
    platform: Platform,
    config: Config,
    circuits: Sequence[CircuitKey],
    *,
    now: datetime,
    actor: str = PLATFORM,
) -> tuple[str | None, tuple[CircuitKey, ...]]:
    """Cut what training proposes: circuits in no earlier release under their spec digest."""
    with platform.ledger.lock():
        bench = Bench.at(platform, config, now)
        entries, _ = bench.entries(set(circuits) & set(config.circuits))
        return bench.cut([entry for entry in entries if not bench.proposed(entry)], actor)


def show(
    platform: Platform,
    config: Config,
    release: str,
    *,
    now: datetime,
    page: ReleasePage | None = None,
) -> dict[str, Any]:
    """A release as `release show` tells it: manifest, state, and all that its page says."""
    page = page or described(platform, config, release, now=now, plots=False)
    view = lifecycle.find(lifecycle.fold(platform.ledger.entries(), now), release)
    manifest = manifest_of(platform.ledger, view)
    request_now = view.open_request
    return {
        "release": view.release,
        "digest": view.digest,
        "state": view.state,
        "config_commit": view.config_commit,
        "reviewed": manifest.four_eyes == "required",
        "attempt": view.attempt,
        "created_at": moment_text(view.created_at),
        "waits_for": view.waits_for(config.policy),
        "reason": view.reason,
        "page": platform.dev.evidence.page(view.release),
        "stage": next_stage(view),
        "request": {
            "stage": request_now.stage,
            "nonce": request_now.nonce,
            "requester": request_now.requester,
            "expires_at": moment_text(request_now.expires_at),
        }
        if request_now
        else None,
        "verdicts": [
            {"gate": v.gate, "passed": v.passed, "blocking": v.blocking, "reason": v.reason}
            for v in page.verdicts
        ],
        "signatures": [
            {
                "stage": each.stage,
                "principal": each.principal,
                "decision": each.decision,
                "at": moment_text(each.at),
                "statement": each.statement,
                "comment": each.comment,
            }
            for each in view.signed
        ],
        "failed": dict(view.failed),
        "rolled_back": [str(circuit) for circuit in view.rolled_back],
        "superseded_by": view.superseded_by,
        "copied_approval": dict(view.copied_approval) if view.copied_approval else None,
        "manifest": manifest.document(),
        **document(page),
    }
