"""What a batch endpoint is asked, and what it answers: one small file each.

The request names what is live, the day, and the version of the table; the readings stay where they
are. It holds names of our own backend and no secret. The answer names the request that it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import sha256
from mlops_assets.engines.wire import decode_document, encode_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from mlops_assets.domain.deployment import Deployment
    from mlops_assets.domain.forecast import Issued
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.settings.azure import AzureBackend

FOLDER, REQUEST = "scoring", "request"
ServingWorkspaceName = Literal["test", "prod"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One invocation: circuits that one deployment of Azure serves, for one day.

    ``workspace`` says whose identity reads the table, and whose exchange takes the answer.
    """

    backend: AzureBackend
    workspace: ServingWorkspaceName
    table: str
    delta_version: int
    day: date
    live: Mapping[CircuitKey, Deployment]

    def to_bytes(self) -> bytes:
        """Return the request as the scoring script reads it."""
        return encode_document(
            {
                "backend": self.backend,
                "workspace": self.workspace,
                "table": self.table,
                "delta_version": self.delta_version,
                "day": self.day,
                "live": dict(sorted(self.live.items())),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> ScoreRequest:
        """Read a request; DataError names ``where`` when it is none."""
        return cls(**decode_document(data, where, "a request to score"))


def asked_bytes(answer: str, request: bytes) -> bytes:
    """Return the one file of an invocation: a request, and where its answer goes.

    A request that is asked again has other places for its answer and stays the same request.
    """
    return encode_document({"answer": answer, "request": request})


def read_asked(data: bytes, where: str) -> tuple[str, bytes]:
    """Return what `asked_bytes` holds; DataError names ``where`` when it is something else."""
    document = decode_document(data, where, "a request to score")
    if set(document) != {"answer", "request"}:
        raise DataError(f"{where}: is not a request to score")
    return str(document["answer"]), bytes(document["request"])


def answer_bytes(request: bytes, issued: Sequence[Issued]) -> bytes:
    """Return what came of each circuit as it travels, with the request's digest."""
    return encode_document({"request": sha256(request), "issued": list(issued)})


def read_answer(data: bytes, request: bytes, where: str) -> list[Issued]:
    """Return what `answer_bytes` holds.

    Raises:
        DataError: it is something else, or answers another request.
    """
    document = decode_document(data, where, "what a batch endpoint answers")
    if document.get("request") != sha256(request):
        raise DataError(f"{where}: answers another request; remove it and predict again")
    found: list[Issued] = document["issued"]
    return found
