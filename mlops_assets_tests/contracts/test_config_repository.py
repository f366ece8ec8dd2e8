"""What every config repository must do, the fake, the git one and Azure's alike."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.azure.config import AzureConfigRepository
from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.domain.errors import HomeError, StaleError
from mlops_assets_tests.fakes.config import FakeConfigRepository

PLATFORM = "platform@mlops-assets.local"
FIRST = {
    "plants_circuits.yml": b"format: 1\n",
    "plants/P1/C1.yml": b"cutoff_date: 2024-06-21\n",
    "trust/allowed_signers": b"# nobody\n",
}


@pytest.fixture(params=["fake", "git", pytest.param("azure", marks=pytest.mark.azure)])
def empty(request, tmp_path):
    if request.param == "fake":
        return FakeConfigRepository()
    made = GitConfigRepository.create(tmp_path / "config")
    if request.param == "git":
        return made
    # Its anchors are blobs; commits are read from a clone as anywhere.
    anchors = request.getfixturevalue("storage_account").blobs("anchors")
    return AzureConfigRepository(tmp_path / "config", made.ref, anchors)


@pytest.fixture
def repository(empty):
    empty.commit(FIRST, message="Begin", author=PLATFORM, branch=None)
    return empty


def change(repository, files, *, author="e@demo.example", message="Change", branch=None):
    return repository.commit(files, message=message, author=author, branch=branch)


def test_before_the_first_commit_there_is_no_head_and_nothing_is_anchored(empty):
    with pytest.raises(HomeError, match="there is no commit at refs/heads/main"):
        empty.head()
    assert empty.anchored() == ()


def test_what_was_committed_is_read_again_byte_for_byte(repository):
    assert repository.files(repository.head()) == FIRST
    assert repository.root_commit() == repository.head()


def test_files_that_a_commit_does_not_name_stay(repository):
    head = change(repository, {"plants/P1/C1.yml": b"cutoff_date: 2024-07-01\n"})
    assert repository.head() == head
    assert repository.files(head) == {**FIRST, "plants/P1/C1.yml": b"cutoff_date: 2024-07-01\n"}


def test_committing_what_is_there_makes_no_commit(repository):
    head = repository.head()
    assert change(repository, FIRST) == head


def test_an_old_commit_still_reads_as_it_was(repository):
    root = repository.head()
    change(repository, {"plants/P1/C1.yml": b"other\n"})
    assert repository.files(root) == FIRST


def test_a_commit_contains_its_ancestors_and_not_its_descendants(repository):
    root = repository.head()
    head = change(repository, {"a.yml": b"1\n"})
    assert repository.contains(root, head)
    assert repository.contains(head, head)
    assert not repository.contains(head, root)
    assert not repository.contains("f" * 40, head)


def test_changed_names_the_paths_that_differ(repository):
    root = repository.head()
    head = change(repository, {"plants/P1/C1.yml": b"other\n", "plants/P1/C2.yml": b"new\n"})
    assert list(repository.changed(root, head)) == ["plants/P1/C1.yml", "plants/P1/C2.yml"]
    assert list(repository.changed(head, head)) == []


def test_the_log_is_newest_first_and_keeps_to_its_path(repository):
    root = repository.head()
    one = change(repository, {"plants/P1/C1.yml": b"1\n"}, message="One", author="A@x.example")
    two = change(repository, {"plants/P1/C2.yml": b"2\n"}, message="Two")

    def found(path, since=None):
        return [each.commit for each in repository.log(path, since=since, until=two)]

    assert found(None) == [two, one, root]
    assert found("plants/P1/C1.yml") == [one, root]
    assert found("plants") == [two, one, root]
    assert found("plants", since=one) == [two]
    assert found("trust", since=root) == []
    subjects = [each.subject for each in repository.log("plants", since=root, until=two)]
    assert subjects == ["Two", "One"]


def test_a_branch_leaves_the_watched_ref_and_the_work_tree_alone(repository):
    head = repository.head()
    made = change(repository, {"plants/P1/C1.yml": b"branch\n"}, branch="refresh-2024-07-01")
    assert repository.head() == head
    assert repository.head("refs/heads/refresh-2024-07-01") == made
    assert repository.contains(head, made)
    assert not repository.dirty()


def test_the_same_branch_with_the_same_content_is_the_same_commit(repository):
    made = change(repository, {"a.yml": b"1\n"}, branch="refresh")
    assert change(repository, {"a.yml": b"1\n"}, branch="refresh") == made
    with pytest.raises(StaleError, match="branch refresh is there with other content"):
        change(repository, {"a.yml": b"2\n"}, branch="refresh")


def test_after_a_commit_the_work_tree_says_the_same(repository):
    change(repository, {"a.yml": b"1\n"})
    assert not repository.dirty()
    assert repository.working_files() == repository.files(repository.head())


def test_anchors_are_kept_in_their_order_and_touch_no_commit(repository):
    head = repository.head()
    for text in ("0 aa", "1 bb", "2 cc"):
        repository.anchor(text)
    assert repository.anchored() == ("0 aa", "1 bb", "2 cc")
    assert repository.head() == head
