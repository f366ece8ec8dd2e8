"""Pull requests of Azure DevOps: who wrote and who approved what they brought, and our comments.

Only pull requests that were completed into the watched ref count. What one brought is read from git
and not from the service: everything between the ref before it and the ref after it, whatever the
strategy that merged it.
"""

from __future__ import annotations

import math
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from azure.core import PipelineClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest

from mlops_assets.adapters.azure.blobs import said
from mlops_assets.domain.errors import DataError, EngineError
from mlops_assets.domain.identifiers import checked_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport

    from mlops_assets.settings.azure import DevOps

# Azure DevOps itself, as Entra knows it.
SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
VERSION = "7.1"
# Who asks is told by no version that is not one.
_PREVIEW = "7.1-preview"
# Votes: 10 approved, 5 approved with suggestions, 0 none, -5 waits for the author, -10 rejected.
_APPROVED, _REJECTED = 5, -10
_COMMITS_AT_ONCE = 200
# As long as one run may take for a fleet whose circuits ask for the same commits.
_ASKED_AGAIN_SECONDS = 60
# The type of the policy that requires reviewers, the same in every organization.
_REVIEWERS = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"
_PAGE = 100
_ADDRESS = re.compile(r"[^<>\s@]+@[^<>\s@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A completed pull request; people are e-mail addresses.

    ``creator`` opened it, ``writers`` are theirs, of whoever pushed to it and those that its own
    ``commits`` name; ``reviewers`` approved it, nobody one that somebody rejected. It brought what
    lies between ``before`` and ``after``; of that, what is none of its commits was made by the
    service as it completed it.
    """

    number: int
    before: str
    after: str
    creator: str
    writers: tuple[str, ...]
    commits: frozenset[str]
    reviewers: tuple[str, ...]


class PipelineToken:
    """The token that a pipeline's run is given; it ends with the run."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        """Return it, for whatever is asked."""
        return AccessToken(self._token, int(time.time()) + 3600)


class AzurePullRequests:
    """The pull requests of one repository."""

    def __init__(
        self,
        settings: DevOps,
        credential: TokenCredential,
        *,
        transport: HttpTransport[Any, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        names = (settings.organization, settings.project, settings.repository)
        self._where = f"Azure DevOps {'/'.join(names)}"
        organization, project, repository = (quote(name, safe="") for name in names)
        self._git = f"/{organization}/{project}/_apis/git"
        self._path = f"{self._git}/repositories/{repository}"
        self._client: PipelineClient[HttpRequest, Any] = PipelineClient(
            settings.address.rstrip("/"),
            policies=[
                HeadersPolicy({"Accept": "application/json"}),
                UserAgentPolicy("mlops-assets"),
                RetryPolicy(retry_total=4, retry_backoff_factor=0.5),
                BearerTokenCredentialPolicy(credential, SCOPE),
            ],
            **({"transport": transport} if transport else {}),
        )
        self._known: dict[str, PullRequest] = {}
        self._asked_at: dict[str, float] = {}
        self._policies: dict[str, tuple[float, Sequence[str]]] = {}

    def that_made(self, commits: Sequence[str], ref: str) -> Mapping[str, PullRequest]:
        """Return by commit the pull request whose completion into ``ref`` made it.

        A completed pull request does not change, so it is asked about once. A commit that none made
        may still become the head of one that is fast-forwarded: it is asked about again.
        """
        now = self._clock()
        new = [
            commit
            for commit in commits
            if commit not in self._known
            and now - self._asked_at.get(commit, -math.inf) > _ASKED_AGAIN_SECONDS
        ]
        for start in range(0, len(new), _COMMITS_AT_ONCE):
            some = new[start : start + _COMMITS_AT_ONCE]
            self._known |= self._ask(some, ref)
            self._asked_at |= dict.fromkeys(some, now)
        return {each: self._known[each] for each in commits if each in self._known}

    def policy_problems(self, ref: str) -> Sequence[str]:
        """Say what the policies of a branch lack for its pull requests to be evidence.

        An approval has to be somebody else's, and has to end when something new is pushed. One
        policy has to ask for all of it, of every path: two that ask for a half each let each half
        be given without the other. It is asked for again after a minute.
        """
        now = self._clock()
        asked_at, lacks = self._policies.get(ref, (-math.inf, ()))
        if now - asked_at > _ASKED_AGAIN_SECONDS:
            lacks = self._lacks(ref)
            self._policies[ref] = (now, lacks)
        return lacks

    def _lacks(self, ref: str) -> Sequence[str]:
        with self._explained():
            return self._asked_policies(ref)

    def _asked_policies(self, ref: str) -> Sequence[str]:
        repository = str(self._json("GET", "")["id"])
        more = f"&repositoryId={quote(repository, safe='')}&refName={quote(ref, safe='')}"
        place = f"{self._git}/policy/configurations"
        found = self._send("GET", place, more=more, whole=True)[1]["value"]
        standing = [
            each["settings"]
            for each in found
            if each["type"]["id"] == _REVIEWERS and each["isEnabled"] and each["isBlocking"]
        ]
        if not standing:
            return ("no reviewer is required",)
        whole = [one for one in standing if not one.get("filenamePatterns")]
        if not whole:
            return ("reviewers are required of some paths alone",)
        wanted: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
            "an approval outlives the next push": lambda one: one.get("resetOnSourcePush"),
            "whoever opened it may approve it": lambda one: not one.get("creatorVoteCounts"),
            "whoever pushed last may approve it": lambda one: one.get("blockLastPusherVote"),
            "no approval is needed": lambda one: int(one.get("minimumApproverCount", 0)) > 0,
        }
        each_lacks: list[list[str]] = [
            [lack for lack, holds in wanted.items() if not holds(one)] for one in whole
        ]
        fewest = min(each_lacks, key=len)
        return tuple(fewest)

    def comment(self, number: int, marker: str, text: str) -> bool:
        """Say something on a pull request once: what we said with ``marker`` before is replaced.

        What others said with it, to be taken for us or to silence us, is left where it is.

        Returns:
            False when exactly that stood there already.
        """
        threads = f"/pullRequests/{number}/threads"
        content = f"{marker}\n{text}"
        about = f"/{quote(self._settings.organization, safe='')}/_apis/connectionData"
        with self._explained():
            myself = self._send("GET", about, whole=True, version=_PREVIEW)[1]
            me = str(myself["authenticatedUser"]["id"]).casefold()
        for thread in self._json("GET", threads)["value"]:
            for comment in thread.get("comments") or ():
                author = str((comment.get("author") or {}).get("id")).casefold()
                if author != me or not str(comment.get("content") or "").startswith(marker):
                    continue
                if comment["content"] == content:
                    return False
                place = f"{threads}/{thread['id']}/comments/{comment['id']}"
                try:
                    self._json("PATCH", place, {"content": content})
                except EngineError as error:
                    if getattr(error.__cause__, "status_code", None) != 403:  # noqa: PLR2004 HTTP's
                        raise
                    continue
                return True
        comment = {"parentCommentId": 0, "content": content, "commentType": "text"}
        # Closed, so that it never waits for somebody to resolve it.
        self._json("POST", threads, {"comments": [comment], "status": "closed"})
        return True

    def _ask(self, commits: Sequence[str], ref: str) -> dict[str, PullRequest]:
        with self._explained():
            return self._asked(commits, ref)

    def _asked(self, commits: Sequence[str], ref: str) -> dict[str, PullRequest]:
        query = {"type": "lastMergeCommit", "items": list(commits)}
        answer = self._json("POST", "/pullrequestquery", {"queries": [query]})
        found: dict[str, PullRequest] = {}
        for result in answer["results"]:
            for commit, pulls in result.items():
                for pull in sorted(pulls, key=lambda each: int(each["pullRequestId"])):
                    whole = self._json("GET", f"/pullRequests/{int(pull['pullRequestId'])}")
                    if whole["status"] == "completed" and whole["targetRefName"] == ref:
                        found.setdefault(commit, self._read(whole))
        return found

    def _read(self, whole: Mapping[str, Any]) -> PullRequest:
        number = int(whole["pullRequestId"])
        creator = str(whole["createdBy"]["uniqueName"]).casefold()
        people = [each for each in whole.get("reviewers") or () if not each.get("isContainer")]
        approved = {
            str(each["uniqueName"]).casefold() for each in people if each["vote"] >= _APPROVED
        }
        if any(each["vote"] <= _REJECTED for each in people):
            approved = set()
        commits = list(self._commits(number))
        wrote = {
            str(commit[person]["email"]).casefold()
            for commit in commits
            for person in ("author", "committer")
        }
        return PullRequest(
            number=number,
            before=checked_commit(whole["lastMergeTargetCommit"]["commitId"]),
            after=checked_commit(whole["lastMergeCommit"]["commitId"]),
            creator=creator,
            writers=tuple(sorted({creator, *wrote, *self._pushers(number)})),
            commits=frozenset(str(commit["commitId"]) for commit in commits),
            reviewers=tuple(sorted(each for each in approved if _ADDRESS.fullmatch(each))),
        )

    def _pushers(self, number: int) -> set[str]:
        """Who pushed, as the service authenticated them: what git says, anybody can write."""
        pushes = self._json("GET", f"/pullRequests/{number}/iterations")["value"]
        return {str(each["author"]["uniqueName"]).casefold() for each in pushes}

    def _commits(self, number: int) -> Iterator[Mapping[str, Any]]:
        """What was pushed, whose writers a squash leaves nowhere else."""
        token = ""
        while True:
            more = f"&continuationToken={quote(token, safe='')}" if token else ""
            place = f"/pullRequests/{number}/commits"
            headers, page = self._send("GET", place, more=f"&$top={_PAGE}{more}")
            yield from page["value"]
            token = headers.get("x-ms-continuationtoken", "")
            if not token:
                return

    def _json(self, method: str, place: str, body: object = None) -> Any:  # noqa: ANN401 any JSON
        return self._send(method, place, body)[1]

    def _send(
        self,
        method: str,
        place: str,
        body: object = None,
        *,
        more: str = "",
        whole: bool = False,
        version: str = VERSION,
    ) -> tuple[Mapping[str, str], Any]:
        path = place if whole else f"{self._path}{place}"
        url = f"{self._settings.address.rstrip('/')}{path}?api-version={version}{more}"
        request = HttpRequest(method, url, json=body)
        with self._explained():
            response = self._client.send_request(request)
            # A sign-in page comes with 203: the token was not taken.
            if response.status_code == 203:  # noqa: PLR2004 HTTP's own
                raise EngineError(f"{self._where}: no identity is accepted; {_SIGN_IN}")
            response.raise_for_status()
            return response.headers, response.json()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the service says, or does not say, into one line."""
        try:
            yield
        except HttpResponseError as error:
            raise EngineError(f"{self._where}: {_meaning(error)}") from error
        except AzureError as error:
            raise EngineError(f"{self._where}: cannot be reached: {said(error)}; repeat") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self._where}: answers what is no pull request") from error


_SIGN_IN = "sign in, or name the identity in the settings and add it to the project as a reader"


def _meaning(error: HttpResponseError) -> str:
    match error.status_code:
        case 401:
            return f"no identity is accepted; {_SIGN_IN}"
        case 403:
            return "this identity may not; give it the right Contribute to pull requests there"
        case 404:
            return "there is no such repository or pull request, or this identity may not see it"
        case code:
            return f"answers {code} {error.reason}; repeat"
