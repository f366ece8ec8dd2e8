"""Config in a git repository of Azure DevOps: its pull requests are the reviews.

Commits are read from a clone, as on one machine. Who reviewed them is what the completed pull
requests say: a trailer that anybody can type counts for nothing here. The ledger's heads are blobs
that are written once, in a container of their own under a policy that lets nobody remove them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.ledger import ANCHORS_FILE, voided_anchors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.adapters.azure.blobs import Blobs
    from mlops_assets.adapters.azure.pull_request import AzurePullRequests, PullRequest
    from mlops_assets.ports import CommitInfo

_NO_DEVOPS = (
    "the settings name no repository of Azure DevOps, whose pull requests are the reviews here; "
    "write `devops` as docs/azure.md shows"
)
_POLICY = "set it as docs/azure.md shows; `mlops doctor` asks for it"
_TEXT = re.compile(r"(0|[1-9]\d{0,15}) ([A-Za-z0-9._-]{1,200})", re.ASCII)
_NAME = re.compile(r"(\d{16})-([A-Za-z0-9._-]{1,200})", re.ASCII)


class AzureConfigRepository(GitConfigRepository):
    """A clone of the config repository, its reviews, and the anchors of the home's ledger.

    Nothing counts as reviewed without ``pull_requests``, nor while the policy of the watched ref
    lets people approve what they wrote.
    """

    def __init__(
        self,
        folder: Path,
        ref: str,
        anchors: Blobs,
        pull_requests: AzurePullRequests | None = None,
    ) -> None:
        super().__init__(folder, ref)
        self._anchors = anchors
        self._pull_requests = pull_requests
        # What lies between two commits never changes, and is asked for each circuit.
        self._between: dict[tuple[str | None, str, bool], Sequence[str]] = {}

    def between(
        self, since: str | None, until: str, *, first_parent: bool = False
    ) -> Sequence[str]:
        """Commits of ``since..until``, newest first; those of the line itself if so asked."""
        asked = (since, until, first_parent)
        if asked not in self._between:
            self._between[asked] = super().between(since, until, first_parent=first_parent)
        return self._between[asked]

    def log(self, path: str | None, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits in ``since..until`` that touch ``path``, newest first, with their reviewers."""
        found = super().log(path, since=since, until=until)
        return self._reviewed(found, since=since, until=until)

    def reviews(self, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits in ``since..until`` that review earlier ones, as far as they were approved."""
        found = super().reviews(since=since, until=until)
        return self._reviewed(found, since=since, until=until)

    def anchor(self, text: str) -> None:
        """Write the ledger's head as a blob, once; its name says all of it."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise DataError(f"{text!r} is no head of a ledger")
        self._anchors.put_if_absent(f"{int(match[1]):016d}-{match[2]}", text.encode())

    @property
    def anchors_stay(self) -> bool:
        """Their container lets nobody remove one."""
        return True

    def voided(self) -> Mapping[str, str]:
        """What the watched ref voids: an anchor that nobody can remove stays, and counts no more.

        Whoever may write anchors may plant one, and so end the home for good; what counts is said
        where it is said whose signatures do.
        """
        from mlops_assets.catalog.nodes import parse, plain_value

        place = f"{self.head()}:{self._prefix()}{ANCHORS_FILE}"
        git = self._git()
        if not git.succeeds("cat-file", "-e", place):
            return {}
        text = git.run("cat-file", "blob", place)
        return voided_anchors(plain_value(parse(ANCHORS_FILE, text)), ANCHORS_FILE)

    def anchored(self) -> Sequence[str]:
        """Every text ever anchored, by number: one listing, however long the ledger is."""
        names = (_NAME.fullmatch(blob.name) for blob in self._anchors.list())
        found = tuple(f"{int(name[1])} {name[2]}" for name in names if name)
        voided = self.voided() if found else {}
        return tuple(text for text in found if text not in voided)

    def _reviewed(
        self, commits: Sequence[CommitInfo], *, since: str | None, until: str
    ) -> Sequence[CommitInfo]:
        if not commits:
            return commits
        if self._pull_requests is None:
            return tuple(_doubted(commit, _NO_DEVOPS) for commit in commits)
        made = self._pull_requests.that_made(
            self.between(since, until, first_parent=True), self.ref
        )
        brought: dict[str, PullRequest] = {}
        for pull in made.values():
            for commit in self.between(pull.before, pull.after):
                brought.setdefault(commit, pull)
        found = [_by_pull_request(commit, brought.get(commit.commit)) for commit in commits]
        if any(commit.reviewers for commit in found) and (
            lacks := self._pull_requests.policy_problems(self.ref)
        ):
            doubt = f"the branch policy of {self.ref} is too weak ({'; '.join(lacks)}); {_POLICY}"
            return tuple(_doubted(commit, doubt) for commit in found)
        return tuple(found)


def _doubted(commit: CommitInfo, doubt: str) -> CommitInfo:
    """Return a commit that counts as reviewed by nobody, and why."""
    return replace(commit, reviewers=(), doubt=doubt)


def _by_pull_request(commit: CommitInfo, pull: PullRequest | None) -> CommitInfo:
    """Return a commit as its pull request reviewed it; by nobody where none brought it.

    Git names whoever completed a pull request as who made its merge; they wrote nothing of it, and
    are often the one who approved it.
    """
    if pull is None:
        return replace(commit, reviewers=(), pull_request=None)
    author, committer = commit.author, commit.committer
    if commit.commit not in pull.commits:
        author = author if author in pull.writers else pull.creator
        committer = committer if committer in pull.writers else pull.creator
    others = [each for each in pull.writers if each not in (author, committer)]
    return replace(
        commit,
        author=author,
        committer=committer,
        co_authors=tuple(dict.fromkeys((*commit.co_authors, *others))),
        reviewers=pull.reviewers,
        pull_request=str(pull.number),
    )
