"""Review: whether somebody else looked at each change of a spec before a model of it is signed.

A change counts as reviewed by the trailer ``Reviewed-by`` of its own commit or of the merge that
brought it. What came without is reviewed afterwards by a later commit of the watched ref, an empty
one will do, that says ``Reviews: COMMIT`` beside ``Reviewed-by``: history is not rewritten, and a
commit that was reverted meanwhile is settled in the same way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.evidence import EVIDENCE_FORMAT, FILES, PLATFORM_EMAIL
from mlops_assets.domain.gates import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.trust import TrustRoot
    from mlops_assets.ports import CommitInfo

GATE = "pull_request_review"
# The release's own evidence, there only where changes were reviewed after the model was made.
LATER = "review"


def review_document(
    circuit: CircuitKey,
    file: str,
    commits: Sequence[CommitInfo],
    *,
    since: str | None,
    until: str,
    root: str,
    later: Sequence[CommitInfo] = (),
) -> dict[str, Any]:
    """Return `pull_request.json`: who wrote and who reviewed each change of the circuit's spec.

    The commit that made the home is the platform's own, and is the one that needs no reviewer.
    ``later`` are commits that may say whose review they carry.
    """
    changes = [_change(commit, root, later) for commit in commits]
    unreviewed = [change["commit"] for change in changes if not change["review"]]
    doubts = {commit.commit: commit.doubt for commit in commits if commit.doubt}
    return {
        "format": EVIDENCE_FORMAT,
        "circuit": str(circuit),
        "file": file,
        "since": since,
        "until": until,
        "reviewed": not unreviewed,
        "reason": _reason(file, changes, unreviewed, since, doubts),
        "changes": changes,
    }


def _change(commit: CommitInfo, root: str, later: Sequence[CommitInfo]) -> dict[str, Any]:
    wrote = {commit.author, commit.committer, *commit.co_authors}
    own = set(commit.reviewers) - wrote
    afterwards = {
        other.commit: found
        for other in later
        if commit.commit in other.reviews and (found := set(other.reviewers) - wrote)
    }
    reviewers = sorted(own.union(*afterwards.values()))
    by_platform = commit.commit == root and wrote == {PLATFORM_EMAIL}
    change: dict[str, Any] = {
        "commit": commit.commit,
        "subject": commit.subject,
        "author": commit.author,
        "committer": commit.committer,
        "co_authors": sorted(commit.co_authors),
        "reviewers": reviewers,
        "pull_request": commit.pull_request,
        "review": "initial commit by the platform" if by_platform else _said(reviewers, afterwards),
    }
    return change | ({"reviewed_in": sorted(afterwards)} if afterwards else {})


def _said(reviewers: Sequence[str], afterwards: Mapping[str, set[str]]) -> str:
    if not reviewers:
        return ""
    where = ", ".join(commit[:12] for commit in sorted(afterwards))
    return f"reviewed by {', '.join(reviewers)}" + (f" in {where}" if where else "")


def _reason(
    file: str,
    changes: Sequence[Mapping[str, Any]],
    unreviewed: Sequence[str],
    since: str | None,
    doubts: Mapping[str, str],
) -> str:
    if unreviewed and (doubt := doubts.get(unreviewed[0])):
        return f"{file}: commit {unreviewed[0][:12]} counts as reviewed by nobody: {doubt}"
    if unreviewed:
        more = f", nor have {len(unreviewed) - 1} more" if len(unreviewed) > 1 else ""
        return (
            f"{file}: commit {unreviewed[0][:12]} has no review by somebody who did not write "
            f"it{more}: {afterwards(unreviewed)}"
        )
    if not changes:
        return f"{file}: unchanged since {since[:12] if since else 'its first commit'}"
    return f"{file}: {'; '.join(dict.fromkeys(change['review'] for change in changes))}"


def afterwards(commits: Sequence[str]) -> str:
    """Return the command by which commits that are there already are reviewed."""
    named = " ".join(f'--trailer "Reviews: {commit}"' for commit in commits)
    return (
        'have somebody else read it, then `git commit --allow-empty -m "Review" '
        f'{named} --trailer "Reviewed-by: NAME <E-MAIL>"` on the watched ref'
    )


def judge_review(data: bytes) -> Verdict:
    """Ask whether every change of the spec was reviewed, by what `pull_request.json` says."""
    try:
        document = json.loads(data)
        changes = document["changes"]
        reviewed = document["reviewed"] is True and all(change["review"] for change in changes)
        reason = str(document["reason"])
        named = [change[key] for change in changes for key in ("commit", "author", "committer")]
        for change in changes:
            named += [*change["co_authors"], *change["reviewers"]]
        readable = all(isinstance(each, str) for each in named)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{FILES['pull_request']}: is no review of a change") from error
    if not readable:
        raise DataError(f"{FILES['pull_request']}: names people who are none")
    return Verdict(GATE, passed=reviewed, reason=reason)


def judge_reviewers(document: Mapping[str, Any], trust: TrustRoot) -> Verdict | None:
    """Refuse the first change that nobody of the trust root reviewed who did not write it."""
    for change in document["changes"]:
        wrote = {change["author"], change["committer"], *change["co_authors"]}
        writers = {trust.person_of(address) for address in wrote}
        reviewers = {trust.person_of(address) for address in change["reviewers"]} - {None}
        if change["reviewers"] and not reviewers - writers:
            commit = change["commit"]
            reason = (
                f"commit {commit[:12]} was reviewed by nobody in trust/roles.yml who did not write "
                f"it: `mlops trust add-person {change['reviewers'][0]} --role reviewer` where that "
                f"is a reviewer of yours, else {afterwards([commit])}"
            )
            return Verdict(GATE, passed=False, reason=reason)
    return None
