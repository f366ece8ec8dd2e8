"""What runs inside an environment's interpreter: load models, apply them, answer. It fits nothing.

Started as ``python -m mlops_assets.engines.apply_models REQUEST ANSWER`` with two file names; both
files are the JSON of `domain.rollout`.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from mlops_assets.domain.rollout import (
    COLUMNS,
    Applied,
    ApplyJob,
    answer_bytes,
    read_request,
)


def applied(job: ApplyJob) -> Applied:
    """Apply one model; whatever it does is told, and stops no other."""
    from mlops_assets.forecasters.serialization import load

    try:
        model = load(job.files)
        values = model.apply(job.series, job.steps)
        columns = {name: tuple(getattr(values, name).tolist()) for name in COLUMNS}
        return Applied(columns, golden=model.reproduces_golden())
    except Exception as error:  # noqa: BLE001 one model never stops the others
        return Applied(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def main(request: Path, answer: Path) -> None:
    """Answer one request."""
    warnings.simplefilter("ignore")
    jobs = read_request(request.read_bytes())
    answer.write_bytes(answer_bytes({job.circuit: applied(job) for job in jobs}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
