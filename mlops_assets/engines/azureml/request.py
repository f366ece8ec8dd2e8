"""What a batch endpoint is asked, and what it answers: one small file each.

The request names what is live, the day, and the version of the table; the readings stay where they
are. It holds no address and no secret: where the script reads and writes it was told when it was
deployed. The answer names the request that it answers.

A script may be older than whoever asks it. A field that it does not know is one that it may leave
out; a request that it must understand and does not has another format.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.deployment import Deployment
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey, IdentifierError, canonical_json, sha256
from mlops_assets.domain.manifest import Serving
from mlops_assets.engines.wire import decode_document, encode_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.domain.forecast import Issued

FOLDER, REQUEST = "scoring", "request"
FORMAT = 2
_OLD = "the next release or rollback of its plant gives the deployment this version's code"
# Folder, day, endpoint, deployment, the request's digest, attempt: `batch` makes it.
_ANSWER = re.compile(
    rf"{FOLDER}(?:/[A-Za-z0-9_-]+){{3}}/(?P<digest>[0-9a-f]{{16}})/\d+/outcome/outcome"
)
_JOB = re.compile(r"score-\d{4}-\d\d-\d\d-(?P<digest>[0-9a-f]{16})-\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One invocation: circuits that one deployment of Azure serves, for one day."""

    delta_version: int
    day: date
    live: Mapping[CircuitKey, Deployment]

    def to_bytes(self) -> bytes:
        """Return the request as the scoring script reads it."""
        return canonical_json(
            {
                "format": FORMAT,
                "delta_version": self.delta_version,
                "day": self.day.isoformat(),
                "live": {str(key): each.document() for key, each in sorted(self.live.items())},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> ScoreRequest:
        """Read a request; DataError names ``where`` when it is none that this script knows."""
        try:
            document = json.loads(data)
            found = document["format"]
            if found == FORMAT:
                live = [_deployment(each) for each in document["live"].values()]
                return cls(
                    delta_version=int(document["delta_version"]),
                    day=date.fromisoformat(document["day"]),
                    live={each.circuit: each for each in live},
                )
        except (ValueError, TypeError, KeyError, AttributeError, IdentifierError) as error:
            raise DataError(
                f"{where}: is no request to score that this script understands "
                f"({type(error).__name__}: {error}); {_OLD}"
            ) from error
        raise DataError(f"{where}: has format {found}, this script reads {FORMAT}; {_OLD}")


def _deployment(document: Mapping[str, Any]) -> Deployment:
    """Return a deployment of a request; what is not known of it is left out."""
    known = {each.name: document[each.name] for each in fields(Deployment)}
    serving = {each.name: document["serving"][each.name] for each in fields(Serving)}
    serving["features"] = tuple(serving["features"])
    known |= {"circuit": CircuitKey.parse(document["circuit"]), "serving": Serving(**serving)}
    return Deployment(**known)


def check_asked(answer: str, request: bytes, environ: Mapping[str, str], where: str) -> None:
    """Refuse a request that is not the one its job was ordered for, or goes elsewhere.

    Args:
        answer: where the answer is to go.
        request: the request.
        environ: the job's variables, among which Azure ML names it.
        where: the file, for people.

    Raises:
        DataError: it is another one.
    """
    digest = sha256(request)[:16]
    place = _ANSWER.fullmatch(answer)
    if place is None or place["digest"] != digest:
        raise DataError(f"{where}: its answer does not go where answers to it go; predict again")
    for name in ("AZUREML_ROOT_RUN_ID", "AZUREML_RUN_ID"):
        job = _JOB.fullmatch(environ.get(name, ""))
        if job is not None and job["digest"] != digest:
            raise DataError(f"{where}: is not the request of job {job[0]}; predict again")


def asked_bytes(answer: str, request: bytes) -> bytes:
    """Return the one file of an invocation: a request, and where its answer goes.

    A request that is asked again has other places for its answer and stays the same request.
    """
    return encode_document({"answer": answer, "request": request})


def read_asked(data: bytes, where: str) -> tuple[str, bytes]:
    """Return what `asked_bytes` holds; DataError names ``where`` when it is something else."""
    document = decode_document(data, where, "a request to score")
    if not {"answer", "request"} <= set(document):
        raise DataError(f"{where}: is not a request to score")
    return str(document["answer"]), bytes(document["request"])


def answer_bytes(request: bytes, issued: Sequence[Issued]) -> bytes:
    """Return what came of each circuit as it travels, with the request's digest."""
    return encode_document({"request": sha256(request), "issued": list(issued)})


def read_answer(data: bytes, request: bytes, where: str) -> list[Issued]:
    """Return what `answer_bytes` holds, unchecked but for the request that it answers.

    Raises:
        DataError: it is something else, or answers another request.
    """
    document = decode_document(data, where, "what a batch endpoint answers")
    if document.get("request") != sha256(request):
        raise DataError(f"{where}: answers another request; remove it and predict again")
    found: list[Issued] = document.get("issued", [])
    return found
