"""Evidence: what an approver reads before signing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets.events import Fact, check_specs
from mlops_assets.assets.partitions import circuits, each
from mlops_assets.domain.gates import Verdict, judge_evidence
from mlops_assets.domain.identifiers import digest_of

if TYPE_CHECKING:
    from mlops_assets.domain.evidence import Evidence

SPEC = dg.AssetSpec(
    "evidence",
    description="What an approver reads: pull request, executed scoring notebook, training log, "
    "metrics and lineage of one model version, each with its digest.",
    group_name="train",
    kinds={"jupyter"},
    owners=["team:ml-engineering"],
    deps=[each("model")],
    partitions_def=circuits,
    skippable=True,
)
CHECKS = {"complete": "Does every kind of evidence exist and verify?"}
CHECK_SPECS = check_specs("evidence", CHECKS, circuits)


def evidence_fact(evidence: Evidence, folder: str) -> Fact:
    """Tell the bundle of one model version."""
    return Fact(
        asset="evidence",
        partition=str(evidence.circuit),
        version=digest_of(dict(evidence.digests)),
        metadata={
            "plant": evidence.circuit.plant_id,
            "model_version": evidence.model_version,
            "digests": dict(evidence.digests),
            "notebook": f"{folder}/scoring_notebook.html",
            "path": folder,
        },
    )


def complete(evidence: Evidence) -> Verdict:
    """Answer the one check of evidence."""
    judged = judge_evidence(evidence.missing())
    return Verdict("complete", judged.passed, judged.reason, judged.blocking)


def absent(reason: str) -> Verdict:
    """Answer it where there is no bundle."""
    return Verdict("complete", passed=False, reason=reason)
