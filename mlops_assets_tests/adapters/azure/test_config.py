"""Reviews of a real git repository as Azure DevOps says them, and anchors on blobs."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest

from mlops_assets.adapters.azure.config import AzureConfigRepository
from mlops_assets.adapters.azure.pull_request import AzurePullRequests
from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.adapters.tree.ledger import TreeLedger
from mlops_assets.domain.errors import DataError, EngineError, RefusedError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.ledger import RESTORED, following, hash_of, line_of
from mlops_assets.domain.review import review_document
from mlops_assets.settings.azure import AzureBackend, DevOps
from mlops_assets_tests.control_plane import ControlPlane, PlaneTransport
from mlops_assets_tests.control_plane.devops import DevOpsService

pytestmark = pytest.mark.azure

SETTINGS = DevOps(organization="northwind", project="forecasting", repository="config")
BACKEND = AzureBackend(
    subscription="11111111-1111-1111-1111-111111111111",
    resource_group="rg-mlops",
    location="westeurope",
    storage_account="mlopslake",
    registry="mlops-registry",
    workspaces={"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
    devops=SETTINGS,
)
ANN, BOB, CAT = "ann@co.example", "bob@co.example", "cat@co.example"
SPEC = "plants/P1/C1.yml"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Project:
    """A repository whose pull requests are completed as Azure DevOps completes them."""

    def __init__(self, folder, service):
        self.folder, self.service = folder, service
        self.git = GitConfigRepository.create(folder)
        self.git.commit({SPEC: b"0\n"}, message="Begin", author=ANN, branch=None)
        self.count = 0

    def run(self, *words, who=ANN):
        name = who.partition("@")[0]
        identity = ["-c", f"user.name={name}", "-c", f"user.email={who}"]
        done = subprocess.run(
            ["git", "-C", str(self.folder), *identity, *words],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def push(self, content, *, who=ANN, message="Change"):
        """A commit of the branch that is checked out."""
        path = self.folder / SPEC
        path.write_text(content)
        self.run("commit", "-qam", message, who=who)
        return self.run("rev-parse", "HEAD")

    def merged(self, *commits, how="merge", by=BOB, votes=None, creator=ANN, **more):
        """Push contents to a branch and complete it; returns what main got, newest first."""
        self.count += 1
        before = self.run("rev-parse", "main")
        self.run("checkout", "-q", "-b", f"topic-{self.count}")
        pushed = [(self.push(content, who=who), who, who) for content, who in commits]
        if how == "rebase":
            for _ in pushed:
                self.run("commit", "-q", "--amend", "--no-edit", "--allow-empty", who=by)
        self.run("checkout", "-q", "main")
        match how:
            case "merge":
                self.run("merge", "-q", "--no-ff", "-m", "Merged PR", f"topic-{self.count}", who=by)
            case "squash":
                self.run("merge", "-q", "--squash", f"topic-{self.count}", who=by)
                self.run("commit", "-qm", "Squashed", f"--author=a <{creator}>", who=by)
            case "rebase":
                self.run("merge", "-q", "--ff-only", f"topic-{self.count}", who=by)
        after = self.run("rev-parse", "main")
        self.service.add(
            self.count,
            before=before,
            after=after,
            creator=creator,
            commits=pushed,
            votes={BOB: 10} if votes is None else votes,
            **more,
        )
        return self.run("rev-list", f"{before}..{after}").split()


@pytest.fixture
def plane():
    plane = ControlPlane(BACKEND)
    yield plane
    plane.close()


@pytest.fixture
def service(plane):
    return DevOpsService(plane, SETTINGS, largest_page=2)


@pytest.fixture
def project(tmp_path, service):
    return Project(tmp_path / "config", service)


@pytest.fixture
def pulls(plane):
    who, transport = plane.identities.credential("dev"), PlaneTransport(plane)
    made = AzurePullRequests(SETTINGS, who, transport=transport, clock=lambda: made.seconds)
    made.seconds = 0.0
    return made


@pytest.fixture
def repository(project, pulls):
    return AzureConfigRepository(project.folder, "refs/heads/main", None, pulls)


def reviewed(repository):
    """Reviewers of each change of the spec, newest first, merges and the first one left out."""
    return [list(each.reviewers) for each in changes(repository)]


def changes(repository):
    found = repository.log(SPEC, since=None, until=repository.head())
    root = repository.root_commit()
    return [each for each in found if each.subject != "Merged PR" and each.commit != root]


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_who_approved_a_pull_request_reviewed_every_commit_that_it_brought(
    project, repository, how
):
    made = project.merged(("1\n", ANN), ("2\n", ANN), how=how)
    found = repository.log(SPEC, since=None, until=repository.head())
    said = {each.commit: (each.reviewers, each.pull_request) for each in found}
    assert said == dict.fromkeys(made, ((BOB,), "1")) | {repository.root_commit(): ((), None)}


def test_commits_that_a_rebase_made_anew_are_found_by_what_it_brought(project, repository):
    project.merged(("1\n", ANN), how="rebase")
    assert reviewed(repository) == [[BOB]]


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_who_completed_a_pull_request_wrote_nothing_of_it(project, repository, how):
    project.merged(("1\n", ANN), how=how, by=BOB)
    newest = repository.log(None, since=None, until=repository.head())[0]
    assert BOB not in {newest.author, newest.committer, *newest.co_authors}
    assert ANN in {newest.author, newest.committer, *newest.co_authors}


def test_everybody_whose_commits_were_squashed_wrote_it_and_so_did_who_opened_it(
    project, repository
):
    pushed = [(f"{number}\n", who) for number, who in enumerate((ANN, CAT, BOB, ANN, ANN), 1)]
    project.merged(*pushed, how="squash", creator="dan@co.example")
    newest = repository.log(SPEC, since=None, until=repository.head())[0]
    wrote = {newest.author, newest.committer, *newest.co_authors}
    assert wrote == {ANN, BOB, CAT, "dan@co.example"}


def judged(repository):
    """What would be kept as evidence of the review of what changed since the first commit."""
    head, root = repository.head(), repository.root_commit()
    commits = repository.log(SPEC, since=root, until=head)
    key = CircuitKey("P1", "C1")
    return review_document(key, SPEC, commits, since=root, until=head, root=root)


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_whoever_pushed_to_it_reviewed_nothing_whatever_git_says(project, repository, how):
    project.merged(("1\n", ANN), how=how, votes={CAT: 10}, pushers=[ANN, CAT])
    said = judged(repository)
    assert said["reviewed"] is False
    assert CAT in {name for change in said["changes"] for name in change["co_authors"]}


def test_somebody_who_pushed_nothing_may_review_beside_one_who_did(project, repository):
    project.merged(("1\n", ANN), votes={CAT: 10, BOB: 10}, by=ANN, pushers=[ANN, CAT.upper()])
    assert {name for change in judged(repository)["changes"] for name in change["reviewers"]} == {
        BOB
    }


WEAK = {
    "an approval outlives the next push": {"resetOnSourcePush": False},
    "whoever opened it may approve it": {"creatorVoteCounts": True},
    "whoever pushed last may approve it": {"blockLastPusherVote": False},
    "no approval is needed": {"minimumApproverCount": 0},
    "reviewers are required of some paths alone": {"filenamePatterns": ["/plants/*"]},
}


@pytest.mark.parametrize("lack", WEAK)
def test_under_a_policy_that_is_too_weak_nothing_counts_as_reviewed(
    project, repository, pulls, service, lack
):
    project.merged(("1\n", ANN))
    assert judged(repository)["reviewed"] is True
    service.policy |= WEAK[lack]
    pulls.seconds += 61
    said = judged(repository)
    assert said["reviewed"] is False
    assert f"refs/heads/main is too weak ({lack})" in said["reason"]


def test_demands_that_no_single_policy_makes_of_every_path_are_not_made(
    project, repository, service, pulls
):
    project.merged(("1\n", ANN))
    full = dict(service.policy)
    service.policy["resetOnSourcePush"] = False
    service.others = [
        full | {"blockLastPusherVote": False},
        full | {"filenamePatterns": ["/docs/*"]},
    ]
    assert len(pulls.policy_problems(repository.ref)) == 1
    assert judged(repository)["reviewed"] is False

    pulls.seconds += 61
    service.others.append(full)
    assert pulls.policy_problems(repository.ref) == ()
    assert judged(repository)["reviewed"] is True


def test_a_push_around_every_pull_request_was_reviewed_by_nobody(project, repository):
    first = project.merged(("1\n", ANN))
    around = project.push("2\n")
    last = project.merged(("3\n", ANN))
    said = {each.commit: each.reviewers for each in changes(repository)}
    assert said[around] == ()
    assert {said[each] for each in (*first, *last) if each in said} == {(BOB,)}


def test_a_trailer_that_anybody_types_counts_for_nothing(project, repository):
    project.push("1\n", message=f"Change\n\nReviewed-by: Bob <{BOB}>")
    assert reviewed(repository) == [[]]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({BOB: 10}, [BOB]),
        ({BOB: 5}, [BOB]),
        ({BOB: 0}, []),
        ({BOB: -5}, []),
        ({BOB: 10, CAT: -10}, []),
        ({BOB: 10, CAT: -5}, [BOB]),
        ({"Bob@CO.example": 10}, [BOB]),
        ({"NORTHWIND\\bob": 10}, []),
        ({}, []),
    ],
)
def test_only_an_approval_by_a_person_that_nobody_rejects_counts(
    project, repository, votes, expected
):
    project.merged(("1\n", ANN), votes=votes)
    assert reviewed(repository) == [expected]


def test_a_group_reviews_nothing_by_itself(project, repository):
    project.merged(("1\n", ANN), votes={"team@co.example": 10}, groups=["team@co.example"])
    assert reviewed(repository) == [[]]


@pytest.mark.parametrize("more", [{"status": "active"}, {"target": "refs/heads/other"}])
def test_what_was_not_completed_into_the_watched_ref_counts_for_nothing(project, repository, more):
    project.merged(("1\n", ANN), **more)
    assert reviewed(repository) == [[]]


def test_a_review_afterwards_counts_by_its_own_pull_request(project, repository):
    late = project.push("1\n")
    trailers = f"Review\n\nReviews: {late}\nReviewed-by: Bob <{BOB}>"
    project.run("commit", "-q", "--allow-empty", "-m", trailers)
    (alone,) = repository.reviews(since=None, until=repository.head())
    assert (alone.reviews, alone.reviewers) == ((late,), ())
    project.run("checkout", "-q", "-b", "review")
    project.run("commit", "-q", "--allow-empty", "-m", f"Review\n\nReviews: {late}", who=CAT)
    pushed = project.run("rev-parse", "HEAD")
    before = project.run("rev-parse", "main")
    project.run("checkout", "-q", "main")
    project.run("merge", "-q", "--no-ff", "-m", "Merged PR", "review", who=CAT)
    after = project.run("rev-parse", "main")
    commits = [(pushed, CAT, CAT)]
    project.service.add(
        9, before=before, after=after, creator=CAT, commits=commits, votes={BOB: 10}
    )
    found = {each.commit: each for each in repository.reviews(since=None, until=after)}
    assert (found[pushed].reviews, found[pushed].reviewers) == ((late,), (BOB,))


def test_each_pull_request_is_asked_about_once_however_many_circuits_there_are(
    project, repository, plane
):
    for number in range(3):
        project.merged((f"{number + 1}\n", ANN))
    head = repository.head()
    repository.log(SPEC, since=None, until=head)
    asked = len(plane.calls)
    for _ in range(5):
        repository.log(SPEC, since=None, until=head)
    assert len(plane.calls) == asked


def test_a_commit_that_is_fast_forwarded_later_gets_its_review_without_a_restart(
    project, repository, pulls
):
    before = project.run("rev-parse", "main")
    project.run("checkout", "-q", "-b", "topic")
    pushed = project.push("1\n")
    assert repository.log(SPEC, since=None, until=pushed)[0].reviewers == ()
    project.run("checkout", "-q", "main")
    project.run("merge", "-q", "--ff-only", "topic")
    project.service.add(
        1, before=before, after=pushed, creator=ANN, commits=[(pushed, ANN, ANN)], votes={BOB: 10}
    )
    pulls.seconds = 61.0
    assert repository.log(SPEC, since=None, until=pushed)[0].reviewers == (BOB,)


def test_every_call_is_one_that_azure_devops_publishes(project, repository, plane):
    project.merged(("1\n", ANN), ("2\n", ANN), ("3\n", ANN))
    head = project.run("rev-parse", "main")
    repository.log(SPEC, since=None, until=head)
    base = "https://dev.azure.com/northwind/forecasting/_apis/git/repositories/config"
    policies = (
        "https://dev.azure.com/northwind/forecasting/_apis/git/policy/configurations"
        "?api-version=7.1&repositoryId=44444444-4444-4444-4444-444444444444"
    )
    commits = f"{base}/pullRequests/1/commits?api-version=7.1&$top=100"
    assert [(call.request.method, call.request.url) for call in plane.calls] == [
        ("POST", f"{base}/pullrequestquery?api-version=7.1"),
        ("GET", f"{base}/pullRequests/1?api-version=7.1"),
        ("GET", commits),
        ("GET", f"{commits}&continuationToken=2"),
        ("GET", f"{base}/pullRequests/1/iterations?api-version=7.1"),
        ("GET", f"{base}?api-version=7.1"),
        ("GET", f"{policies}&refName=refs%2Fheads%2Fmain"),
    ]
    (query,) = plane.calls[0].request.json["queries"]
    assert (query["type"], query["items"][0]) == ("lastMergeCommit", head)


def test_throttling_is_waited_out_and_a_request_that_was_lost_is_sent_again(
    project, repository, plane
):
    project.merged(("1\n", ANN))
    plane.faults.throttle("POST", "pullrequestquery", seconds=0)
    plane.faults.lose_request("GET", "/pullRequests/1$")
    assert reviewed(repository) == [[BOB]]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (lambda plane: plane.faults.fail("*", "/_apis/", status=203), "no identity is accepted"),
        (
            lambda plane: plane.faults.fail("*", "/_apis/", status=401, times=9),
            "no identity is accepted",
        ),
        (
            lambda plane: plane.faults.fail("*", "/_apis/", status=403, times=9),
            "this identity may not",
        ),
        (
            lambda plane: plane.faults.fail("*", "/_apis/", status=400, times=9),
            "answers 400",
        ),
        (
            lambda plane: plane.faults.lose_request("*", "/_apis/", times=99),
            "cannot be reached",
        ),
    ],
)
def test_what_azure_devops_refuses_is_one_line_with_what_to_do(
    project, repository, plane, order, says
):
    project.merged(("1\n", ANN))
    order(plane)
    with pytest.raises(EngineError, match=says) as caught:
        reviewed(repository)
    assert str(caught.value).startswith("Azure DevOps northwind/forecasting/config: ")
    assert "\n" not in str(caught.value)


def test_an_answer_that_is_no_pull_request_is_named(project, repository, service):
    project.merged(("1\n", ANN))
    del service.pulls[1]["createdBy"]
    with pytest.raises(DataError, match="answers what is no pull request"):
        reviewed(repository)


def test_a_comment_is_made_once_and_replaced_by_the_next(project, pulls, service):
    project.merged(("1\n", ANN))
    service.threads[1] = [{"id": 1, "status": "active", "comments": [{"id": 1, "content": "hm"}]}]
    assert pulls.comment(1, "<!-- plan -->", "first")
    assert not pulls.comment(1, "<!-- plan -->", "first")
    assert pulls.comment(1, "<!-- plan -->", "second")
    _, ours = service.threads[1]
    assert (ours["status"], len(ours["comments"])) == ("closed", 1)
    assert ours["comments"][0]["content"] == "<!-- plan -->\nsecond"
    with pytest.raises(EngineError, match="there is no such repository or pull request"):
        pulls.comment(2, "<!-- plan -->", "x")


def test_a_comment_of_somebody_else_that_says_our_marker_is_neither_changed_nor_believed(
    project, pulls, service
):
    project.merged(("1\n", ANN))
    theirs = {"id": 1, "author": {"id": "mallory"}, "content": "<!-- plan -->\nfirst"}
    service.threads[1] = [{"id": 1, "status": "active", "comments": [theirs]}]
    assert pulls.comment(1, "<!-- plan -->", "first")
    assert pulls.comment(1, "<!-- plan -->", "second")
    assert theirs["content"] == "<!-- plan -->\nfirst"
    assert [each["comments"][0]["content"] for each in service.threads[1]] == [
        "<!-- plan -->\nfirst",
        "<!-- plan -->\nsecond",
    ]


def test_a_comment_that_may_not_be_changed_is_made_anew(project, pulls, service, plane):
    project.merged(("1\n", ANN))
    assert pulls.comment(1, "<!-- plan -->", "first")
    plane.faults.fail("PATCH", r".*/comments/\d+", times=1, status=403)
    assert pulls.comment(1, "<!-- plan -->", "second")
    assert [each["comments"][0]["content"] for each in service.threads[1]] == [
        "<!-- plan -->\nfirst",
        "<!-- plan -->\nsecond",
    ]


@pytest.fixture
def anchoring(project, storage_account):
    return AzureConfigRepository(
        project.folder, "refs/heads/main", storage_account.blobs("anchors")
    )


def test_heads_are_kept_by_number_once_each_and_two_of_one_number_both_stay(anchoring):
    for text in ("0 aa", "9 bb", "10 cc", "9 dd", "9 bb"):
        anchoring.anchor(text)
    assert anchoring.anchored() == ("0 aa", "9 bb", "9 dd", "10 cc")


def test_what_is_no_head_is_not_anchored(anchoring):
    for text in ("", "x", "1 ../up", "1 a b", "01 aa"):
        with pytest.raises(DataError, match="is no head of a ledger"):
            anchoring.anchor(text)
    assert anchoring.anchored() == ()


def test_without_azure_devops_nothing_counts_as_reviewed(project, anchoring):
    project.push("1\n", message=f"Change\n\nReviewed-by: Bob <{BOB}>")
    assert reviewed(anchoring) == [[]]
    said = judged(anchoring)
    assert (said["reviewed"], "\n" in said["reason"]) == (False, False)
    assert "the settings name no repository of Azure DevOps" in said["reason"]


@pytest.fixture
def ledger(anchoring, azurite):
    made = TreeLedger(azurite.tree("ledger"), anchoring.anchor, anchoring.anchored, stay=True)
    made.append("initialised", "platform", {"format": 1}, NOW)
    return made


def voids(project, *anchors):
    """Say on the watched ref that anchors count no more."""
    listed = "".join(f'  - anchor: "{each}"\n    reason: planted\n' for each in anchors)
    text = f"format: 1\nvoided:\n{listed}".encode()
    project.git.commit({"trust/anchors.yml": text}, message="Void", author=ANN, branch=None)


def test_a_planted_anchor_ends_the_home_until_the_watched_ref_voids_it(project, anchoring, ledger):
    stray = f"0 {'f' * 64}"
    anchoring.anchor(stray)
    with pytest.raises(RefusedError, match=r"docs/identities\.md says who may void it") as caught:
        ledger.append("released", "platform", {}, NOW)
    assert caught.value.code == "E_ANCHOR"

    voids(project, stray)
    assert anchoring.voided() == {stray: "planted"}
    assert ledger.append("released", "platform", {}, NOW).seq == 1
    assert len(anchoring.anchored()) == 2


def test_nothing_is_voided_by_a_file_of_another_branch_or_of_the_work_tree(
    project, anchoring, ledger
):
    stray = f"7 {'f' * 64}"
    anchoring.anchor(stray)
    text = f'format: 1\nvoided:\n  - anchor: "{stray}"\n    reason: mine\n'.encode()
    project.git.commit({"trust/anchors.yml": text}, message="Void", author=ANN, branch="aside")
    (project.folder / "trust").mkdir()
    (project.folder / "trust" / "anchors.yml").write_bytes(text)
    with pytest.raises(RefusedError, match="it was cut off"):
        ledger.append("released", "platform", {}, NOW)


def test_a_file_that_is_no_list_of_anchors_voids_nothing(project, anchoring, ledger):
    text = b"format: 1\nvoided: all\n"
    project.git.commit({"trust/anchors.yml": text}, message="Void", author=ANN, branch=None)
    with pytest.raises(RefusedError, match=r"trust/anchors\.yml: is not format 1"):
        ledger.append("released", "platform", {}, NOW)


def test_no_entry_says_that_what_is_anchored_for_good_was_lost(anchoring, ledger, azurite):
    ledger.append("released", "platform", {}, NOW)
    first, second = ledger.entries()
    cut = line_of(first)
    excuse = following(
        first, event=RESTORED, actor="op@co.example", data={"lost": [[1, hash_of(second)]]}, now=NOW
    )
    tree = azurite.tree("cut")
    tree.append("log.jsonl", cut + line_of(excuse), at=0)
    anchoring.anchor(f"1 {hash_of(excuse)}")
    forged = TreeLedger(tree, anchoring.anchor, anchoring.anchored, stay=True)
    with pytest.raises(RefusedError, match="ledger entry 1 is not the one"):
        forged.append("released", "platform", {}, NOW)
    with pytest.raises(RefusedError, match="its anchors stay for good"):
        ledger.accept_loss("op@co.example", "gone", NOW)
