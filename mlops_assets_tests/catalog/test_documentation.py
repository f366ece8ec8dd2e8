"""The page about config is the one that the code gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mlops_assets.catalog import documentation
from mlops_assets.domain.circuit import Spec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "config.md"


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == documentation()


def test_every_field_of_a_spec_has_a_meaning():
    for field in dataclasses.fields(Spec):
        assert field.metadata["doc"]
        assert f"`{field.name}" in documentation()
