"""A change without review closes the registry until somebody else reviewed it, even afterwards."""

from __future__ import annotations

import json

import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.evidence import FILES, document_bytes
from mlops_assets.flows import review
from mlops_assets.flows.gates import circuit_verdicts
from mlops_assets.flows.ledger import manifest_of
from mlops_assets_tests.fakes.release import AUTHOR, C1, C2, ENGINEER, MANAGER, ReleaseHome


class Home(ReleaseHome):
    """A home whose models carry what git says of the changes that they were made of."""

    def changed(self, *circuits, **commit):
        """Commit a change of specs and train it; returns the commit."""
        self.edit(*circuits, **{"reviewers": (), **commit})
        head = self.git.head()
        for key in circuits:
            version = self.dev.models.next_version(key) - 1
            found = review.document(self.platform, key, since=None, until=head, head=head)
            bundle = self.dev.evidence.bundles[key, version]
            bundle[FILES["pull_request"]] = document_bytes(found)
        return head

    def afterwards(self, *commits, reviewer=MANAGER, author=AUTHOR):
        """An empty commit that says who reviewed commits that are there already."""
        return self.git.add({}, author=author, reviewers=[reviewer], reviews=commits)

    def said(self, release):
        """What the gate says of each circuit's review."""
        manifest = manifest_of(self.ledger, self.view(release))
        judged = circuit_verdicts(self.platform, self.config, manifest)
        return {key: verdicts[1] for key, verdicts in judged.items()}


@pytest.fixture
def home():
    return Home()


def test_a_change_without_review_is_refused_with_the_command_that_helps(home):
    commit = home.changed(C1)
    made = home.create(C1)
    (reason,) = home.request(made, "registry").missing
    assert f'--trailer "Reviews: {commit}"' in reason
    assert home.approve(made, "registry", ENGINEER).code == "E_EVIDENCE"


def test_a_review_afterwards_opens_the_same_release_and_is_signed_with_it(home):
    commit = home.changed(C1)
    made = home.create(C1)
    assert home.request(made, "registry").missing
    home.afterwards(commit)
    assert home.request(made, "registry").missing == ()
    statement = json.loads(home.statement(made, "registry", ENGINEER))
    assert "review" in statement["predicate"]["evidence"]
    assert home.approve(made, "registry", ENGINEER).accepted
    assert home.promote(made, "registry").state == "registered"
    assert review.shown(home.platform, made, manifest_of(home.ledger, home.view(made)).entry(C1))[
        "changes"
    ][0]["review"].startswith(f"reviewed by {MANAGER} in ")


def test_a_commit_that_was_reverted_is_settled_by_the_same_commit(home):
    bad = home.git.add({"plants/P001/C001.yml": b"wrong"}, author=AUTHOR)
    undone = home.git.add({"plants/P001/C001.yml": b"spec"}, author=AUTHOR)
    home.changed(C1, reviewers=[MANAGER])
    made = home.create(C1)
    (reason,) = home.request(made, "registry").missing
    assert f'"Reviews: {undone}" --trailer "Reviews: {bad}"' in reason
    home.afterwards(bad, undone)
    assert home.request(made, "registry").missing == ()


def test_a_review_that_came_before_the_training_is_evidence_of_the_model(home):
    bad = home.git.add({"plants/P001/C001.yml": b"wrong"}, author=AUTHOR)
    home.afterwards(bad)
    home.changed(C1, reviewers=[MANAGER])
    made = home.create(C1)
    assert home.request(made, "registry").missing == ()
    assert home.dev.evidence.read_release(made, "review") is None


def test_nothing_is_kept_before_every_circuit_is_reviewed(home):
    one, other = home.changed(C1), home.changed(C2)
    made = home.create()
    home.afterwards(one)
    assert [key for key, said in home.said(made).items() if not said.passed] == [C2]
    assert home.request(made, "registry").missing
    assert home.dev.evidence.read_release(made, "review") is None
    home.afterwards(other)
    assert home.request(made, "registry").missing == ()


def test_a_reviewer_whom_the_trust_root_does_not_know_counts_once_it_does(home):
    home.changed(C1, reviewers=["new@co.example"])
    made = home.create(C1)
    (reason,) = home.request(made, "registry").missing
    assert "`mlops trust add-person new@co.example --role reviewer`" in reason
    roles = home.git.files(home.git.head())["trust/roles.yml"]
    person = b"  new@co.example:\n    roles: [reviewer]\n    git_emails: [new@co.example]\n"
    home.git.add({"trust/roles.yml": roles + person}, author=MANAGER)
    assert home.request(made, "registry").missing == ()


@pytest.mark.parametrize("reviewer", [AUTHOR, "friend@git.example"])
def test_afterwards_neither_the_author_nor_a_stranger_counts(home, reviewer):
    commit = home.changed(C1)
    made = home.create(C1)
    home.afterwards(commit, reviewer=reviewer)
    assert home.request(made, "registry").missing


def test_a_kept_review_counts_only_where_git_says_the_same(home):
    commit = home.changed(C1)
    made = home.create(C1)
    home.afterwards(commit)
    home.request(made, "registry")
    stored = home.dev.evidence.releases[made, "review"]
    forged = stored.replace(MANAGER.encode(), ENGINEER.encode())
    home.dev.evidence.releases[made, "review"] = forged
    assert "is not what git says" in home.said(made)[C1].reason
    other_head = stored.replace(json.loads(stored)["head"].encode(), b"f" * 40)
    home.dev.evidence.releases[made, "review"] = other_head
    assert "is gone" in home.said(made)[C1].reason
    for damaged in (b"{}", b"[", stored.replace(made.encode(), b"r-" + b"0" * 12)):
        home.dev.evidence.releases[made, "review"] = damaged
        with pytest.raises(DataError, match=r"review\.json is not as it was stored"):
            home.said(made)


def test_evidence_that_names_other_commits_than_git_is_not_mended_by_git(home):
    home.changed(C1)
    bundle = home.dev.evidence.bundles[C1, 2]
    document = json.loads(bundle[FILES["pull_request"]])
    document["changes"] = document["changes"][1:]
    bundle[FILES["pull_request"]] = document_bytes(document)
    made = home.create(C1)
    home.afterwards(home.git.head())
    assert not home.said(made)[C1].passed


def test_with_four_eyes_off_an_unreviewed_change_passes_loudly():
    home = Home(four_eyes="off")
    home.changed(C1)
    made = home.create(C1)
    assert home.request(made, "registry").missing == ()
    assert home.said(made)[C1].reason.startswith("UNREVIEWED, four eyes off: ")
    assert home.dev.evidence.read_release(made, "review") is None
