"""Config in a git repository, read at commits by git's own plumbing.

The folder may be a whole repository (`HOME/config`) or a part of a larger one. Paths are relative
to the folder. Nothing here runs a hook, a filter or a signature program.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.adapters.local.commit import FIELDS, read_commit
from mlops_assets.adapters.local.files import flush_folder, locked, read_bytes, write_atomic
from mlops_assets.adapters.local.git import Git, GitError
from mlops_assets.domain.errors import ConfigError, HomeError, Problem, StaleError
from mlops_assets.domain.identifiers import checked_commit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.ports import CommitInfo

NOTES_REF = "refs/notes/mlops-ledger"

_ABSENT = "0" * 40
_MAXIMUM_FILE = 1024 * 1024
_REGULAR = {"100644", "100755"}
_SAFE_PATH = re.compile(r"[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*")


class GitConfigRepository:
    """The config folder of one git repository; ``ref`` is the watched one."""

    def __init__(
        self, folder: Path, ref: str = "refs/heads/main", notes_ref: str = NOTES_REF
    ) -> None:
        self._folder = folder
        self._ref = ref
        self._notes_ref = notes_ref
        self._files: dict[str, Mapping[str, bytes]] = {}

    @classmethod
    def create(cls, folder: Path, ref: str = "refs/heads/main") -> GitConfigRepository:
        """Return a repository of its own in this folder, made now where there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        branch = ref.removeprefix("refs/heads/")
        if not (folder / ".git" / "HEAD").is_file():
            Git(folder).run("init", "--quiet", "--template=", f"--initial-branch={branch}")
            flush_folder(folder)
        return cls(folder, ref)

    def exists(self) -> bool:
        """Whether the folder is there and lies in a git repository."""
        return self._folder.is_dir() and self._top() is not None

    @property
    def ref(self) -> str:
        """The watched ref."""
        return self._ref

    def head(self, ref: str | None = None) -> str:
        """The commit at a ref, the watched one by default."""
        wanted = ref or self._ref
        if wanted.startswith("-"):
            raise HomeError(f"{wanted!r} is no ref")
        found = self._commit_at(wanted)
        if found is None:
            raise HomeError(f"{self._folder}: there is no commit at {wanted}: commit config there")
        return found

    def root_commit(self) -> str:
        """The first commit; a shallow clone, which lacks it, is refused."""
        git = self._git()
        if git.line("rev-parse", "--is-shallow-repository") == "true":
            raise HomeError(f"{git.folder}: a shallow clone: run git fetch --unshallow there")
        roots = git.line("rev-list", "--first-parent", "--max-parents=0", self.head())
        return checked_commit(roots.split()[-1])

    def contains(self, ancestor: str, commit: str) -> bool:
        """Whether ``ancestor`` is ``commit`` or one of its ancestors; a lost commit is none."""
        return self._git().succeeds(
            "merge-base", "--is-ancestor", checked_commit(ancestor), checked_commit(commit)
        )

    def files(self, commit: str) -> Mapping[str, bytes]:
        """Config files at a commit by path."""
        checked_commit(commit)
        if commit not in self._files:
            git = self._git()
            blobs = dict(self._blobs(git, commit))
            wanted = "".join(f"{blob}\n" for blob in blobs.values()).encode()
            contents = _batched(git.run("cat-file", "--batch", data=wanted))
            self._files[commit] = dict(zip(blobs, contents, strict=True))
        return self._files[commit]

    def working_files(self) -> Mapping[str, bytes]:
        """The same from the work tree."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if _is_config(name) and path.is_file() and not path.is_symlink():
                if path.stat().st_size > _MAXIMUM_FILE:
                    raise _refused(name, f"more than {_MAXIMUM_FILE} bytes: take it out of config")
                found[name] = path.read_bytes()
        return found

    def dirty(self) -> bool:
        """Whether the work tree differs from the head commit."""
        return dict(self.working_files()) != dict(self.files(self.head()))

    def changed(self, before: str, after: str) -> Sequence[str]:
        """Paths that differ between two commits."""
        prefix = self._prefix()
        printed = self._git().run(
            "diff-tree",
            "-r",
            "-z",
            "--name-only",
            "--no-renames",
            "--no-ext-diff",
            checked_commit(before),
            checked_commit(after),
            "--",
            *([prefix] if prefix else []),
        )
        return sorted(name.removeprefix(prefix) for name in _texts(printed))

    def log(self, path: str | None, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits in ``since..until`` that touch ``path``, newest first, merges included.

        Who reviewed a merge into the watched line reviewed the commits that it brought.
        """
        where = f"{self._prefix()}{path or ''}"
        records = self._records(
            "--full-history",
            "--show-pulls",
            checked_commit(until),
            *([f"^{checked_commit(since)}"] if since else []),
            "--",
            *([f":(top,literal){where}"] if where else []),
        )
        found = [read_commit(record) for record in records]
        merges = {
            commit.commit: commit.reviewers
            for commit, record in zip(found, records, strict=True)
            if " " in record[-1]
        }
        brought = self._brought(merges, since, until)
        return tuple(
            replace(one, reviewers=tuple(dict.fromkeys(one.reviewers + brought[one.commit])))
            if one.commit in brought
            else one
            for one in found
        )

    def reviews(self, *, since: str | None, until: str) -> Sequence[CommitInfo]:
        """Commits of the whole repository in ``since..until`` that review earlier ones."""
        records = self._records(
            "--regexp-ignore-case",
            "--grep=^Reviews:",
            checked_commit(until),
            *([f"^{checked_commit(since)}"] if since else []),
            "--",
        )
        found = (read_commit(record) for record in records)
        return tuple(commit for commit in found if commit.reviews)

    def between(
        self, since: str | None, until: str, *, first_parent: bool = False
    ) -> Sequence[str]:
        """Commits of ``since..until``, newest first; those of the line itself if so asked."""
        limit = [f"^{checked_commit(since)}"] if since else []
        return self._listed(*["--first-parent"] * first_parent, checked_commit(until), *limit)

    def _records(self, *which: str) -> list[list[str]]:
        """Return the fields of each commit that ``git log`` lists."""
        shape = ("-z", "--no-mailmap", "--no-notes", "--format=" + "%x00".join(FIELDS))
        printed = self._git().run("log", *shape, *which)
        parts = printed.decode("utf-8", "replace").split("\0")[:-1]
        return [parts[start : start + len(FIELDS)] for start in range(0, len(parts), len(FIELDS))]

    def _brought(
        self, merges: Mapping[str, tuple[str, ...]], since: str | None, until: str
    ) -> dict[str, tuple[str, ...]]:
        """Return who reviewed each commit by reviewing the merge that brought it."""
        brought: dict[str, tuple[str, ...]] = {}
        limit = [f"^{checked_commit(since)}"] if since else []
        for merge in self._listed("--first-parent", "--merges", until, *limit) if merges else ():
            for commit in self._listed(f"{merge}^1..{merge}", *limit) if merge in merges else ():
                brought[commit] = brought.get(commit, ()) + merges[merge]
        return brought

    def _listed(self, *which: str) -> list[str]:
        return self._git().run("rev-list", *which, "--").decode("ascii").split()

    def commit(
        self, files: Mapping[str, bytes], *, message: str, author: str, branch: str | None
    ) -> str:
        """Commit files on the watched ref, or on a new branch; returns the commit.

        What is there already makes no commit. On the watched ref, where it is checked out, the
        work tree follows; a file that somebody is editing there is refused, not overwritten.
        """
        git = self._git()
        ref = f"refs/heads/{branch}" if branch else self._ref
        if not git.succeeds("check-ref-format", ref):
            raise HomeError(f"{ref}: not a name that git takes for a branch")
        with locked(self._lock_file(git)):
            head = self._commit_at(self._ref)
            before = self.files(head) if head else {}
            checked_out = branch is None and git.succeeds("symbolic-ref", "--quiet", "HEAD")
            checked_out = checked_out and git.line("symbolic-ref", "HEAD") == ref
            if checked_out:
                self._write_work_tree(before, files)
            if head and all(before.get(name) == data for name, data in files.items()):
                return head
            if branch and (existing := self._commit_at(ref)):
                return self._same_or_refused(existing, {**before, **files}, branch)
            made = self._written(git, files, message=message, author=author, parent=head)
            old = head if branch is None else None
            git.locked("update-ref", ref, made, old or _ABSENT)
            if checked_out:
                git.locked("read-tree", made)
        return made

    def anchor(self, text: str) -> None:
        """Write the ledger's head as a git note on the root commit.

        The note holds the newest text; the notes ref's history holds every one.
        """
        git = self._git()
        root = self.root_commit()
        with locked(self._lock_file(git)):
            before = self._commit_at(self._notes_ref)
            stream = _commit_stream(
                {root: text.encode()}, message=text, author=_NOTES_AUTHOR, parent=before
            )
            made = git.locked("fast-import", *_IMPORT, data=stream)
            git.locked("update-ref", self._notes_ref, made.decode().strip(), before or _ABSENT)
            git.locked("update-ref", "-d", _PENDING)

    def anchored(self) -> Sequence[str]:
        """Every text ever anchored, oldest first."""
        if self._top() is None or self._commit_at(self._notes_ref) is None:
            return ()
        printed = self._git().run("log", "-z", "--reverse", "--format=%B", self._notes_ref, "--")
        return tuple(text.rstrip("\n") for text in _texts(printed))

    def voided(self) -> Mapping[str, str]:
        """Nothing: a note that somebody planted is taken away where notes are kept."""
        return {}

    @property
    def anchors_stay(self) -> bool:
        """Whoever may write the notes may take them away."""
        return False

    def _top(self) -> Path | None:
        """The work tree's top: this folder, or the nearest one above that is a repository."""
        folder = self._folder.resolve()
        return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)

    def _git(self) -> Git:
        top = self._top()
        if top is None:
            raise HomeError(
                f"{self._folder}: not in a git repository: make a home with `mlops init`, or "
                "commit this folder"
            )
        return Git(top)

    def _prefix(self) -> str:
        inside = self._folder.resolve().relative_to(self._git().folder).as_posix()
        return "" if inside == "." else f"{inside}/"

    def _lock_file(self, git: Git) -> Path:
        return git.folder / git.line("rev-parse", "--git-common-dir") / "mlops.lock"

    def _commit_at(self, ref: str) -> str | None:
        printed = self._git().run(
            "rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}", fails=(1,)
        )
        text = printed.decode().strip()
        return checked_commit(text) if text else None

    def _blobs(self, git: Git, commit: str) -> Iterator[tuple[str, str]]:
        prefix = self._prefix()
        try:
            tree = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", prefix or ".")
        except GitError as error:
            raise HomeError(f"{self._folder}: commit {commit[:12]} is not here: {error}") from error
        for line in _texts(tree):
            described, _, path = line.partition("\t")
            mode, _, blob, size = described.split()
            name = path.removeprefix(prefix)
            if not _is_config(name):
                continue
            if mode not in _REGULAR:
                raise _refused(name, "not a regular file: write the file itself here")
            if int(size) > _MAXIMUM_FILE:
                raise _refused(name, f"more than {_MAXIMUM_FILE} bytes: take it out of config")
            yield name, blob

    def _write_work_tree(self, before: Mapping[str, bytes], files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            there = read_bytes(self._folder / name)
            if there not in (None, data, before.get(name)):
                raise StaleError(
                    f"{self._folder / name}: has uncommitted changes: commit or discard them"
                )
        for name, data in files.items():
            if read_bytes(self._folder / name) != data:
                write_atomic(self._folder / name, data)

    def _written(
        self, git: Git, files: Mapping[str, bytes], *, message: str, author: str, parent: str | None
    ) -> str:
        prefix = self._prefix()
        paths = {f"{prefix}{name}": data for name, data in files.items()}
        stream = _commit_stream(paths, message=message, author=author, parent=parent)
        made = git.locked("fast-import", *_IMPORT, data=stream)
        git.locked("update-ref", "-d", _PENDING)
        return checked_commit(made.decode().strip())

    def _same_or_refused(self, existing: str, wanted: Mapping[str, bytes], branch: str) -> str:
        if dict(self.files(existing)) == {
            name: data for name, data in wanted.items() if _is_config(name)
        }:
            return existing
        raise StaleError(f"branch {branch} is there with other content: merge or delete it first")


# Made by fast-import, moved to where it belongs, and removed: it exists for milliseconds.
_PENDING = "refs/mlops/pending"
_IMPORT = ("--quiet", "--force", "--date-format=now")
_NOTES_AUTHOR = "platform@mlops-assets.local"


def _commit_stream(
    files: Mapping[str, bytes], *, message: str, author: str, parent: str | None
) -> bytes:
    """Return what tells fast-import to make one commit and to print its id."""
    if not re.fullmatch(r"[^<>\s]+@[^<>\s]+", author):
        raise HomeError(f"{author!r} is no e-mail address: name the author by one")
    person = f"{author.partition('@')[0]} <{author}> now"
    text = message.encode()
    parts: list[bytes] = [
        f"commit {_PENDING}\nmark :1\nauthor {person}\ncommitter {person}\n".encode(),
        b"data %d\n%s\n" % (len(text), text),
    ]
    if parent:
        parts.append(f"from {parent}\n".encode())
    for name, data in sorted(files.items()):
        if not _SAFE_PATH.fullmatch(name) or ".." in name.split("/"):
            raise HomeError(f"{name!r}: a name that config files do not have")
        parts.append(f"M 100644 inline {name}\n".encode())
        parts.append(b"data %d\n%s\n" % (len(data), data))
    parts.append(b"\nget-mark :1\n")
    return b"".join(parts)


def _is_config(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and (name.endswith((".yml", ".yaml")) or name.startswith("trust/"))


def _refused(name: str, advice: str) -> ConfigError:
    return ConfigError((Problem(name, 0, "", advice),))


def _texts(printed: bytes) -> list[str]:
    return [part.decode("utf-8", "replace") for part in printed.split(b"\0") if part]


def _batched(printed: bytes) -> Iterator[bytes]:
    """Split what ``cat-file --batch`` prints: a header line with the size, then the content."""
    place = 0
    while place < len(printed):
        end = printed.index(b"\n", place)
        size = int(printed[place:end].split()[2])
        yield printed[end + 1 : end + 1 + size]
        place = end + 1 + size + 1
