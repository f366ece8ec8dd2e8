"""The daily batch on batch endpoints: one invocation for all circuits that one deployment serves.

The scoring script does the same work as every other engine, on the same version of the table. An
invocation's name is made of its request, so a batch that was killed finds what it had asked, and a
day is asked once for the same models and readings. An answer in which something failed or fell back
is handed on and then counts no more: the next batch asks again.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, MlopsError
from mlops_assets.domain.forecast import Issued, Unanswered
from mlops_assets.domain.identifiers import sha256
from mlops_assets.engines.azureml.answer import check_issued
from mlops_assets.engines.azureml.ordered import (
    LostError,
    Ordered,
    Patience,
    Stop,
    StoppedError,
)
from mlops_assets.engines.azureml.request import (
    FOLDER,
    REQUEST,
    ScoreRequest,
    asked_bytes,
    read_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.ports import BatchWork
    from mlops_assets.ports.remote import Exchange, RemoteScoring

_LOG = logging.getLogger(__name__)
AT_ONCE = 16
# Longest run of one invocation; a plant of many circuits is one.
_LONGEST_SECONDS = 3600.0


class AzureBatchEngine:
    """Bounded invocations in flight, each of one deployment of Azure.

    Args:
        exchange: where requests and answers lie.
        scoring: what is invoked.
        at_once: invocations in flight.
        attempts: how often is asked when a job ends without an answer.
        patience: how often jobs are asked after.
        sleep: how to wait; virtual time in tests.
    """

    def __init__(
        self,
        exchange: Exchange,
        scoring: RemoteScoring,
        *,
        at_once: int = AT_ONCE,
        attempts: int = 2,
        patience: Patience | None = None,
        seconds: float = _LONGEST_SECONDS,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._exchange = exchange
        self._scoring = scoring
        self._at_once = at_once
        self._attempts = attempts
        self._patience = patience or Patience()
        self._seconds = seconds
        self._sleep = sleep

    def issue(self, work: BatchWork, circuits: Sequence[CircuitKey]) -> Iterator[Issued]:
        """Have all circuits forecast, and tell what became of each as invocations end."""
        places: dict[str, list[CircuitKey]] = {}
        for circuit in circuits:
            try:
                place = self._scoring.place(work.live[circuit])
            except MlopsError as error:
                yield Unanswered(circuit=circuit, failed=str(error))
                continue
            places.setdefault(place, []).append(circuit)
        if not places:
            return
        stop = Stop(self._sleep)
        with ThreadPoolExecutor(min(self._at_once, len(places))) as pool:
            asked = [
                pool.submit(self._asked, place, work, group, stop)
                for place, group in places.items()
            ]
            try:
                for done in as_completed(asked):
                    found, forget = done.result()
                    yield from found
                    try:
                        forget()
                    except MlopsError as error:
                        _LOG.warning("an answer stays and would be taken again: %s", error)
            finally:
                stop.set()
                for each in asked:
                    each.cancel()

    def _asked(
        self, place: str, work: BatchWork, circuits: Sequence[CircuitKey], stop: Stop
    ) -> tuple[list[Issued], Callable[[], None]]:
        """Return what became of the circuits of one invocation, and how to forget it."""
        try:
            return self._answered(place, work, circuits, stop)
        except StoppedError:
            why = "the batch was stopped"
        except MlopsError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 one invocation's failure never stops another
            text = " ".join(str(error).split())[:300]
            why = f"its invocation cannot be followed ({type(error).__name__}: {text})"
        return [Unanswered(circuit=circuit, failed=why) for circuit in circuits], _nothing

    def _answered(
        self, place: str, work: BatchWork, circuits: Sequence[CircuitKey], stop: Stop
    ) -> tuple[list[Issued], Callable[[], None]]:
        request = ScoreRequest(
            delta_version=work.delta_version,
            day=work.day,
            live={circuit: work.live[circuit] for circuit in circuits},
        ).to_bytes()
        digest = sha256(request)[:16]
        ordered = Ordered(
            exchange=self._exchange,
            work=self._scoring,
            folder=f"{FOLDER}/{work.day}/{place}/{digest}",
            name=f"score-{work.day}-{digest}",
            patience=self._patience,
            seconds=self._seconds,
        )

        def begin(attempt: int, name: str) -> str:
            # The folder that is given holds this one file: what else lay there would be scored too.
            asked = f"{ordered.folder}/{attempt}/asked"
            answer = f"{ordered.outcome_folder(attempt)}/outcome"
            self._exchange.put(f"{asked}/{REQUEST}", asked_bytes(answer, request))
            return self._scoring.invoke(name, place, request=self._exchange.uri(asked))

        def read(data: bytes, where: str) -> list[Issued]:
            return check_issued(read_answer(data, request, where), work, circuits, where)

        try:
            issued, attempt = ordered.result(begin, read, stop, attempts=self._attempts)
        except LostError as error:
            raise DataError(f"its invocation was lost ({error}); predict again") from error
        stands = all(each.issue and each.issue.fallback == "none" for each in issued)
        return issued, _nothing if stands else partial(ordered.spend, attempt)


def _nothing() -> None:
    """Nothing to forget."""
