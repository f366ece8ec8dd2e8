"""Git as it really is: other people's settings, merges, leftovers, links, parts of repositories."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.domain.errors import ConfigError, HomeError, StaleError

PLATFORM = "platform@mlops-assets.local"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "config"


@pytest.fixture
def repository(folder):
    made = GitConfigRepository.create(folder)
    made.commit({"a.yml": b"1\n"}, message="Begin", author=PLATFORM, branch=None)
    return made


def git(folder, *words, who="engineer@demo.example", text=""):
    """Run git as a person with their own name would."""
    identity = ["-c", "user.name=Somebody", "-c", f"user.email={who}"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, input=text).stdout


def test_people_see_a_clean_work_tree(repository, folder):
    repository.commit({"plants/P/C.yml": b"2\n"}, message="More", author=PLATFORM, branch=None)
    assert git(folder, "status", "--short") == ""
    assert git(folder, "log", "--format=%an <%ae> %cn") == (
        "platform <platform@mlops-assets.local> platform\n" * 2
    )


def test_hooks_signing_and_user_settings_do_nothing(folder, tmp_path, monkeypatch):
    config = tmp_path / "gitconfig"
    config.write_text("[commit]\n gpgsign = true\n[user]\n email = other@x.example\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "liar@x.example")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    repository = GitConfigRepository.create(folder)
    hook = folder / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    commit = repository.commit({"a.yml": b"1\n"}, message="Begin", author=PLATFORM, branch=None)
    (info,) = repository.log(None, since=None, until=commit)
    assert (info.author, info.committer) == (PLATFORM, PLATFORM)
    assert not (folder / "ran").exists()


def test_trailers_name_co_authors_reviewers_and_the_pull_request(repository, folder):
    (folder / "a.yml").write_bytes(b"2\n")
    message = (
        "Change (#7)\n\nWhy.\n\nCo-authored-by: Bo <Bo@x.example>\nCo-authored-by: nobody\n"
        "Reviewed-by: Ann <ann@x.example>\nPull-request: 42\n"
    )
    git(folder, "commit", "-q", "-a", "-F", "-", who="Eve@X.example", text=message)
    newest = repository.log("a.yml", since=None, until=repository.head())[0]
    assert newest.author == "eve@x.example"
    assert newest.co_authors == ("bo@x.example", "nobody")
    assert newest.reviewers == ("ann@x.example",)
    assert newest.pull_request == "42"


@pytest.mark.parametrize(
    ("subject", "number"),
    [
        ("Merged PR 12: more", "12"),
        ("Merge pull request #8 from x", "8"),
        ("Fix (#7)", "7"),
        ("Fix", None),
    ],
)
def test_a_pull_request_is_read_from_the_usual_subjects(repository, folder, subject, number):
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    newest = repository.log(None, since=None, until=repository.head())[0]
    assert newest.pull_request == number


def test_the_merge_that_brought_a_change_is_in_the_log_of_its_file(repository, folder):
    git(folder, "checkout", "-q", "-b", "work")
    (folder / "a.yml").write_bytes(b"2\n")
    git(folder, "commit", "-q", "-a", "-m", "Change")
    git(folder, "checkout", "-q", "main")
    message = "Merge work\n\nReviewed-by: Ann <ann@x.example>\n"
    git(folder, "merge", "-q", "--no-ff", "-m", message, "work")
    found = repository.log("a.yml", since=repository.root_commit(), until=repository.head())
    assert [each.subject for each in found] == ["Merge work", "Change"]
    assert found[0].reviewers == ("ann@x.example",)


def test_who_reviewed_a_merge_reviewed_what_it_brought_and_nothing_else(repository, folder):
    def change(text, name):
        (folder / "a.yml").write_bytes(text)
        git(folder, "commit", "-q", "-a", "-m", name)

    change(b"2\n", "Pushed")
    git(folder, "checkout", "-q", "-b", "work")
    change(b"3\n", "First")
    change(b"4\n", "Second")
    git(folder, "checkout", "-q", "main")
    message = "Merge work\n\nReviewed-by: Ann <ann@x.example>\n"
    git(folder, "merge", "-q", "--no-ff", "-m", message, "work")
    # A merge of the watched line into a branch reviews nothing of that line.
    git(folder, "checkout", "-q", "-b", "other", "main~1")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Aside")
    message = "Merge main\n\nReviewed-by: Eve <eve@x.example>\n"
    git(folder, "merge", "-q", "--no-ff", "-m", message, "main")
    git(folder, "checkout", "-q", "main")
    git(folder, "merge", "-q", "--no-ff", "-m", "Merge other", "other")
    found = repository.log("a.yml", since=repository.root_commit(), until=repository.head())
    reviewers = {each.subject: each.reviewers for each in found}
    assert reviewers["First"] == reviewers["Second"] == ("ann@x.example",)
    assert reviewers["Merge work"] == ("ann@x.example",)
    assert reviewers["Pushed"] == ()


def test_a_commit_that_reviews_earlier_ones_may_be_empty(repository, folder):
    first = repository.head()
    trailers = ["--trailer", f"Reviews: {first}", "--trailer", f"reviews: {'e' * 40}"]
    reviewed = ["--trailer", "Reviewed-by: Ann <ann@x.example>"]
    git(folder, "commit", "-q", "--allow-empty", "-m", "Review", *trailers, *reviewed)
    git(folder, "commit", "-q", "--allow-empty", "-m", "Reviews: are no trailer here\n\nNo.")
    head = repository.head()
    (found,) = repository.reviews(since=None, until=head)
    assert found.reviews == (first, "e" * 40)
    assert found.reviewers == ("ann@x.example",)
    assert repository.reviews(since=found.commit, until=head) == ()
    assert repository.log("a.yml", since=first, until=head) == ()


def test_a_part_of_a_larger_repository_is_reviewed_by_the_whole(tmp_path):
    whole = GitConfigRepository.create(tmp_path / "project")
    whole.commit({"config/a.yml": b"1\n"}, message="B", author=PLATFORM, branch=None)
    first = whole.head()
    git(tmp_path / "project", "commit", "-q", "--allow-empty", "-m", f"R\n\nReviews: {first}")
    part = GitConfigRepository(tmp_path / "project" / "config")
    (found,) = part.reviews(since=None, until=part.head())
    assert found.reviews == (first,)


def test_a_part_of_a_larger_repository_sees_only_itself(tmp_path):
    whole = GitConfigRepository.create(tmp_path / "project")
    whole.commit(
        {"config/a.yml": b"1\n", "other.yml": b"x\n"}, message="B", author=PLATFORM, branch=None
    )
    part = GitConfigRepository(tmp_path / "project" / "config")
    head = part.head()
    assert part.files(head) == {"a.yml": b"1\n"} == part.working_files()
    newer = part.commit({"b.yml": b"2\n"}, message="C", author=PLATFORM, branch=None)
    assert part.changed(head, newer) == ["b.yml"]
    whole.commit({"other.yml": b"y\n"}, message="D", author=PLATFORM, branch=None)
    assert [each.subject for each in part.log(None, since=None, until=part.head())] == ["C", "B"]
    assert not part.dirty()


def test_an_edited_file_is_refused_and_not_overwritten(repository, folder):
    (folder / "a.yml").write_bytes(b"mine\n")
    assert repository.dirty()
    with pytest.raises(StaleError, match=r"a\.yml: has uncommitted changes"):
        repository.commit({"a.yml": b"2\n"}, message="No", author=PLATFORM, branch=None)
    assert (folder / "a.yml").read_bytes() == b"mine\n"


def test_another_checked_out_branch_is_left_alone(repository, folder):
    git(folder, "checkout", "-q", "-b", "work")
    repository.commit({"a.yml": b"2\n"}, message="More", author=PLATFORM, branch=None)
    assert (folder / "a.yml").read_bytes() == b"1\n"
    assert repository.files(repository.head())["a.yml"] == b"2\n"


def test_a_symbolic_link_in_a_commit_is_refused_by_name(repository, folder):
    (folder / "b.yml").symlink_to("/etc/passwd")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Link")
    with pytest.raises(ConfigError, match=r"b\.yml: not a regular file"):
        repository.files(repository.head())
    assert "b.yml" not in repository.working_files()


def test_a_huge_file_is_refused_by_name(repository, folder):
    (folder / "b.yml").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match=r"b\.yml: more than 1048576 bytes"):
        repository.working_files()
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Huge")
    with pytest.raises(ConfigError, match=r"b\.yml: more than 1048576 bytes"):
        repository.files(repository.head())


def test_a_shallow_clone_is_refused_with_the_command_that_mends_it(repository, folder, tmp_path):
    repository.commit({"a.yml": b"2\n"}, message="More", author=PLATFORM, branch=None)
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{folder}", "shallow")
    with pytest.raises(HomeError, match="git fetch --unshallow"):
        GitConfigRepository(tmp_path / "shallow").root_commit()


def test_no_repository_and_no_commit_are_told_in_one_line(tmp_path, repository):
    (tmp_path / "plain").mkdir()
    with pytest.raises(HomeError, match="not in a git repository"):
        GitConfigRepository(tmp_path / "plain").head()
    with pytest.raises(HomeError, match="there is no commit at refs/heads/absent"):
        repository.head("refs/heads/absent")
    with pytest.raises(HomeError, match="is no ref"):
        repository.head("--all")
    with pytest.raises(HomeError, match="is not here"):
        repository.files("f" * 40)
    assert not GitConfigRepository(tmp_path / "plain").exists()
    assert repository.exists()


def test_replaced_history_is_not_believed(repository, folder):
    head = repository.commit({"a.yml": b"2\n"}, message="More", author=PLATFORM, branch=None)
    git(folder, "replace", repository.root_commit(), head)
    assert repository.files(repository.root_commit()) == {"a.yml": b"1\n"}


@pytest.mark.parametrize("name", ["refs/heads/main.lock", "refs/mlops/pending.lock", "index.lock"])
def test_a_lock_that_a_killed_git_left_is_taken_away(repository, folder, name):
    lock = folder / ".git" / name
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    long_ago = time.time() - 60
    os.utime(lock, (long_ago, long_ago))
    made = repository.commit({"a.yml": b"2\n"}, message="More", author=PLATFORM, branch=None)
    assert repository.head() == made


def test_a_commit_that_was_killed_before_its_ref_is_made_again(repository, folder):
    (folder / "b.yml").write_bytes(b"2\n")  # the work tree comes first
    assert repository.dirty()
    made = repository.commit({"b.yml": b"2\n"}, message="More", author=PLATFORM, branch=None)
    assert repository.files(made)["b.yml"] == b"2\n"
    assert git(folder, "status", "--short") == ""


def test_creating_a_repository_again_changes_nothing(repository, folder):
    head = repository.head()
    assert GitConfigRepository.create(folder).head() == head


@pytest.mark.parametrize(
    ("files", "author", "branch"),
    [
        ({"../a.yml": b""}, PLATFORM, "work"),
        ({"a b.yml": b""}, PLATFORM, "work"),
        ({"b.yml": b""}, "not an address", "work"),
        ({"b.yml": b""}, PLATFORM, "a..b"),
    ],
)
def test_strange_names_authors_and_branches_are_refused(repository, files, author, branch):
    head = repository.head()
    with pytest.raises(HomeError):
        repository.commit(files, message="No", author=author, branch=branch)
    assert repository.head() == head


def test_without_git_one_line_says_so(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HomeError, match="git is not installed"):
        repository.head()
