"""What a node does with a job: its command, or a deployment's scoring script, as a process.

Inputs are brought to the node's disk before, outputs taken to the datastore after, also when the
process failed. The process sees what Azure ML tells it and nothing of ours but `PATH`: the
project is installed there as it is in the image.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.control_plane.storage import write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets_tests.control_plane.jobs import Job
    from mlops_assets_tests.control_plane.plane import ControlPlane

_NODE = Path(__file__).with_name("node.py")
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "SYSTEMROOT", "COVERAGE_PROCESS_START")
_LOOK_SECONDS = 0.02
TIMED_OUT = 124


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job's process ended, and what it wrote."""

    code: int
    log: str


def executed(plane: ControlPlane, job: Job) -> Outcome:
    """Run a job to its end."""
    with tempfile.TemporaryDirectory(prefix="node-") as name:
        folder = Path(name)
        if job.deployment is not None:
            return _scored(plane, job, folder)
        return _commanded(plane, job, folder)


def _commanded(plane: ControlPlane, job: Job, folder: Path) -> Outcome:
    properties, values = job.properties, {}
    for name, given in (properties.get("inputs") or {}).items():
        values[f"inputs.{name}"] = _input(plane, given, folder / "inputs" / name)
    outputs = {
        name: (folder / "outputs" / name, given["uri"])
        for name, given in (properties.get("outputs") or {}).items()
        if given.get("uri")
    }
    for name, (place, _) in outputs.items():
        place.mkdir(parents=True)
        values[f"outputs.{name}"] = str(place)
    command = re.sub(
        r"\$\{\{\s*([\w.]+)\s*\}\}", lambda found: values[found[1]], properties["command"]
    )
    outcome = _process(
        plane,
        job,
        ["bash", "-c", command],
        _code(plane, properties.get("codeId"), job, folder),
        properties.get("environmentVariables") or {},
        seconds=seconds_of((properties.get("limits") or {}).get("timeout")),
    )
    for place, uri in outputs.values():
        plane.storage.take(place, uri)
    return outcome


def _scored(plane: ControlPlane, job: Job, folder: Path) -> Outcome:
    """Apply the deployment's model as its script does it."""
    deployment: dict[str, Any] = job.deployment["properties"] if job.deployment else {}
    model = plane.jobs.asset("models", deployment["model"]["assetId"], job.workspace)
    models = folder / "model"
    # As there, the folder that was registered lies below the one that is named.
    write(plane.model_files(model), models / Path(model["properties"]["modelUri"]).name)
    given = plane.storage.bring((job.input or {})["uri"], folder / "given")
    files = [given] if given.is_file() else [each for each in given.rglob("*") if each.is_file()]
    code = _code(plane, deployment["codeConfiguration"]["codeId"], job, folder)
    output = folder / "score"
    output.mkdir()
    name = deployment.get("outputFileName") or "predictions.csv"
    append = deployment.get("outputAction", "AppendRow") == "AppendRow"
    retry = deployment.get("retrySettings") or {}
    order = folder / "order.json"
    order.write_text(
        json.dumps(
            {
                "script": str(code / deployment["codeConfiguration"]["scoringScript"]),
                "files": [str(each) for each in sorted(files)],
                "mini_batch_size": deployment.get("miniBatchSize", 10),
                "retries": retry.get("maxRetries", 3),
                "error_threshold": deployment.get("errorThreshold", -1),
                "output": str(output / name) if append else "",
            }
        ),
        encoding="utf-8",
    )
    outcome = _process(
        plane,
        job,
        [sys.executable, "-P", str(_NODE), str(order)],
        code,
        (deployment.get("environmentVariables") or {}) | {"AZUREML_MODEL_DIR": str(models)},
    )
    plane.storage.take(
        output, f"azureml://datastores/workspaceblobstore/paths/azureml/{job.name}/score/"
    )
    return outcome


def _process(
    plane: ControlPlane,
    job: Job,
    words: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    *,
    seconds: float | None = None,
) -> Outcome:
    """Run a process and its children until they end, are canceled or take too long."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    if not plane.public:
        roles = {name: role for role, name in plane.backend.workspaces.items()}
        environment |= plane.identities.environment(roles[job.workspace])
    environment |= plane.node_environment
    environment |= {
        "AZUREML_RUN_ID": job.name,
        "AZUREML_ARM_WORKSPACE_NAME": job.workspace,
        "AZUREML_EXPERIMENT_NAME": str(job.properties.get("experimentName") or "Default"),
    }
    environment |= {name: str(value) for name, value in variables.items()}
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = False
        while process.poll() is None:
            late = seconds is not None and time.monotonic() - began > seconds
            if late or job.stop.is_set():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
            job.stop.wait(_LOOK_SECONDS)
        log.seek(0)
        text = log.read().decode(errors="replace")
    if late:
        job.stop.set()  # the system cancels a job that reaches its limit
        return Outcome(TIMED_OUT, f"{text}\nThe job reached its limit of {seconds:g} s.")
    return Outcome(process.returncode, text)


def _input(plane: ControlPlane, given: Mapping[str, Any], folder: Path) -> str:
    """What stands for an input in the command."""
    if str(given["jobInputType"]).lower() == "literal":
        return str(given["value"])
    if str(given.get("mode")).lower() == "direct":
        return str(given["uri"])
    return str(plane.storage.bring(given["uri"], folder))


def _code(plane: ControlPlane, code_id: str | None, job: Job, folder: Path) -> Path:
    """The folder that the process starts in."""
    if not code_id:
        (folder / "work").mkdir()
        return folder / "work"
    code = plane.jobs.asset("codes", code_id, job.workspace)
    return plane.storage.bring(code["properties"]["codeUri"], folder / "code")


def seconds_of(duration: str | None) -> float | None:
    """Seconds of an ISO 8601 duration of days, hours, minutes and seconds."""
    found = re.fullmatch(
        r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", duration or ""
    )
    if not found or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (float(each or 0) for each in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
