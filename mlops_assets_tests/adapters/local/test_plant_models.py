"""Whatever stands in a plant's file of models, only what a digest names comes out of it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.local.plant_models import LocalPlantModels
from mlops_assets.domain.identifiers import digest_of_files
from mlops_assets.domain.model import MODEL_FILES


def a_model(text):
    files = {name: f"{name} {text}".encode() for name in MODEL_FILES}
    return digest_of_files(files), files


@pytest.fixture
def kept(tmp_path):
    return LocalPlantModels(tmp_path / "environments" / "models")


def test_a_plant_without_a_file_keeps_nothing(kept):
    assert kept.read("P1") == {}
    assert kept.listed("P1") == frozenset()


def test_models_come_back_by_their_digest(kept):
    models = dict([a_model("one"), a_model("two\nwith a line")])
    kept.write("P1", models)

    assert kept.read("P1") == models
    assert kept.listed("P1") == models.keys()
    assert kept.read("P2") == {}


def test_what_is_listed_is_told_by_the_first_line_alone(kept):
    digest, files = a_model("one")
    kept.write("P1", {digest: files})
    path = kept.folder / "P1.models"
    path.write_bytes(path.read_bytes().partition(b"\n")[0])

    assert kept.listed("P1") == {digest}
    assert kept.read("P1") == {}


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{", b"[]\n", b"null\n", b"\xff\n", b'{"format": 1}\n']
)
def test_a_file_of_another_kind_lists_and_gives_nothing(kept, content):
    kept.write("P1", {})
    (kept.folder / "P1.models").write_bytes(content)

    assert kept.listed("P1") == frozenset()
    assert kept.read("P1") == {}


def test_what_is_written_replaces_what_was_there(kept):
    kept.write("P1", dict([a_model("one"), a_model("two")]))
    kept.write("P1", dict([a_model("two")]))

    assert kept.read("P1").keys() == {a_model("two")[0]}


def test_a_model_under_another_models_digest_is_not_given(kept):
    kept.write("P1", {a_model("one")[0]: a_model("two")[1]})

    assert kept.read("P1") == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.integers(0, 600), bit=st.integers(0, 7), end=st.none() | st.integers(0, 600))
def test_no_flipped_bit_and_no_torn_file_gives_another_model(kept, at, bit, end):
    models = dict([a_model("one"), a_model("two")])
    kept.write("P1", models)
    path = kept.folder / "P1.models"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(bytes(data[:end]))

    assert kept.read("P1").items() <= models.items()
