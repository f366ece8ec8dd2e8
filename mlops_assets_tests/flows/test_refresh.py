"""Refreshing changes one date in each spec, on a branch, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from mlops_assets.catalog import load
from mlops_assets.domain.errors import DataError, UsageError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.refresh import refresh, with_cutoff
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.catalog.files import FILES, SPEC, spec
from mlops_assets_tests.fakes.config import FakeConfigRepository

NOW = datetime(2026, 7, 10, tzinfo=UTC)
KEYS = (CircuitKey("P001", "C001"), CircuitKey("P001", "C002"))


@pytest.fixture
def repository():
    made = FakeConfigRepository()
    text = "# Ours\nformat: 1\ncutoff_date:   2026-06-23  # spring\nunit: MW\n"
    files = {name: data.encode() for name, data in {**FILES, SPEC: text}.items()}
    made.commit(files, message="Begin", author="e@x.example", branch=None)
    return made


def run(repository, cutoff, circuits=KEYS):
    platform = SimpleNamespace(kind="init", lake=None, config=repository)
    head = repository.head()
    config = load(repository.files(head), commit=head, algorithms=ALGORITHMS)
    return refresh(platform, config, circuits, cutoff=cutoff, now=NOW)


def test_only_the_date_changes_and_only_on_the_branch(repository):
    head = repository.head()
    branch, commit = run(repository, date(2026, 7, 1))
    assert branch == "refresh-2026-07-01"
    assert repository.head() == head
    assert repository.changed(head, commit) == [SPEC, "plants/P001/C002.yml"]
    assert repository.files(commit)[SPEC] == (
        b"# Ours\nformat: 1\ncutoff_date:   2026-07-01  # spring\nunit: MW\n"
    )


def test_one_circuit_alone_can_be_refreshed(repository):
    head = repository.head()
    _, commit = run(repository, date(2026, 7, 1), KEYS[:1])
    assert repository.changed(head, commit) == [SPEC]


def test_the_same_again_is_the_same_commit(repository):
    assert run(repository, date(2026, 7, 1)) == run(repository, date(2026, 7, 1))


def test_specs_that_have_the_date_already_need_no_branch(repository):
    assert run(repository, date(2026, 6, 23)) == ("main", repository.head())
    assert list(repository.branches) == ["main"]


def test_a_day_that_is_not_over_is_refused(repository):
    with pytest.raises(DataError, match="--cutoff: 2026-07-10 is not over in UTC"):
        run(repository, date(2026, 7, 10))


def test_an_unknown_circuit_is_refused(repository):
    with pytest.raises(UsageError, match="--circuit P9/C9: no such circuit in the config"):
        run(repository, date(2026, 7, 1), [CircuitKey("P9", "C9")])


def test_a_date_that_is_not_in_its_own_line_is_refused_by_name(repository):
    repository.commit(
        {SPEC: b"{format: 1, cutoff_date: 2026-06-23}\n"},
        message="Flow",
        author="e@x.example",
        branch=None,
    )
    with pytest.raises(DataError, match=r"C001\.yml: cutoff_date is not in a line of its own"):
        run(repository, date(2026, 7, 1))


def test_a_date_elsewhere_in_the_file_is_left_alone():
    text = spec('unit: "cutoff_date: 2020-01-01"').encode()
    assert with_cutoff(text, date(2026, 7, 1)) == text.replace(b"2026-06-23", b"2026-07-01")
