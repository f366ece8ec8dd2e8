"""Jobs and results as bytes: a JSON header and plain arrays; reading them executes nothing.

Only the classes of `_CLASSES` travel. Numbers keep every digit.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.domain import circuit, contract, identifiers, source
from mlops_assets.domain.addition import Addition, SliceRecord, Then
from mlops_assets.domain.deployment import Deployment
from mlops_assets.domain.errors import DataError
from mlops_assets.domain.evaluation import Backtest, Metrics
from mlops_assets.domain.forecast import Issue, Issued
from mlops_assets.domain.manifest import Serving
from mlops_assets.domain.model import CandidateScore, FitJob, FitResult, ForecastValues
from mlops_assets.domain.readings import RawFile, Series
from mlops_assets.domain.slice import FileFact, Part, SliceOrder
from mlops_assets.domain.warm_start import Learned, WarmStart
from mlops_assets.ports import MergeResult
from mlops_assets.settings import azure

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
_CLASSES: Mapping[str, type[Any]] = {
    name: each
    for module in (azure, circuit, contract, identifiers, source)
    for name, each in vars(module).items()
    if isinstance(each, type) and is_dataclass(each)
} | {
    each.__name__: each
    for each in (
        *(Backtest, CandidateScore, Deployment, FileFact, FitJob, FitResult, ForecastValues),
        *(Issue, Issued, Learned, MergeResult, Metrics, Part, RawFile, Series, Serving, WarmStart),
        *(Addition, SliceOrder, SliceRecord, Then),
    )
}


def encode(value: object) -> bytes:
    """Return a value as bytes; TypeError for one that does not travel."""
    arrays: list[np.ndarray] = []
    header = json.dumps(_told(value, arrays)).encode()
    target = io.BytesIO()
    named: dict[str, Any] = {f"a{number}": array for number, array in enumerate(arrays)}
    np.savez(target, **named, header=np.frombuffer(header, np.uint8))
    return target.getvalue()


def decode(data: bytes) -> Any:  # noqa: ANN401 whatever was encoded
    """Return the value of `encode`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return _heard(json.loads(found["header"].tobytes()), found)


def encode_document(values: Mapping[str, object]) -> bytes:
    """Return named values as bytes that say their format."""
    return encode({"format": FORMAT, **values})


def decode_document(data: bytes, where: str, what: str) -> dict[str, Any]:
    """Return the values of `encode_document`.

    Raises:
        DataError: the bytes are something else; it names ``where`` and says ``what`` was wanted.
    """
    try:
        document: dict[str, Any] = dict(decode(data))
    except Exception as error:
        raise DataError(f"{where}: is not {what} ({type(error).__name__}: {error})") from error
    if document.pop("format", None) != FORMAT:
        raise DataError(f"{where}: is not {what} of format {FORMAT}; order it again")
    return document


def _told(value: Any, arrays: list[np.ndarray]) -> Any:  # noqa: ANN401, PLR0911
    match value:
        case None | bool() | str() | int() | float():
            return value
        case np.generic():
            return value.item()
        case np.ndarray() | bytes():
            arrays.append(np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value)
            return {"is": type(value).__name__, "at": len(arrays) - 1}
        case datetime() | date():
            return {"is": type(value).__name__, "at": value.isoformat()}
        case timedelta():
            return {"is": "timedelta", "at": value // timedelta(microseconds=1)}
        case tuple() | list():
            kind = "tuple" if isinstance(value, tuple) and not is_dataclass(value) else "list"
            return {"is": kind, "at": [_told(each, arrays) for each in value]}
        case dict():
            pairs = [[_told(k, arrays), _told(v, arrays)] for k, v in value.items()]
            return {"is": "dict", "at": pairs}
        case _ if _is_frame(value):
            stream = io.BytesIO()
            value.write_ipc_stream(stream)
            arrays.append(np.frombuffer(stream.getvalue(), np.uint8))
            return {"is": "DataFrame", "at": len(arrays) - 1}
        case _:
            return _told_object(value, arrays)


def _is_frame(value: object) -> bool:
    """Whether it is a frame of polars, which takes longer to load than most jobs to travel."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(value, polars.DataFrame)


def _told_object(value: Any, arrays: list[np.ndarray]) -> Any:  # noqa: ANN401
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        if hasattr(value, "items"):
            return _told(dict(value), arrays)
        raise TypeError(f"{name} does not travel")
    told = {each.name: _told(getattr(value, each.name), arrays) for each in fields(value)}
    return {"is": name, "at": told}


def _heard(told: Any, arrays: Any) -> Any:  # noqa: ANN401, PLR0911
    if not isinstance(told, dict):
        return told
    kind, at = told["is"], told["at"]
    match kind:
        case "ndarray":
            return arrays[f"a{at}"]
        case "bytes":
            return arrays[f"a{at}"].tobytes()
        case "DataFrame":
            import polars as pl

            return pl.read_ipc_stream(io.BytesIO(arrays[f"a{at}"].tobytes()))
        case "datetime":
            return datetime.fromisoformat(at)
        case "date":
            return date.fromisoformat(at)
        case "timedelta":
            return timedelta(microseconds=at)
        case "list":
            return [_heard(each, arrays) for each in at]
        case "tuple":
            return tuple(_heard(each, arrays) for each in at)
        case "dict":
            return {_heard(k, arrays): _heard(v, arrays) for k, v in at}
        case _:
            return _CLASSES[kind](**{name: _heard(each, arrays) for name, each in at.items()})
