"""Reading canonical text: what was signed or hashed is exactly what is understood.

`identifiers.canonical_json` writes; `read_canonical` accepts only bytes that it would have written,
so that two readers can never see different documents in the same bytes. Moments are UTC text of
whole seconds, ``2026-01-31T06:00:00Z``.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from mlops_assets.domain.identifiers import IdentifierError, canonical_json

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_MOMENT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def read_canonical(data: bytes, *, what: str, limit: int) -> dict[str, Any]:
    """Parse a canonical JSON object of at most ``limit`` bytes, or refuse it in one sentence."""
    if len(data) > limit:
        raise IdentifierError(f"{what} has {len(data)} bytes; at most {limit} are read")
    try:
        value = json.loads(data.decode("ascii"))
        canonical = canonical_json(value)
    except IdentifierError as error:
        raise IdentifierError(f"{what}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise IdentifierError(f"{what} is not JSON: {type(error).__name__}") from error
    if canonical != data:
        raise IdentifierError(
            f"{what} is not canonical JSON: sorted keys, no spaces, no key twice, ASCII"
        )
    if not isinstance(value, dict):
        raise IdentifierError(f"{what} is not a JSON object")
    return value


def expect_fields(value: object, fields: set[str], *, what: str) -> dict[str, Any]:
    """Return a JSON object that has exactly these fields, or name what is missing or too much."""
    if not isinstance(value, dict):
        raise IdentifierError(f"{what} is not a JSON object")
    if missing := sorted(fields - value.keys()):
        raise IdentifierError(f"{what} lacks {', '.join(missing)}")
    if extra := sorted(value.keys() - fields):
        raise IdentifierError(f"{what} has unknown fields: {', '.join(map(repr, extra))}")
    return value


def shown(said: object, length: int = 64) -> str:
    r"""Return what a stranger wrote as a part of one line that is safe to print.

    >>> print(shown("r-1\x1b[2J"))
    r-1\x1b[2J
    """
    text = str(said)
    return (text if text.isprintable() else repr(text)[1:-1])[:length]


def whole_second(moment: datetime) -> datetime:
    """Return a moment in UTC without its fraction of a second."""
    return moment.astimezone(UTC).replace(microsecond=0)


def moment_text(moment: datetime) -> str:
    """Return the one text of a moment.

    >>> moment_text(datetime(2026, 1, 31, 6, tzinfo=UTC))
    '2026-01-31T06:00:00Z'
    """
    return whole_second(moment).strftime(_MOMENT_FORMAT)


def read_moment(text: object) -> datetime:
    """Read such a text; anything else is refused."""
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise IdentifierError(f"{text!r} is not a moment such as 2026-01-31T06:00:00Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise IdentifierError(f"{text!r} is not a moment that exists") from error
