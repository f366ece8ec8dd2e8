"""What prediction files must do: the fake, the local ones, and those in blobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.adapters.local.forecast import LocalPredictionFiles
from mlops_assets.adapters.tree.forecast import TreePredictionFiles
from mlops_assets_tests.contracts.test_predictions_table import C1, C2, DAY, rows
from mlops_assets_tests.fakes.forecast import FakePredictionFiles


@pytest.fixture(params=["fake", "local", pytest.param("azure", marks=pytest.mark.azure)])
def files(request, tmp_path):
    if request.param == "azure":
        server = request.getfixturevalue("azurite")
        return TreePredictionFiles(server.tree("workspaces/prod/predictions"))
    if request.param == "fake":
        return FakePredictionFiles()
    return LocalPredictionFiles(tmp_path / "workspaces" / "prod" / "predictions", tmp_path)


def test_a_file_is_one_circuits_and_one_days(files):
    assert not files.exists(C1, DAY)
    assert files.write(C1, DAY, rows(C1)).endswith(f"predictions/P1/C1/{DAY}.parquet")
    assert files.exists(C1, DAY)
    assert not files.exists(C2, DAY)
    assert not files.exists(C1, DAY + timedelta(days=1))


def test_a_file_may_be_written_again_with_the_same_rows_and_with_others(files):
    first = files.write(C1, DAY, rows(C1))
    assert files.write(C1, DAY, rows(C1)) == first
    assert files.write(C1, DAY, rows(C1, level=2.0)) == first
    assert files.exists(C1, DAY)
