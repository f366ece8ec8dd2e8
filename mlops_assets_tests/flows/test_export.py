"""Exporting a day."""

from __future__ import annotations

import polars as pl
import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.export import export
from mlops_assets_tests.fakes.serving import DAY, Production


@pytest.fixture
def production():
    production = Production()
    production.serve(CircuitKey("P1", "C1"), CircuitKey("P1", "C2"))
    production.predict()
    return production


def test_a_day_is_exported_as_csv_and_as_parquet(production, tmp_path):
    file, rows = export(production.lake, DAY, tmp_path / "out")
    assert rows == 48
    assert file == tmp_path / "out" / f"predictions-{DAY}.csv"
    assert len(pl.read_csv(file)) == 48
    assert pl.read_parquet(file.with_suffix(".parquet")).equals(production.rows())
    assert len(list(file.parent.iterdir())) == 2


def test_a_day_without_predictions_says_what_to_run(production, tmp_path):
    with pytest.raises(DataError, match="run `mlops predict --date 2000-01-01`"):
        export(production.lake, DAY.replace(year=2000, month=1, day=1), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(production, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file/out: cannot be written"):
        export(production.lake, DAY, tmp_path / "file" / "out")
