"""Names, versions and digests."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.identifiers import (
    CircuitKey,
    DataVersion,
    EnvironmentRef,
    IdentifierError,
    SemVer,
    canonical_json,
    checked_commit,
    checked_model_version,
    checked_release,
    decimal_text,
    digest_of,
    digest_of_files,
)

IDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(IDS, IDS)
def test_a_circuit_key_reads_back_as_written(plant, circuit):
    key = CircuitKey(plant, circuit)
    assert CircuitKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "P001",
        "P001/",
        "/C1",
        "P001/C1/x",
        "../C1",
        "P 1/C1",
        "P1/C\n1",
        "-P/C",
        "é/C",
        "P" * 33 + "/C",
    ],
)
def test_a_name_outside_the_form_is_refused(text):
    with pytest.raises(IdentifierError, match=r"is not a"):
        CircuitKey.parse(text)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_a_semantic_version_reads_back_and_orders_by_number(major, minor, patch):
    version = SemVer(major, minor, patch)
    assert SemVer.parse(str(version)) == version
    assert SemVer(major, minor, patch + 1) > version
    assert EnvironmentRef.parse(f"forecasting:{version}").version == version


@pytest.mark.parametrize("text", ["v1.0.0", "1.0", "1.0.0-rc1", "01.0.0", "", "1.0.0 "])
def test_other_environment_versions_are_refused(text):
    with pytest.raises(IdentifierError):
        SemVer.parse(text)


@pytest.mark.parametrize(
    "text", ["forecasting", "Forecasting:1.0.0", "forecasting:latest", ":1.0.0"]
)
def test_other_environment_references_are_refused(text):
    with pytest.raises(IdentifierError):
        EnvironmentRef.parse(text)


@given(st.dates(), st.integers(0, 999))
def test_a_data_version_reads_back_and_its_revisions_sort_after_it(day, revision):
    version = DataVersion(day, revision)
    assert DataVersion.parse(str(version)) == version
    assert DataVersion(day, revision + 1) > version


@pytest.mark.parametrize("text", ["2025-13-01", "2025-12-09.r0", "2025-12-09.1", "1", "2025-1-9"])
def test_other_data_versions_are_refused(text):
    with pytest.raises(IdentifierError):
        DataVersion.parse(text)


def test_the_first_registration_of_a_date_has_no_suffix():
    assert str(DataVersion(date(2025, 12, 9))) == "2025-12-09"
    assert str(DataVersion(date(2025, 12, 9), 2)) == "2025-12-09.r2"


@pytest.mark.parametrize("version", ["1.0.0", "v1", "1", 1.0, True, 0, -1, None])
def test_a_model_version_is_an_integer_from_one(version):
    with pytest.raises(IdentifierError, match="an integer from 1"):
        checked_model_version(version)


def test_model_version_ten_comes_after_nine():
    assert max(checked_model_version(9), checked_model_version(10)) == 10


@pytest.mark.parametrize("text", ["a1b2c3d4", "main", "g" * 40, "A" * 40])
def test_a_config_commit_is_whole(text):
    with pytest.raises(IdentifierError, match="full git commit"):
        checked_commit(text)


def test_a_whole_commit_and_a_release_id_pass():
    assert checked_commit("a" * 40) == "a" * 40
    assert checked_release("r-0123456789ab") == "r-0123456789ab"
    with pytest.raises(IdentifierError, match="release id"):
        checked_release("r-0123")


@given(st.dictionaries(st.text(), JSON))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value):
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)
    assert digest_of(value) == digest_of(backwards)


@pytest.mark.parametrize("value", [1.5, {"a": [0.0]}, 2**53, {1: "a"}, {"a": b"x"}, {"a": {1, 2}}])
def test_what_readers_disagree_about_has_no_canonical_json(value):
    with pytest.raises(IdentifierError):
        canonical_json(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_as_text_is_the_same_float(number):
    assert float(decimal_text(number)) == number


@given(st.dictionaries(st.text(min_size=1), st.binary(), min_size=1))
def test_one_changed_byte_changes_the_digest_of_a_set_of_files(files):
    name = next(iter(files))
    assert digest_of_files(files) != digest_of_files({**files, name: files[name] + b"\0"})
