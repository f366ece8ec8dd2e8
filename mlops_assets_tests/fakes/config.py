"""A config repository in memory: whole trees, parents, branches and notes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from mlops_assets.domain.errors import HomeError, StaleError
from mlops_assets.ports import CommitInfo

BEGAN = datetime(2024, 6, 1, tzinfo=UTC)


class FakeConfigRepository:
    """``work_tree`` holds what somebody has in their editor; commits come a minute apart."""

    def __init__(self, ref="refs/heads/main"):
        self.ref = ref
        self.trees = {}
        self.infos = {}
        self.parents = {}
        self.branches = {}
        self.notes = []
        self.work_tree = {}

    def head(self, ref=None):
        name = (ref or self.ref).removeprefix("refs/heads/")
        if name in self.branches:
            return self.branches[name]
        if name in self.trees:
            return name
        raise HomeError(f"config: there is no commit at {ref or self.ref}: commit config there")

    def root_commit(self):
        return self._history(self.head())[-1]

    def contains(self, ancestor, commit):
        return commit in self.trees and ancestor in self._history(commit)

    def files(self, commit):
        return dict(self.trees[commit])

    def working_files(self):
        return dict(self.work_tree)

    def dirty(self):
        return self.work_tree != self.files(self.head())

    def changed(self, before, after):
        old, new = self.trees[before], self.trees[after]
        return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))

    def log(self, path, *, since, until):
        left = set(self._history(since)) if since else set()
        return tuple(
            self.infos[commit]
            for commit in self._history(until)
            if commit not in left and self._touches(commit, path)
        )

    def reviews(self, *, since, until):
        return tuple(each for each in self.log(None, since=since, until=until) if each.reviews)

    def commit(self, files, *, message, author, branch):
        name = branch or self.ref.removeprefix("refs/heads/")
        parent = self.branches.get(self.ref.removeprefix("refs/heads/"))
        before = self.trees.get(parent, {})
        if branch is None:
            for path, data in files.items():
                if self.work_tree.get(path) not in (None, data, before.get(path)):
                    raise StaleError(f"{path}: has uncommitted changes: commit or discard them")
            self.work_tree |= files
        tree = {**before, **files}
        if parent and tree == before:
            return parent
        if branch in self.branches:
            if self.trees[self.branches[branch]] == tree:
                return self.branches[branch]
            raise StaleError(f"branch {branch} is there with other content: merge or delete it")
        return self.add(tree, parent=parent, branch=name, author=author, message=message)

    def add(self, tree, *, parent, branch, author, message, reviewers=(), reviews=()):
        """Commit a whole tree on a branch, as anybody with git could."""
        commit = hashlib.sha1(f"{len(self.trees)}".encode()).hexdigest()  # noqa: S324 as git does
        self.trees[commit] = dict(tree)
        self.parents[commit] = parent
        self.branches[branch] = commit
        self.infos[commit] = CommitInfo(
            commit=commit,
            author=author,
            committer=author,
            co_authors=(),
            reviewers=tuple(reviewers),
            subject=message.splitlines()[0],
            committed_at=BEGAN + timedelta(minutes=len(self.trees)),
            pull_request=None,
            parent=parent,
            reviews=tuple(reviews),
        )
        return commit

    def anchor(self, text):
        self.notes.append(text)

    anchors_stay = False

    def voided(self):
        return {}

    def anchored(self):
        return tuple(self.notes)

    def _history(self, commit):
        found = []
        while commit:
            found.append(commit)
            commit = self.parents.get(commit)
        return found

    def _touches(self, commit, path):
        before = self.trees.get(self.parents[commit], {})
        after = self.trees[commit]
        names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        return path is None or any(name == path or name.startswith(f"{path}/") for name in names)
