"""The notebook's template: a valid notebook that says how to open it and names no machine."""

from __future__ import annotations

import ast
import json

import nbformat
import pytest

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.scoring_notebook import PARAMETERS, filled, template

VALUES = dict.fromkeys(PARAMETERS) | {"CIRCUIT": "P001/C001", "MODEL_VERSION": 7}


def test_the_template_is_a_valid_notebook():
    nbformat.validate(nbformat.from_dict(json.loads(template())))
    nbformat.validate(nbformat.from_dict(json.loads(filled(template(), VALUES))))


def test_every_code_cell_is_python():
    for cell in json.loads(filled(template(), VALUES))["cells"]:
        if cell["cell_type"] == "code":
            ast.parse(cell["source"])


def test_the_first_cell_says_how_to_open_it():
    first = json.loads(filled(template(), VALUES))["cells"][0]["source"]
    assert "MLOPS_HOME=HOME jupyter lab" in first
    assert "workspaces/dev/evidence/P001/C001/v7/scoring_notebook.ipynb" in first
    assert "{{" not in first


def test_it_has_a_section_for_each_thing_to_prove():
    text = template().decode()
    for title in ("## 1. Data", "## 2. Backtest", "## 3. Scoring on the newest", "## 4. Assert"):
        assert title in text


def test_no_path_of_a_machine_is_in_it():
    assert '"/' not in template().decode()


def test_every_parameter_is_assigned_and_explained():
    cell = json.loads(filled(template(), VALUES))["cells"][1]["source"]
    names = [line.split(" ")[0] for line in cell.splitlines()]
    assert names == list(PARAMETERS)
    assert all("  # " in line for line in cell.splitlines())


def test_every_parameter_is_used_by_the_notebook():
    document = json.loads(template())
    code = "\n".join(
        cell["source"] for cell in document["cells"][2:] if cell["cell_type"] == "code"
    )
    assert [name for name in PARAMETERS if name not in code] == []


def test_values_become_literals_whatever_they_hold():
    value = '"; import os # \n'
    cell = json.loads(filled(template(), {"UNIT": value}))["cells"][1]["source"]
    line = next(line for line in cell.splitlines() if line.startswith("UNIT"))
    statement = ast.parse(line).body[0]
    assert isinstance(statement, ast.Assign)
    assert ast.literal_eval(statement.value) == value


def test_an_unknown_parameter_is_refused():
    with pytest.raises(DataError, match="no parameter NOPE"):
        filled(template(), {"NOPE": 1})


@pytest.mark.parametrize("data", [b"", b"[]", b'{"cells":3,"metadata":{}}', b'{"cells":[{}]}'])
def test_what_is_no_notebook_is_refused(data):
    with pytest.raises(DataError, match="not a Jupyter notebook"):
        filled(data, {})


def test_filling_twice_changes_nothing():
    once = filled(template(), VALUES)
    assert filled(once, VALUES) == once
