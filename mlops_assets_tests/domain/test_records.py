"""What is signed, judged or recorded is a value: made by name, never changed, never given more."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from mlops_assets.domain.approval import Asked, Authors, Statement
from mlops_assets.domain.gates import Contest
from mlops_assets.domain.manifest import Entry, Manifest, Serving
from mlops_assets.domain.release import Consumed, LedgerEntry, OpenRequest, ReleaseView, Signed
from mlops_assets_tests.domain.test_approval import ASKED, judge
from mlops_assets_tests.domain.test_gates import YES
from mlops_assets_tests.domain.test_manifest import a_manifest
from mlops_assets_tests.domain.test_release import CONSUMED, ENTRY, REQUEST, SIGNED, VIEW
from mlops_assets_tests.domain.test_verdicts import LOST

MANIFEST = a_manifest()
RECORDS = {
    "asked": ASKED,
    "authors": Authors(),
    "statement": judge(),
    "verdict": YES,
    "contest": Contest(LOST, 0.01, 1),
    "manifest": MANIFEST,
    "entry": MANIFEST.entries[0],
    "serving": MANIFEST.entries[0].serving,
    "ledger entry": ENTRY,
    "request": REQUEST,
    "signed": SIGNED,
    "consumed": CONSUMED,
    "view": VIEW,
}
NAMED = (
    Asked,
    Authors,
    Statement,
    Manifest,
    Entry,
    Serving,
    LedgerEntry,
    OpenRequest,
    Signed,
    Consumed,
    ReleaseView,
)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_cannot_be_changed_or_given_more(record):
    assert is_dataclass(record)
    name = next(iter(record.__slots__))
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize("kind", NAMED)
def test_a_record_is_made_by_the_names_of_its_fields(kind):
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        kind(*fields(kind))
