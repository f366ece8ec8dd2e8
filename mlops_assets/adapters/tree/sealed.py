"""Small JSON documents that carry the SHA-256 of their own content.

A flipped bit, a half file or an edit by hand shows when the document is read. This finds accidents;
against people who can write here, the digests that were signed decide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.identifiers import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def seal(document: Mapping[str, Any]) -> bytes:
    """Return the one text of a document, with its own digest in it."""
    return _text({**document, "sha256": digest_of(dict(document))})


def unseal(data: bytes, *, where: str, expected_format: int) -> dict[str, Any]:
    """Read a sealed document back.

    Raises:
        ModelError: it is not exactly the text that was sealed, or of another format.
    """
    try:
        document = json.loads(data.decode("ascii"))
        del document["sha256"]
        # The text has the digest in it, so that the same text is the same digest.
        intact = data == seal(document)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{where}: is damaged; {_ADVICE}") from error
    if not intact:
        raise ModelError(f"{where}: is not what was written; {_ADVICE}")
    if document.get("format") != expected_format:
        raise ModelError(
            f"{where}: has format {document.get('format')!r}, this mlops reads format "
            f"{expected_format}; run `mlops migrate` with the mlops that succeeds it"
        )
    return dict(document)


_ADVICE = "restore it from a backup, or remove its folder and train again"


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode()
