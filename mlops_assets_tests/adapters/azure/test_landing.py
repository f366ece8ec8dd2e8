"""A listing of raw files reads each blob once, and again when it changed."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.azure.landing import BlobLandingZone
from mlops_assets.domain.errors import DataError, StaleError

pytestmark = pytest.mark.azure


class Zone:
    """Raw files and what is kept beside them; ``reads`` names the blobs that were read."""

    def __init__(self, server):
        self.raw, self.beside = server.blobs(), server.blobs()
        self.reads = []
        genuine = self.raw.get_with_etag
        self.raw.get_with_etag = lambda name: (self.reads.append(name), genuine(name))[1]

    def new(self):
        """The zone as a new process sees it."""
        self.reads.clear()
        return BlobLandingZone(self.raw, self.beside)


@pytest.fixture
def zone(azurite):
    made = Zone(azurite)
    for number in range(20):
        made.raw.put(f"p/{number:02d}.csv", b"%d" % number)
    return made


def test_a_blob_that_was_listed_is_not_read_again_by_this_process_nor_the_next(zone):
    landing = zone.new()
    first = landing.files()
    assert len(first) == len(zone.reads) == 20
    landing.files()
    assert len(zone.reads) == 20
    assert zone.new().files() == first
    assert zone.reads == []


def test_a_blob_that_changed_is_read_again_and_one_that_went_is_listed_no_more(zone):
    zone.new().files()
    zone.raw.put("p/03.csv", b"other")
    zone.raw.put("p/new.csv", b"x")
    zone.raw.delete("p/07.csv")
    found = {file.path: file.size for file in zone.new().files()}
    assert sorted(zone.reads) == ["p/03.csv", "p/new.csv"]
    assert len(found) == 20
    assert found["p/03.csv"] == 5
    assert "p/07.csv" not in found


def test_a_few_new_blobs_are_rather_read_again_than_remembered_each_time(zone):
    zone.new().files()
    _, before = zone.beside.get_with_etag("seen.json")
    zone.raw.put("p/new.csv", b"x")
    zone.new().files()
    assert zone.beside.get_with_etag("seen.json")[1] == before
    zone.raw.put("p/large.csv", bytes(5_000_000))
    zone.new().files()
    assert zone.beside.get_with_etag("seen.json")[1] != before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 9, "blobs": {}}', b'{"format": 1, "blobs": [1]}']
)
def test_what_cannot_be_remembered_is_read(zone, content):
    zone.beside.put("seen.json", content)
    assert len(zone.new().files()) == len(zone.reads) == 20


def test_what_writers_use_while_they_write_is_no_raw_file(zone):
    for name in (".hidden", "_SUCCESS", "p/.part", "_temporary/a.csv"):
        zone.raw.put(name, b"")
    assert len(zone.new().files()) == 20


def test_a_raw_file_is_never_replaced_by_another(zone):
    landing = zone.new()
    assert landing.put("p/03.csv", b"3") in landing.files()
    with pytest.raises(StaleError, match=r"p/03\.csv: is written once and holds other content"):
        landing.put("p/03.csv", b"4")


@pytest.mark.parametrize("path", ["../x.csv", "/etc/x.csv", "a/../../x.csv", "a//b.csv", ""])
def test_a_name_that_leads_elsewhere_is_refused(zone, path):
    with pytest.raises(DataError, match="leads out of the landing zone; use a relative name"):
        zone.new().put(path, b"")


def test_a_raw_file_that_went_or_changed_since_the_listing_is_told(zone):
    landing = zone.new()
    gone, changed, *_ = landing.files()
    zone.raw.delete(gone.path)
    zone.raw.put(changed.path, b"other")
    with pytest.raises(DataError, match="is no longer in the landing zone; put it back"):
        landing.read(gone)
    with pytest.raises(DataError, match="changed while it was read; run ingest again"):
        landing.read(changed)
