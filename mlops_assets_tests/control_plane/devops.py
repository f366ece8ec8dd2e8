"""Azure DevOps: completed pull requests of one repository, their commits, votes and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlops_assets_tests.control_plane.wire import Answer, RefusalError, bad_request, not_found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.settings.azure import DevOps
    from mlops_assets_tests.control_plane.plane import ControlPlane
    from mlops_assets_tests.control_plane.wire import Request

AUDIENCE = "499b84ac-1321-427f-aa17-267ca6975798"
VERSION = "7.1"
_LONGEST = 150_000
_REPOSITORY = "44444444-4444-4444-4444-444444444444"
# Types of branch policies, the same in every organization.
_BUILD = "0609b952-1397-4640-95ec-e00a01b2c241"
_REVIEWERS = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"


class DevOpsService:
    """One repository. ``largest_page`` is how many commits one answer holds."""

    def __init__(self, plane: ControlPlane, settings: DevOps, *, largest_page: int = 100) -> None:
        self.pulls: dict[int, dict[str, Any]] = {}
        self.threads: dict[int, list[dict[str, Any]]] = {}
        self._commits: dict[int, list[dict[str, Any]]] = {}
        self._pushers: dict[int, list[str]] = {}
        self._largest_page = largest_page
        base = (
            f"/{settings.organization}/{settings.project}"
            f"/_apis/git/repositories/{settings.repository}"
        )
        self.policy: dict[str, Any] | None = {
            "minimumApproverCount": 1,
            "creatorVoteCounts": False,
            "resetOnSourcePush": True,
            "blockLastPusherVote": True,
        }
        # Whoever asks, as the service knows them.
        self.who = "55555555-5555-4555-8555-555555555555"
        # Policies beside it, each with the paths that it is about.
        self.others: list[dict[str, Any]] = []
        one = base + r"/pull[Rr]equests/(?P<number>\d+)"
        policies = base.partition("/repositories/")[0] + "/policy/configurations"
        about = f"/{settings.organization}/_apis/connectionData"
        plane.route("GET", about, self.about, f"{VERSION}-preview")
        plane.route("GET", base, self.repository, VERSION)
        plane.route("GET", policies, self.policies, VERSION)
        plane.route("POST", base + "/pullrequestquery", self.query, VERSION)
        plane.route("GET", one, self.get, VERSION)
        plane.route("GET", one + "/commits", self.commits, VERSION)
        plane.route("GET", one + "/iterations", self.iterations, VERSION)
        plane.route("GET", one + "/threads", self.get_threads, VERSION)
        plane.route("POST", one + "/threads", self.add_thread, VERSION)
        comment = one + r"/threads/(?P<thread>\d+)/comments/(?P<comment>\d+)"
        plane.route("PATCH", comment, self.change_comment, VERSION)
        plane.scopes.append(("/_apis/", "devops"))
        plane.identities.audiences.insert(0, (r".*/_apis/.*", frozenset({AUDIENCE})))

    def add(
        self,
        number: int,
        *,
        before: str,
        after: str,
        creator: str,
        commits: Sequence[tuple[str, str, str]],
        votes: Mapping[str, int],
        groups: Sequence[str] = (),
        pushers: Sequence[str] | None = None,
        status: str = "completed",
        target: str = "refs/heads/main",
    ) -> None:
        """Remember a pull request; ``commits`` are id, author and committer of what was pushed.

        ``pushers`` are who pushed, each a push of their own; whoever opened it without them.
        """
        self._pushers[number] = [creator] if pushers is None else list(pushers)
        self.pulls[number] = {
            "pullRequestId": number,
            "status": status,
            "targetRefName": target,
            "createdBy": {"uniqueName": creator, "displayName": creator.partition("@")[0]},
            "lastMergeTargetCommit": {"commitId": before},
            "lastMergeCommit": {"commitId": after},
            "reviewers": [
                {"uniqueName": name, "vote": vote, "isContainer": name in groups}
                for name, vote in votes.items()
            ],
        }
        self._commits[number] = [
            {"commitId": commit, "author": {"email": author}, "committer": {"email": committer}}
            for commit, author, committer in commits
        ]

    def about(self, request: Request) -> Answer:
        return Answer(200, {"authenticatedUser": {"id": self.who, "isActive": True}})

    def repository(self, request: Request) -> Answer:
        return Answer(200, {"id": _REPOSITORY, "defaultBranch": "refs/heads/main"})

    def policies(self, request: Request) -> Answer:
        if request.query.get("repositoryId") != _REPOSITORY or "refName" not in request.query:
            raise bad_request("A repository and a ref have to be named.")
        found = [
            {"type": {"id": kind}, "isEnabled": True, "isBlocking": True, "settings": settings}
            for kind, settings in (
                (_BUILD, {"buildDefinitionId": 1}),
                (_REVIEWERS, self.policy),
                *((_REVIEWERS, other) for other in self.others),
            )
            if settings is not None
        ]
        return Answer(200, {"count": len(found), "value": found})

    def query(self, request: Request) -> Answer:
        queries = request.json["queries"]
        for one in queries:
            if one["type"] not in {"lastMergeCommit", "commit"}:
                raise bad_request(f"{one['type']} is no type of query.")
        results = [self._result(one["items"]) for one in queries]
        return Answer(200, {"queries": queries, "results": results})

    def get(self, request: Request, number: str) -> Answer:
        return Answer(200, self._pull(number))

    def commits(self, request: Request, number: str) -> Answer:
        self._pull(number)
        every = self._commits[int(number)]
        start = int(request.query.get("continuationToken", "0"))
        end = start + min(int(request.query.get("$top", "100")), self._largest_page)
        headers = {"x-ms-continuationtoken": quote(str(end))} if end < len(every) else {}
        page = every[start:end]
        return Answer(200, {"count": len(page), "value": page}, headers)

    def iterations(self, request: Request, number: str) -> Answer:
        self._pull(number)
        found = [
            {"id": at, "author": {"uniqueName": who, "displayName": who.partition("@")[0]}}
            for at, who in enumerate(self._pushers[int(number)], 1)
        ]
        return Answer(200, {"count": len(found), "value": found})

    def get_threads(self, request: Request, number: str) -> Answer:
        self._pull(number)
        found = self.threads.get(int(number), [])
        return Answer(200, {"count": len(found), "value": found})

    def add_thread(self, request: Request, number: str) -> Answer:
        self._pull(number)
        said = request.json
        if not said.get("comments") or said.get("status") not in {"active", "closed"}:
            raise bad_request("A thread begins with a comment and has a status.")
        threads = self.threads.setdefault(int(number), [])
        comments = [
            {"id": at + 1, "author": {"id": self.who}, **one}
            for at, one in enumerate(said["comments"])
        ]
        if any(len(one["content"].encode("utf-16-le")) > 2 * _LONGEST for one in comments):
            raise bad_request("A comment has at most 150000 characters.")
        threads.append({"id": len(threads) + 1, "status": said["status"], "comments": comments})
        return Answer(200, threads[-1])

    def change_comment(self, request: Request, number: str, thread: str, comment: str) -> Answer:
        for one in self.threads.get(int(number), []):
            for each in one["comments"]:
                if (one["id"], each["id"]) == (int(thread), int(comment)):
                    if each.get("author") != {"id": self.who}:
                        raise RefusalError(
                            403, "Forbidden", "Comments are changed by their author."
                        )
                    each["content"] = request.json["content"]
                    return Answer(200, each)
        raise not_found(f"Comment {comment}")

    def _result(self, items: Sequence[str]) -> dict[str, Any]:
        # What a query answers of a pull request is less than the request itself.
        found: dict[str, Any] = {}
        for number, pull in self.pulls.items():
            commit = pull["lastMergeCommit"]["commitId"]
            if commit in items:
                found.setdefault(commit, []).append({"pullRequestId": number})
        return found

    def _pull(self, number: str) -> dict[str, Any]:
        if int(number) not in self.pulls:
            raise not_found(f"TF401180: The requested pull request {number}")
        return self.pulls[int(number)]
