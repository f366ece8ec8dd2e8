"""Warm start: what one contest of forecasters hands to the next training of the same question.

It may save work and never tell the future: everything is dated by the readings that it was learned
from, and a training uses only what was known before its own first origin. What a model began from
is kept in its proof, so that the same training can be repeated to the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a contest found.

    ``question`` is what was asked; the answer serves no other. ``since`` is the first origin of the
    last full contest, whose readings before it chose each forecaster's ``variants`` (by label).
    ``left`` says who was sent home, and when the last reading was known that did it. ``ratio`` is
    the full contest's mean absolute error over that of the seasonal-naive floor.
    """

    question: str
    since: datetime
    variants: Mapping[str, str]
    left: Mapping[str, datetime]
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """What a training began from; ``model`` is the digest of the model that learned it."""

    model: str
    learned: Learned


def learned_document(learned: Learned | None) -> dict[str, Any] | None:
    """Return it as JSON."""
    if learned is None:
        return None
    return {
        "question": learned.question,
        "since": learned.since.isoformat(),
        "variants": dict(learned.variants),
        "left": {label: moment.isoformat() for label, moment in learned.left.items()},
        "ratio": learned.ratio,
    }


def warm_start_document(warm_start: WarmStart | None) -> dict[str, Any] | None:
    """Return it as JSON."""
    if warm_start is None:
        return None
    return {"model": warm_start.model, "learned": learned_document(warm_start.learned)}


def read_learned(document: object) -> Learned | None:
    """Read what `learned_document` wrote; None for a model that hands on nothing.

    Raises:
        ModelError: it is something else.
    """
    if document is None:
        return None
    try:
        found: Any = document
        learned = Learned(
            question=_text(found["question"]),
            since=_moment(found["since"]),
            variants={_text(label): _text(name) for label, name in found["variants"].items()},
            left={_text(label): _moment(text) for label, text in found["left"].items()},
            ratio=float(found["ratio"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError("its proof does not say what was learned") from error
    if not math.isfinite(learned.ratio):
        raise ModelError("its proof does not say what was learned")
    return learned


def read_warm_start(document: object) -> WarmStart | None:
    """Read what `warm_start_document` wrote; None for a model that began from nothing.

    Raises:
        ModelError: it is something else.
    """
    if document is None:
        return None
    if isinstance(document, dict) and isinstance(document.get("model"), str):
        learned = read_learned(document.get("learned"))
        if learned is not None:
            return WarmStart(model=document["model"], learned=learned)
    raise ModelError("its proof does not say what its training began from")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC)
