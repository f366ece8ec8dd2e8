"""A fit's parameters and figures in the MLflow run that Azure ML opened for its job.

The job's experiment is the circuit's, so people compare one circuit's trainings with each other.
What is evidence travels in the outcome: these are for looking at.

Azure ML's server speaks MLflow's own REST under https, with a bearer token; its ``azureml://`` is
the name of a plugin, which pins other versions of what we need and is not installed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from mlops_assets.domain.model import FitJob, FitResult

URI, TOKEN = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"
_PLUGIN = "azureml://"
_SCOPE = "https://ml.azure.com/.default"


def tracked(job: FitJob, result: FitResult, environ: MutableMapping[str, str]) -> bool:
    """Log everything that config asked for and the backtest found; False where nobody tracks.

    ``environ`` is that of the job: Azure ML names the server and the run in it, and MLflow reads
    both there itself.
    """
    if not environ.get(URI):
        return False
    name_server(environ)
    import mlflow

    title = f"{job.circuit.circuit_id} {job.spec.cutoff_date}"
    # The run is Azure ML's own where MLFLOW_RUN_ID names one.
    with mlflow.start_run(run_name=None if environ.get("MLFLOW_RUN_ID") else title):
        mlflow.log_params(parameters(job, result))
        mlflow.log_metrics(figures(result))
        mlflow.set_tags({"plant": job.circuit.plant_id, "circuit": job.circuit.circuit_id})
    return True


def name_server(environ: MutableMapping[str, str]) -> None:
    """Name Azure ML's server as what it is, and who asks where the job was not given a token."""
    if environ[URI].startswith(_PLUGIN):
        environ[URI] = f"https://{environ[URI].removeprefix(_PLUGIN)}"
        if not environ.get(TOKEN):
            environ[TOKEN] = _token()


def parameters(job: FitJob, result: FitResult) -> dict[str, str]:
    """Every field of the spec, flat, and what was chosen; all text."""
    asked = _flat({each.name: getattr(job.spec, each.name) for each in fields(job.spec)})
    asked["limits"] = str(asdict(job.spec.limits))
    warm = result.warm_start.model if result.warm_start else "none"
    return asked | {
        "chosen": result.forecaster,
        "algorithm_version": str(result.algorithm_version),
        "warm_start": warm,
        "readings": str(len(job.series)),
    }


def figures(result: FitResult) -> dict[str, float]:
    """The backtest's figures, of the model, the floor and the incumbent; no NaN."""
    found: dict[str, float] = {"seconds": result.seconds}
    for prefix, metrics in (
        ("", result.metrics),
        ("floor.", result.floor),
        ("incumbent.", result.incumbent),
    ):
        for name, value in asdict(metrics).items() if metrics is not None else ():
            found[f"{prefix}{name}"] = float(value)
    for candidate in result.candidates:
        found[f"candidate.{candidate.forecaster.replace(':', '-')}.wape"] = candidate.wape
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _token() -> str:
    """A token of the identity that the job runs under."""
    from azure.identity import DefaultAzureCredential

    with DefaultAzureCredential() as credential:
        return str(credential.get_token(_SCOPE).token)


def _flat(values: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": str(each) for inner, each in value.items()}
        elif isinstance(value, tuple):
            flat[name] = ", ".join(map(str, value)) or "none"
        else:
            flat[name] = str(value) or "none"
    return flat
