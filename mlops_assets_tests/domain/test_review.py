"""Review: only others review, in the change's own commit or afterwards by name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.evidence import PLATFORM_EMAIL, document_bytes
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.review import judge_review, review_document
from mlops_assets.ports import CommitInfo

CIRCUIT = CircuitKey("P001", "C001")
START = datetime(2024, 6, 1, tzinfo=UTC)
ANN, BOB, EVE = "ann@co.example", "bob@co.example", "eve@co.example"


def commit(author, *, number=1, reviewers=(), co_authors=(), committer=None, reviews=()):
    return CommitInfo(
        commit=f"{number:040x}",
        author=author,
        committer=committer or author,
        co_authors=tuple(co_authors),
        reviewers=tuple(reviewers),
        subject="Longer horizon",
        committed_at=START,
        pull_request=None,
        reviews=tuple(reviews),
    )


def review(*commits, since=None, later=()):
    document = review_document(
        CIRCUIT,
        "plants/P001/C001.yml",
        commits,
        since=since,
        until="f" * 40,
        root=f"{0:040x}",
        later=later,
    )
    return judge_review(document_bytes(document))


def test_the_commit_that_made_the_home_needs_no_reviewer():
    verdict = review(commit(PLATFORM_EMAIL, number=0))
    assert verdict.passed
    assert "initial commit by the platform" in verdict.reason


def test_no_later_commit_is_the_platforms_own():
    assert not review(commit(PLATFORM_EMAIL, number=1)).passed


def test_a_change_that_somebody_else_reviewed_passes():
    verdict = review(commit(ANN, reviewers=[BOB]))
    assert verdict.passed
    assert f"reviewed by {BOB}" in verdict.reason


@pytest.mark.parametrize(
    "change",
    [
        commit(ANN),
        commit(ANN, reviewers=[ANN]),
        commit(ANN, committer=BOB, reviewers=[BOB]),
        commit(ANN, co_authors=[BOB], reviewers=[BOB, ANN]),
    ],
)
def test_nobody_reviews_what_they_wrote(change):
    verdict = review(change)
    assert not verdict.passed
    assert f'git commit --allow-empty -m "Review" --trailer "Reviews: {1:040x}"' in verdict.reason
    assert '--trailer "Reviewed-by: NAME <E-MAIL>"' in verdict.reason


def test_one_unreviewed_change_among_reviewed_ones_is_named():
    verdict = review(commit(ANN, reviewers=[BOB]), commit(EVE, number=7))
    assert not verdict.passed
    assert f"{7:040x}"[:12] in verdict.reason


def test_no_change_since_the_last_release_needs_no_review():
    verdict = review(since="e" * 40)
    assert verdict.passed
    assert verdict.reason == "plants/P001/C001.yml: unchanged since eeeeeeeeeeee"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"changes":[{}],"reviewed":true}'])
def test_a_review_that_cannot_be_read_is_refused(data):
    with pytest.raises(DataError, match=r"pull_request\.json"):
        judge_review(data)


def test_a_change_is_reviewed_afterwards_by_a_commit_that_names_it():
    later = commit(ANN, number=9, reviewers=[BOB], reviews=[f"{1:040x}"])
    verdict = review(commit(ANN), later=[later])
    assert verdict.passed
    assert f"reviewed by {BOB} in " in verdict.reason


@pytest.mark.parametrize(
    "later",
    [
        commit(EVE, number=9, reviewers=[ANN], reviews=[f"{1:040x}"]),
        commit(BOB, number=9, reviews=[f"{1:040x}"]),
        commit(EVE, number=9, reviewers=[BOB], reviews=[f"{2:040x}"]),
        commit(EVE, number=9, reviewers=[BOB], reviews=[f"{1:040x}"[:12]]),
        commit(EVE, number=9, reviewers=[BOB]),
    ],
    ids=["by its author", "by nobody", "of another", "by a short name", "of nothing"],
)
def test_afterwards_nobody_reviews_what_they_wrote_or_did_not_name(later):
    assert not review(commit(ANN), later=[later]).passed


def test_every_unreviewed_commit_is_named_in_the_command():
    verdict = review(commit(ANN), commit(EVE, number=7))
    assert f'"Reviews: {1:040x}" --trailer "Reviews: {7:040x}"' in verdict.reason
