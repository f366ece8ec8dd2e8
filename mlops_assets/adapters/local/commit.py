"""Commits as git prints them: who wrote, committed and reviewed each, by its trailers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_assets.domain.identifiers import checked_commit
from mlops_assets.ports import CommitInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# One record a commit; a commit message holds no NUL byte, so NUL ends every field. The parents come
# last, for whoever asks which commits are merges.
FIELDS = (
    "%H",
    "%ae",
    "%ce",
    "%cI",
    "%s",
    "%(trailers:key=Co-authored-by,valueonly,separator=%x1f)",
    "%(trailers:key=Reviewed-by,valueonly,separator=%x1f)",
    "%(trailers:key=Pull-request,valueonly,separator=%x1f)",
    "%(trailers:key=Reviews,valueonly,separator=%x1f)",
    "%P",
)
_ADDRESS = re.compile(r"<([^<>\s]+@[^<>\s]+)>")
_PULL_REQUEST = re.compile(
    r"Merged PR (?P<a>\d+)|Merge pull request #(?P<b>\d+)|\(#(?P<c>\d+)\)\s*$"
)


def read_commit(fields: Sequence[str]) -> CommitInfo:
    """Return what `FIELDS` say of one commit."""
    commit, author, committer, at, subject, co_authors, reviewers, *rest = fields
    pull_request, reviews, parents = rest
    merged = _PULL_REQUEST.search(subject)
    number = pull_request.split("\x1f")[0].strip()
    if not number and merged:
        number = next(group for group in merged.groups() if group)
    return CommitInfo(
        commit=checked_commit(commit),
        author=author.casefold(),
        committer=committer.casefold(),
        # Who cannot be read is kept as written: an unknown author refuses, a missing one would not.
        co_authors=tuple(_address(text) or text.casefold() for text in _several(co_authors)),
        reviewers=tuple(found for text in _several(reviewers) if (found := _address(text))),
        subject=subject,
        committed_at=datetime.fromisoformat(at).astimezone(UTC),
        pull_request=number or None,
        reviews=tuple(_several(reviews)),
        parent=next(iter(parents.split()), None),
    )


def _several(text: str) -> Iterable[str]:
    return [part.strip() for part in text.split("\x1f") if part.strip()]


def _address(text: str) -> str | None:
    found = _ADDRESS.search(text)
    return found[1].casefold() if found else None
