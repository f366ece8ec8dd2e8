"""The scoring notebook: how one model version does, as a program that anybody can run again.

It is one template for every circuit. Parameters replace the assignments of the cell tagged
``parameters`` and the ``{{NAME}}`` of its texts; everything else is read from the home by name and
version, so running it by hand ends in the same figures.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mlops_assets.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARAMETERS: Mapping[str, str] = {
    "CIRCUIT": "plant and circuit",
    "MODEL_VERSION": "integer version in the dev registry",
    "MODEL_DIGEST": "SHA-256 that the registered model must have",
    "DATA_VERSION": "training data of that model",
    "DATA_DIGEST": "SHA-256 that its rows must have",
    "DELTA_VERSION": "Delta version of the readings that are newest here",
    "END": "the newest readings end before this moment",
    "STEP_MINUTES": "minutes between two readings",
    "HORIZON_STEPS": "steps that are forecast",
    "FEATURES": "feature columns of the readings",
    "UNIT": "unit of the readings",
    "MINIMUM": "lowest believable reading, or None",
    "MAXIMUM": "highest believable reading, or None",
    "RANGE_TOLERANCE": "how far outside the range seen a forecast may be, in widths of that range",
    "MINIMUM_SKILL": "skill over the seasonal-naive floor that the policy asks for",
}

_TITLE = """\
# Scoring {{CIRCUIT}}, model version {{MODEL_VERSION}}

This notebook was run by the platform; its outputs are evidence for the release of this model.

**To open and run it by hand:** work on a copy, because a saved change to the original is found and
refused.

1. Copy `HOME/workspaces/dev/evidence/{{CIRCUIT}}/v{{MODEL_VERSION}}/scoring_notebook.ipynb`
   to `copy.ipynb`
2. `MLOPS_HOME=HOME jupyter lab copy.ipynb`, in a Python where `mlops-assets` is installed
   (`pip install jupyterlab` if Jupyter is not), then *Run > Run All Cells*. Without a browser:
   `MLOPS_HOME=HOME jupyter execute --inplace copy.ipynb`

`HOME` is the folder that holds `home.json`; where the copy lies inside it, it need not be named.
The model is loaded from the dev registry by name and version, the readings by Delta version, so the
figures are the same whenever it runs."""

_OPEN = """\
import os
from datetime import datetime, timedelta
from pathlib import Path

from IPython.display import HTML, SVG, display

from mlops_assets.domain import scoring
from mlops_assets.domain.evidence import proof_of
from mlops_assets.domain.identifiers import CircuitKey, DataVersion
from mlops_assets.domain.readings import to_series
from mlops_assets.forecasters import seasonal_naive
from mlops_assets.forecasters.serialization import load
from mlops_assets.resources import open_platform
from mlops_assets.settings import Settings

here = Path.cwd()
above = next((path for path in (here, *here.parents) if (path / "home.json").is_file()), None)
home = Path(os.environ["MLOPS_HOME"]) if "MLOPS_HOME" in os.environ else above
config = Path(os.environ["MLOPS_CONFIG"]) if "MLOPS_CONFIG" in os.environ else None
platform = open_platform(Settings.find(home, config, os.environ, here))
circuit = CircuitKey.parse(CIRCUIT)
step, end = timedelta(minutes=STEP_MINUTES), datetime.fromisoformat(END)
record = platform.dev.models.get(circuit, MODEL_VERSION)
display(HTML(scoring.record_table(record)))"""

_DATA_TEXT = """\
## 1. Data
Exactly the rows that the model learned from, checked against their digest."""

_DATA = """\
data = platform.dev.training_data.get(circuit, DataVersion.parse(DATA_VERSION))
rows = platform.dev.training_data.rows(data)
history = to_series(rows, step=step, start=None, end=None, features=FEATURES)
display(HTML(scoring.data_table(data, history)))
SVG(scoring.data_chart(circuit, history, UNIT))"""

_BACKTEST_TEXT = """\
## 2. Backtest against the floor
The model, the seasonal-naive floor and the incumbent (the model that is live now, if there is one)
forecast from the same origins, none of which lets a forecaster see what follows."""

_BACKTEST = """\
proof = proof_of(record, platform.dev.models.proof(record))
display(HTML(scoring.metrics_table(proof)))
display(HTML(scoring.candidates_table(proof)))
backtest = scoring.backtest_chart(circuit, proof, step, UNIT)
SVG(backtest) if backtest else HTML("no day could be scored")"""

_SCORE_TEXT = """\
## 3. Scoring on the newest readings in dev
The registered model, applied without fitting again: once to forecast the newest hours, which are
known, and once to forecast what follows them."""

_SCORE = """\
model = load(platform.dev.models.files(record))
span = step * (model.context_steps + 2 * HORIZON_STEPS)
newest = to_series(
    platform.lake.readings.read(
        start=end - span, end=end, circuits=[circuit], version=DELTA_VERSION
    ),
    step=step, start=None, end=end, features=FEATURES,
)
known, actual = scoring.held_out(newest, HORIZON_STEPS)
forecast = model.apply(known, HORIZON_STEPS)
floor = seasonal_naive.forecast(known, HORIZON_STEPS, 24)
ahead = model.apply(newest, HORIZON_STEPS)
display(HTML(scoring.score_table(forecast, floor, actual, data)))
display(SVG(scoring.score_chart(circuit, known, forecast, floor, actual, unit=UNIT)))
SVG(scoring.ahead_chart(circuit, newest, ahead, UNIT))"""

_ASSERT_TEXT = """\
## 4. Assertions
One that fails stops this notebook, and then there is no evidence for this model."""

_ASSERT = """\
checks = [
    *scoring.check_forecast("newest hours", forecast, HORIZON_STEPS),
    *scoring.check_forecast("ahead", ahead, HORIZON_STEPS),
    scoring.check_range([forecast, ahead], history, MINIMUM, MAXIMUM, RANGE_TOLERANCE),
    scoring.check_golden(model),
    scoring.check_skill(proof, MINIMUM_SKILL),
    scoring.check_digest("model", MODEL_DIGEST, record.digest),
    scoring.check_digest("training data", DATA_DIGEST, data.content_digest),
    scoring.check_digest("training data of the model", DATA_DIGEST, record.data_digest),
]
display(HTML(scoring.checks_table(checks)))
scoring.insist(checks)"""

_PARAMETERS_TAG = "parameters"
_PLACE = re.compile(r"\{\{([A-Z_]+)\}\}")


def template() -> bytes:
    """Return the notebook before its parameters are known."""
    assignments = "\n".join(f"{name} = None  # {text}" for name, text in PARAMETERS.items())
    cells = [
        _markdown(_TITLE),
        _code(assignments, tags=[_PARAMETERS_TAG]),
        _code(_OPEN),
        _markdown(_DATA_TEXT),
        _code(_DATA),
        _markdown(_BACKTEST_TEXT),
        _code(_BACKTEST),
        _markdown(_SCORE_TEXT),
        _code(_SCORE),
        _markdown(_ASSERT_TEXT),
        _code(_ASSERT),
    ]
    document = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            "title": "{{CIRCUIT}}, model version {{MODEL_VERSION}}",
        },
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)],
    }
    return _text(document)


def filled(notebook: bytes, parameters: Mapping[str, Any]) -> bytes:
    """Return a notebook with its parameters in place; a notebook without any stays as it is.

    Raises:
        DataError: the bytes are no notebook, or a parameter is not one of the notebook's.
    """
    try:
        document = json.loads(notebook)
        cells = document["cells"]
        document["metadata"] = _replaced(document["metadata"], parameters)
        unused = set(parameters)
        for cell in cells:
            if _PARAMETERS_TAG in cell["metadata"].get("tags", ()):
                cell["source"] = _assigned(_source(cell), parameters, unused)
            elif cell["cell_type"] == "markdown":
                cell["source"] = _replaced(_source(cell), parameters)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("the notebook is not a Jupyter notebook of format 4") from error
    if unused:
        raise DataError(f"the notebook has no parameter {', '.join(sorted(unused))}")
    return _text(document)


def _assigned(source: str, parameters: Mapping[str, Any], unused: set[str]) -> str:
    lines = []
    for line in source.splitlines():
        name = line.partition(" ")[0]
        _, _, comment = line.partition("  # ")
        if name in parameters:
            unused.discard(name)
            lines.append(f"{name} = {parameters[name]!r}" + (f"  # {comment}" if comment else ""))
        else:
            lines.append(line)
    return "\n".join(lines)


def _replaced(value: Any, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 JSON
    match value:
        case str():
            return _PLACE.sub(lambda place: str(parameters.get(place[1], place[0])), value)
        case dict():
            return {name: _replaced(item, parameters) for name, item in value.items()}
        case _:
            return value


def _source(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str, tags: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source,
    }


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
