"""A fitted model as bytes, exactly: structure as JSON, arrays as npz, and its golden forecast.

Nothing here can run what it reads. The class comes from a list, arrays are plain numbers checked
before they are read, stored without compression (so nothing can unfold), and every file has a size
limit. The same model always gives the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.domain.errors import ModelError
from mlops_assets.domain.model import MODEL_FILES, MODEL_FORMAT
from mlops_assets.forecasters.arima import Arima
from mlops_assets.forecasters.ces import Ces
from mlops_assets.forecasters.cold_start import ColdStart
from mlops_assets.forecasters.ets import Ets
from mlops_assets.forecasters.fitted import Fitted
from mlops_assets.forecasters.median import Median
from mlops_assets.forecasters.ridge import Ridge
from mlops_assets.forecasters.seasonal_naive import SeasonalNaive
from mlops_assets.forecasters.structured import Structured
from mlops_assets.forecasters.theta import Theta
from mlops_assets.forecasters.weighted import Weighted

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a model may consist of; raise MODEL_FORMAT with any change of their fields, save for new ones
# whose default is None: those are written only where they hold something.
_CLASSES: Mapping[str, type[Any]] = {
    "fitted": Fitted,
    "median": Median,
    "weighted": Weighted,
    "structured": Structured,
    "seasonal_naive": SeasonalNaive,
    "cold_start": ColdStart,
    "ridge": Ridge,
    "arima": Arima,
    "ets": Ets,
    "theta": Theta,
    "ces": Ces,
}
_NAMES = {kind: name for name, kind in _CLASSES.items()}
_ARRAY_NAME = re.compile(r"[a-z0-9_]{1,60}\.npy")
# An npy file of version 1.0 with one or two dimensions of little-endian doubles.
_HEADER_BYTES = 128
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00\x76\x00"
    rb"\{'descr': '<f8', 'fortran_order': False, 'shape': \((\d{1,9},|\d{1,9}, \d{1,9})\), \} *\n"
)
_MAXIMUM_ARRAYS = 64
_MAXIMUM_DEPTH = 12
MAXIMUM_BYTES: Mapping[str, int] = {
    "model.json": 256 * 1024,
    "arrays.npz": 8 * 1024 * 1024,
    "golden.json": 1024 * 1024,
}
# The oldest time a zip archive can name: archives hold no clock.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def dump(model: Fitted) -> dict[str, bytes]:
    """Return the model's files."""
    arrays: dict[str, np.ndarray] = {}
    document = {"format": MODEL_FORMAT, "model": _encode(model, arrays)}
    return {
        "model.json": _json(document),
        "arrays.npz": _write_arrays(arrays),
        "golden.json": _json({"format": MODEL_FORMAT, "forecast": model.golden_forecast()}),
    }


def load(files: Mapping[str, bytes]) -> Fitted:
    """Read a model back from its files.

    Raises:
        ModelError: a file is missing, surplus, too large or not what `dump` writes.
    """
    if set(files) != set(MODEL_FILES):
        found = ", ".join(sorted(files)) or "none"
        raise ModelError(f"a model is {', '.join(MODEL_FILES)}; found {found}: train it again")
    for name, limit in MAXIMUM_BYTES.items():
        if len(files[name]) > limit:
            raise ModelError(f"{name}: {len(files[name])} bytes, at most {limit} are read")
    document = _document(files["model.json"], "model.json")
    golden = _document(files["golden.json"], "golden.json")
    arrays = _read_arrays(files["arrays.npz"])
    used: set[str] = set()
    model = _decode(document.get("model"), arrays, used, 0)
    if not isinstance(model, Fitted) or used != set(arrays):
        raise ModelError("model.json: does not describe one whole model: train it again")
    model.check()
    return model.expecting(golden.get("forecast"))


def _json(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _document(data: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
        form = document["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{name}: is not a model's JSON document: train it again") from error
    if form != MODEL_FORMAT:
        raise ModelError(
            f"{name}: format {form!r:.40}, this mlops reads {MODEL_FORMAT}: train it again"
        )
    return dict(document)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401 any state
    """Turn state into JSON; arrays are set aside under numbered names."""
    match value:
        case bool() | None | str() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise ModelError(f"a fitted parameter is {value}: these readings fit no such model")
            return float(value)
        case np.ndarray():
            if not np.isfinite(value).all():
                raise ModelError("a fitted array is not finite: these readings fit no such model")
            name = f"a{len(arrays):02d}"
            arrays[name] = np.ascontiguousarray(value, dtype="<f8")
            return {"array": name}
        case tuple():
            return [_encode(item, arrays) for item in value]
        case _ if is_dataclass(value) and type(value) in _NAMES:
            parts = {
                item.name: _encode(getattr(value, item.name), arrays)
                for item in fields(value)
                if item.init and not (item.default is None and getattr(value, item.name) is None)
            }
            return {"class": _NAMES[type(value)], **parts}
        case _:
            raise ModelError(f"{type(value).__name__} is no part of a model")


def _decode(value: Any, arrays: Mapping[str, np.ndarray], used: set[str], depth: int) -> Any:  # noqa: ANN401
    if depth > _MAXIMUM_DEPTH:
        raise ModelError("model.json: is nested too deeply: train it again")
    match value:
        case bool() | None | str() | int() | float():
            return value
        case list():
            return tuple(_decode(item, arrays, used, depth + 1) for item in value)
        case {"array": str(name)} if len(value) == 1 and name in arrays:
            used.add(name)
            return arrays[name]
        case {"class": str(name)} if name in _CLASSES:
            parts = {key: part for key, part in value.items() if key != "class"}
            return _make(name, parts, arrays, used, depth)
        case _:
            raise ModelError("model.json: holds something that is no part of a model")


def _make(
    name: str,
    parts: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    used: set[str],
    depth: int,
) -> Any:  # noqa: ANN401 an instance of a class of the list
    kind = _CLASSES[name]
    wanted = {item.name: str(item.type) for item in fields(kind) if item.init}
    optional = {item.name for item in fields(kind) if item.default is None}
    if not set(wanted) - optional <= set(parts) <= set(wanted):
        raise ModelError(f"model.json: {name} has other fields than {', '.join(wanted)}")
    made = {key: _decode(part, arrays, used, depth + 1) for key, part in parts.items()}
    for key, part in made.items():
        if not _is_a(part, wanted[key]):
            raise ModelError(f"model.json: {name}.{key} is not {wanted[key]}")
    return kind(**made)


def _is_a(value: object, declared: str) -> bool:
    """Whether a decoded value fits a field as it is declared in the source."""
    singles = (Structured, SeasonalNaive, ColdStart, Ridge)
    kinds: dict[str, tuple[type, ...]] = {
        "bool": (bool,),
        "str": (str,),
        "np.ndarray": (np.ndarray,),
        "np.ndarray | None": (np.ndarray,),
        "Core": (Arima, Ets, Ces, Theta),
        "Method": (Median, Weighted, *singles),
    }
    items: dict[str, tuple[type, ...]] = {
        "tuple[int, ...]": (int,),
        "tuple[str, ...]": (str,),
        "tuple[Single, ...]": singles,
    }
    match declared:
        case "int":
            return type(value) is int
        case "float":
            return type(value) is float
        case "float | None":
            return value is None or type(value) is float
        case _ if declared in items:
            return isinstance(value, tuple) and all(type(item) in items[declared] for item in value)
        case _:
            return isinstance(value, kinds.get(declared, ()))


def _write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME), content.getvalue())
    return buffer.getvalue()


def _read_arrays(data: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                item.filename.removesuffix(".npy"): _read_array(archive, item)
                for item in _entries(archive)
            }
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise ModelError(f"arrays.npz: {error}: train it again") from error
    except (RuntimeError, SyntaxError, TypeError, KeyError, OverflowError) as error:
        raise ModelError("arrays.npz: is not an archive of arrays: train it again") from error


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    names = {item.filename for item in entries}
    if len(entries) > _MAXIMUM_ARRAYS or len(names) < len(entries):
        raise ValueError(f"holds {len(entries)} arrays, at most {_MAXIMUM_ARRAYS}, each once")
    if sum(item.file_size for item in entries) > MAXIMUM_BYTES["arrays.npz"]:
        raise ValueError("unfolds to more than a model may hold")
    for item in entries:
        if not _ARRAY_NAME.fullmatch(item.filename) or item.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"entry {item.filename[:60]!r} is not a plainly stored array")
    return entries


def _read_array(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> np.ndarray:
    """Read what `_write_arrays` wrote; numpy's own reader evaluates the header as Python text."""
    content = archive.read(item)
    header = _HEADER.fullmatch(content[:_HEADER_BYTES])
    if header is None:
        raise ValueError(f"{item.filename} does not begin as a plain array of numbers")
    shape = tuple(int(size) for size in header[1].split(b",") if size.strip())
    data = content[_HEADER_BYTES:]
    if math.prod(shape) * 8 != len(data):
        raise ValueError(f"{item.filename} is shorter or longer than its shape")
    array = np.frombuffer(data, dtype="<f8").reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{item.filename} holds what is not finite")
    return array
