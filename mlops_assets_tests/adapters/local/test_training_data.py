"""MLTable folders: what lies in them, and what becomes of broken ones."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.training_data import LocalTrainingDataStore
from mlops_assets.domain.errors import DataError
from mlops_assets_tests import mltable_reader
from mlops_assets_tests.contracts.test_training_data import KEY, some


@pytest.fixture
def stored(tmp_path):
    store = LocalTrainingDataStore(tmp_path / "workspaces" / "dev" / "data")
    data = store.register(*some())
    return store, data, tmp_path / data.path


def test_the_folder_is_an_mltable_of_its_own_rows_with_text_that_every_reader_knows(stored):
    _, data, folder = stored
    assert data.path == "workspaces/dev/data/P1/C1/2024-06-21"
    assert sorted(path.name for path in folder.iterdir()) == [
        "MLTable",
        "asset.json",
        "part-0.parquet",
    ]
    document = yaml.safe_load((folder / "MLTable").read_text())
    assert document["type"] == "mltable"
    assert document["paths"] == [{"file": "./part-0.parquet"}]
    assert document["metadata"] == {
        "circuit": "P1/C1",
        "cutoff_date": "2024-06-21",
        "timezone": "UTC",
        "delta_version": 3,
        "rows": 2,
        "content_digest": data.content_digest,
    }
    schema = pq.read_schema(folder / "part-0.parquet")
    assert [schema.field(name).type for name in ("plant_id", "circuit_id")] == [
        pa.large_utf8(),
        pa.large_utf8(),
    ]
    assert b"view" not in (schema.metadata or {}).get(b"ARROW:schema", b"")


def test_the_same_content_makes_the_same_bytes(tmp_path):
    contents = []
    for name in ("one", "two"):
        home = tmp_path / name
        data = LocalTrainingDataStore(home / "workspaces" / "dev" / "data").register(*some())
        contents.append({p.name: p.read_bytes() for p in (home / data.path).iterdir()})
    assert contents[0] == contents[1]


def test_a_missing_part_is_named(stored):
    store, data, folder = stored
    (folder / "part-0.parquet").unlink()
    with pytest.raises(DataError, match=r"part-0\.parquet: is missing; restore"):
        store.rows(data)


@given(st.integers(0, 100_000), st.integers(0, 7))
def test_a_flipped_bit_never_changes_the_rows(tmp_path_factory, place, bit):
    root = tmp_path_factory.mktemp("home")
    store = LocalTrainingDataStore(root / "workspaces" / "dev" / "data")
    data = store.register(*some())
    part = root / data.path / "part-0.parquet"
    content = bytearray(part.read_bytes())
    content[place % len(content)] ^= 1 << bit
    part.write_bytes(content)
    try:
        rows = store.rows(data)
    except DataError as error:
        said = str(error)
    else:
        said = "the same" if rows.equals(some()[1]) else "other\nrows"
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff"])
def test_a_broken_description_is_named(stored, content):
    store, data, folder = stored
    (folder / "asset.json").write_bytes(content)
    with pytest.raises(DataError, match=r"asset\.json: describes no training data"):
        store.get(KEY, data.version)


def test_a_newer_format_is_named(stored):
    store, data, folder = stored
    (folder / "asset.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match="has format 2, this version reads 1"):
        store.get(KEY, data.version)


@pytest.mark.slow
def test_the_mltable_reader_loads_the_folder(stored):
    interpreter = os.environ.get("MLTABLE_PYTHON")
    if interpreter is None:
        pytest.skip("MLTABLE_PYTHON names no Python with the mltable package; see `make mltable`")
    _, data, folder = stored
    script = Path(mltable_reader.__file__)
    done = subprocess.run([interpreter, script, folder], check=True, capture_output=True, text=True)
    [table] = json.loads(done.stdout)
    assert table["rows"] == data.rows
    assert table["columns"] == list(data.columns)
    assert table["first"]["timestamp"] == "2024-06-01T00:00:00+00:00"
    assert table["first"]["value"] == 1.0
