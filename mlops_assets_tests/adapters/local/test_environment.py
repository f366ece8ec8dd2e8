"""The local environment registry against damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.environment import LocalEnvironmentRegistry
from mlops_assets.domain.errors import ModelError
from mlops_assets_tests.fakes.environment import environment


@given(data=st.data())
def test_any_flipped_bit_is_refused(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("home")
    registry = LocalEnvironmentRegistry(root)
    wanted = registry.register(environment())
    path = root / "forecasting" / "1.0.0.json"
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"environment forecasting:1\.0\.0: is "):
        registry.get(wanted.ref)


def test_a_version_under_another_name_is_refused(tmp_path):
    registry = LocalEnvironmentRegistry(tmp_path)
    wanted = registry.register(environment())
    folder = tmp_path / "forecasting"
    (folder / "1.0.0.json").rename(folder / "1.1.0.json")
    with pytest.raises(ModelError, match=r"1\.1\.0: holds forecasting:1\.0\.0"):
        registry.get(environment("forecasting:1.1.0").ref)
    assert registry.get(wanted.ref) is None


def test_files_that_are_no_version_are_no_version(tmp_path):
    registry = LocalEnvironmentRegistry(tmp_path)
    registry.register(environment())
    (tmp_path / "forecasting" / "latest.json").write_text("{}")
    assert [str(each.ref) for each in registry.list()] == ["forecasting:1.0.0"]
