"""Desire and decisions: the config repository, the ledger, and a home while it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from mlops_assets.domain.release import LedgerEntry


class Ledger(Protocol):
    """Write-once files and one hash-chained log."""

    def append(self, event: str, actor: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        """Add one entry under the lock, fsynced and anchored before this returns."""

    def entries(self) -> Sequence[LedgerEntry]:
        """All entries, the chain checked; a broken one raises RefusedError and is named."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ledger over a read and an append; may be nested in one process."""

    def accept_loss(self, operator: str, reason: str, now: datetime) -> int:
        """Go on from a log that ends before what was anchored; returns how many were lost."""

    def put(self, kind: str, name: str, data: bytes) -> bool:
        """Write ``ledger/<kind>/<name>`` once; False when the same bytes were there already."""

    def get(self, kind: str, name: str) -> bytes | None:
        """Read such a file."""

    def names(self, kind: str) -> Sequence[str]:
        """Names under ``ledger/<kind>``, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """One commit of the config repository. People are e-mail addresses.

    ``reviews`` names earlier commits that its reviewers have reviewed too; ``parent`` is the
    first parent, None of a first commit. ``doubt`` is why whoever reviewed it does not count.
    """

    commit: str
    author: str
    committer: str
    co_authors: tuple[str, ...]
    reviewers: tuple[str, ...]
    subject: str
    committed_at: datetime
    pull_request: str | None
    reviews: tuple[str, ...] = ()
    parent: str | None = None
    doubt: str = ""


class ConfigRepository(Protocol):
    """The git repository that says what should exist, read at commits, never the work tree."""

    @property
    def ref(self) -> str:
        """The watched ref, such as refs/heads/main."""

    def head(self, ref: str | None = None) -> str:
        """The commit at a ref (the watched one by default)."""

    def root_commit(self) -> str:
        """The first commit."""

    def contains(self, ancestor: str, commit: str) -> bool:
        """Whether ``ancestor`` is ``commit`` or one of its ancestors."""

    def files(self, commit: str) -> Mapping[str, bytes]:
        """Config files at a commit by path (YAML, and everything in trust/)."""

    def working_files(self) -> Mapping[str, bytes]:
        """The same from the work tree, for `plan --working-tree`."""

    def dirty(self) -> bool:
        """Whether the work tree differs from the head commit."""

    def changed(self, before: str, after: str) -> Sequence[str]:
        """Paths that differ between two commits."""

    def log(self, path: str | None, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits in ``since..until`` that touch ``path``, newest first."""

    def reviews(self, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits in ``since..until``, empty ones too, that review earlier ones."""

    def commit(
        self, files: Mapping[str, bytes], *, message: str, author: str, branch: str | None
    ) -> str:
        """Commit files on the watched ref's branch, or on a new branch; returns the commit."""

    def anchor(self, text: str) -> None:
        """Write the ledger's head as a git note on the root commit."""

    def anchored(self) -> Sequence[str]:
        """Every text ever anchored and not voided, oldest first."""

    def voided(self) -> Mapping[str, str]:
        """The anchors that people voided in ``trust/anchors.yml``, each with the reason."""

    @property
    def anchors_stay(self) -> bool:
        """Whether nobody can remove an anchor: then no entry may say that decisions were lost."""


class Signer(Protocol):
    """A person's ed25519 key, wherever its private half is: in a file, behind a passphrase."""

    @property
    def public_key(self) -> bytes:
        """Its 32 bytes; RefusedError when it is no ed25519 key."""

    def sign(self, message: bytes) -> bytes:
        """Return the armored signature in our namespace; RefusedError when it cannot sign."""


class HomePlace(Protocol):
    """Where a home lies, while it is made."""

    def begin(self, document: Mapping[str, Any]) -> bool:
        """Claim an empty place for what ``document`` says; True when it is whole already.

        HomeError when something else is there.
        """

    def finish(self) -> None:
        """Say that the home is whole."""
