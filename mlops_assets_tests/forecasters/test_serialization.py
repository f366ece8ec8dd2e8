"""A model's bytes: exact both ways, and nothing but a model can be read."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.errors import MlopsError, ModelError
from mlops_assets.forecasters import training
from mlops_assets.forecasters.serialization import MAXIMUM_BYTES, dump, load
from mlops_assets_tests.forecasters.series import featured, job_of, load_values, series_of

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def files():
    members = {"members": "seasonal_naive, mstl_ets, mstl_arima:daily:log, auto_ces, auto_theta"}
    job = job_of(series_of(load_values(50)), forecaster="median", hyperparameters=members)
    return dict(training.fit(job).files)


@pytest.fixture(scope="module")
def ridge_files():
    values = load_values(50)
    series = featured(series_of(values), heat=values[::-1].copy())
    spec = {"forecaster": "ridge", "features": ("heat", "hour_of_day")}
    return dict(training.fit(job_of(series, **spec)).files)


def archive(entries, *, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name, content in entries:
            made.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def npy(array, *, allow_pickle=False):
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array), (1, 0), allow_pickle=allow_pickle)
    return content.getvalue()


def refused(files):
    with pytest.raises(ModelError) as caught:
        load(files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_model(files, change):
    document = json.loads(files["model.json"])
    change(document["model"])
    return files | {"model.json": json.dumps(document).encode()}


def test_reading_and_writing_again_gives_the_same_bytes(files):
    assert dump(load(files)) == files


def test_the_golden_forecast_is_reproduced_and_a_changed_parameter_is_seen(files):
    assert load(files).reproduces_golden()

    def nudge(model):
        arima = model["method"]["members"][2]["core"]
        arima["mean"] += 0.01

    assert not load(with_model(files, nudge)).reproduces_golden()


def test_a_golden_forecast_of_another_machine_is_a_mismatch_not_an_error(files):
    golden = json.loads(files["golden.json"])
    golden["forecast"]["value"][0] = (1.5).hex()
    model = load(files | {"golden.json": json.dumps(golden).encode()})
    assert not model.reproduces_golden()


def test_missing_and_surplus_files_are_named(files):
    assert "found golden.json, model.json" in refused(
        {name: data for name, data in files.items() if name != "arrays.npz"}
    )
    assert "setup.py" in refused(files | {"setup.py": b"print()"})


@pytest.mark.parametrize("name", MAXIMUM_BYTES)
def test_a_file_that_is_too_large_is_not_opened(files, name):
    assert f"{name}: " in refused(files | {name: b" " * (MAXIMUM_BYTES[name] + 1)})


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"format":NaN}', b"[" * 100_000, b'{"format":true}'],
)
@pytest.mark.parametrize("name", ["model.json", "golden.json"])
def test_json_that_is_no_document_is_refused(files, name, text):
    assert name in refused(files | {name: text})


def test_another_format_is_named(files):
    text = files["model.json"].replace(b'"format":1', b'"format":2')
    assert refused(files | {"model.json": text}) == (
        "model.json: format 2, this mlops reads 1: train it again"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.update({"class": "os.system"}),
        lambda model: model.update({"class": "ets"}),
        lambda model: model.update(extra=1),
        lambda model: model.pop("step_seconds"),
        lambda model: model.update(step_seconds="3600"),
        lambda model: model.update(step_seconds=True),
        lambda model: model.update(step_seconds=0),
        lambda model: model.update(step_seconds=7),
        lambda model: model.update(trained_until=10**40),
        lambda model: model.update(approximate=1),
        lambda model: model.update(method=None),
        lambda model: model.update(method={"class": "seasonal_naive", "season": -1}),
        lambda model: model.update(method={"class": "cold_start", "day": 10**9}),
        lambda model: model.update(context={"array": "a99"}),
        lambda model: model.update(context={"array": ["a00"]}),
        lambda model: model.update(context=model["width_80"]),
        lambda model: model["method"].update(members=[]),
        lambda model: model["method"]["members"].append(deepcopy(model["method"])),
        lambda model: model["method"]["members"][1].update(periods=[0]),
        lambda model: model["method"]["members"][1].update(floor=-1.0),
        lambda model: model["method"]["members"][2]["core"].update(differences=7),
    ],
)
def test_a_structure_that_no_fit_gives_is_refused(files, change):
    refused(with_model(files, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.pop("context_features"),
        lambda model: model.update(context_features=model["context"]),
        lambda model: model["method"].update(features=["heat"]),
        lambda model: model["method"].update(features=["heat", "heat", "hour_of_day"]),
        lambda model: model["method"].update(features=["heat", 7]),
        lambda model: model["method"].update(features="heat"),
        lambda model: model["method"].update(features=["hour_of_day"]),
        lambda model: model["method"].update(timezone="../etc/passwd"),
        lambda model: model["method"].update(timezone="Mars/Olympus"),
        lambda model: model["method"].update(horizon=0),
        lambda model: model["method"].update(horizon=10**9),
        lambda model: model["method"].update(day=0),
        lambda model: model["method"].update(leads=[]),
        lambda model: model["method"]["leads"].reverse(),
        lambda model: model["method"]["leads"].append(10**8),
        lambda model: model["method"].update(coefficients=model["context"]),
    ],
)
def test_a_regression_that_no_fit_gives_is_refused(ridge_files, change):
    load(ridge_files)
    refused(with_model(ridge_files, change))


def test_a_model_without_features_has_no_word_about_them(files):
    assert "context_features" not in json.loads(files["model.json"])["model"]
    refused(with_model(files, lambda model: model.update(context_features=None)))
    refused(with_model(files, lambda model: model.update(context_features=model["context"])))


def test_deep_nesting_is_refused(files):
    nested = {"class": "median", "members": []}
    for _ in range(50):
        nested = {"class": "median", "members": [nested]}
    refused(with_model(files, lambda model: model.update(method=nested)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        archive([("a00.npy", npy(np.array([object()]), allow_pickle=True))]),
        archive([("a00.npy", npy(np.array(["text"])))]),
        archive([("a00.npy", npy(np.zeros(3, dtype="<f4")))]),
        archive([("a00.npy", npy(np.zeros(3, dtype=complex)))]),
        archive([("a00.npy", npy(np.zeros((2, 2, 2))))]),
        archive([("a00.npy", npy([np.nan]))]),
        archive([("a00.npy", npy([1.0])[:-1])]),
        archive([("a00.npy", npy([1.0]) + b"more")]),
        archive([("a00.npy", b"\x93NUMPY\x03\x00")]),
        archive([("a00.npy", b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': open(1)"[:16])]),
        archive([("a00.npy", pickle.dumps([1.0]))]),
        archive([("../a00.npy", npy([1.0]))]),
        archive([("a00.pkl", pickle.dumps([1.0]))]),
        archive([(f"a{number:02d}.npy", npy([1.0])) for number in range(65)]),
        archive([("a00.npy", npy(np.zeros(10**6)))], compression=zipfile.ZIP_DEFLATED),
        archive([("a00.npy", npy(np.zeros(10)))], compression=zipfile.ZIP_BZIP2),
    ],
)
def test_an_archive_that_is_more_than_plain_arrays_is_refused(files, data):
    assert refused(files | {"arrays.npz": data}).startswith("arrays.npz: ")


def test_an_archive_that_lies_about_its_sizes_is_refused(files):
    data = bytearray(archive([("a00.npy", npy(np.zeros(100)))]))
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 2**31 - 1)
    assert "unfolds to more" in refused(files | {"arrays.npz": bytes(data)})


def test_surplus_arrays_are_refused(files):
    with zipfile.ZipFile(io.BytesIO(files["arrays.npz"])) as made:
        entries = [(item.filename, made.read(item)) for item in made.infolist()]
    assert "one whole model" in refused(
        files | {"arrays.npz": archive([*entries, ("zz.npy", npy([1.0]))])}
    )


@given(
    st.sampled_from(sorted(MAXIMUM_BYTES)),
    st.integers(0, 2**32),
    st.integers(1, 4),
)
def test_any_damage_is_a_clear_refusal_or_a_model_that_still_forecasts(files, name, seed, count):
    """Digests catch damage first; what slips past them must still not break the batch."""
    damaged(files, name, seed, count, series_of(load_values(50)))


@given(
    st.sampled_from(sorted(MAXIMUM_BYTES)),
    st.integers(0, 2**32),
    st.integers(1, 4),
)
def test_any_damage_to_a_regression_is_no_worse(ridge_files, name, seed, count):
    series = featured(series_of(load_values(50)), heat=load_values(50))
    damaged(ridge_files, name, seed, count, series)


def damaged(files, name, seed, count, series):
    rng = random.Random(seed)
    data = bytearray(files[name])
    for _ in range(count):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    said = ""
    try:
        model = load(files | {name: bytes(data)})
        model.reproduces_golden()
        model.apply(series, 24)
    except MlopsError as error:
        said = str(error)
    assert "\n" not in said
