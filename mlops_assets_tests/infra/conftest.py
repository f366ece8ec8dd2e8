"""The templates, evaluated once a module."""

from __future__ import annotations

import pytest

from mlops_assets_tests.infra.published import templates


@pytest.fixture(scope="module")
def open_ones():
    return templates()


@pytest.fixture(scope="module", params=[False, True], ids=["public", "private"])
def every(request):
    return templates(private=request.param)
