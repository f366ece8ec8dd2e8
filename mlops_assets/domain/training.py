"""Training: what became of each circuit that was to be trained."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.domain.identifiers import decimal_text
from mlops_assets.domain.proof import metrics_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.domain.circuit import Circuit, Environment
    from mlops_assets.domain.evaluation import Metrics
    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey
    from mlops_assets.domain.model import FitResult, ModelRecord
    from mlops_assets.domain.training_data import TrainingData


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """What became of one circuit, and why, in a sentence.

    ``unchanged`` has the record of the model that stands for this spec, whether it is up to date or
    held; one that was trained and is kept nowhere has none, but the ``seconds`` of its fit.
    ``failed`` with ``left_out`` means that a rule about its data left the circuit out, and nothing
    broke.
    """

    circuit: CircuitKey
    status: Literal["trained", "unchanged", "failed"]
    reason: str
    left_out: bool = False
    held: bool = False
    data: TrainingData | None = None
    record: ModelRecord | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    data_verdicts: tuple[Verdict, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    seconds: float | None = None

    def figures(self) -> TrainOutcome:
        """Return it without its backtest."""
        proof = {name: value for name, value in self.proof.items() if name != "backtest"}
        return replace(self, proof=proof)

    @property
    def metrics(self) -> Metrics | None:
        """How the model did in its backtest."""
        return metrics_of(self.proof, "metrics")

    @property
    def floor(self) -> Metrics | None:
        """How the seasonal naive did on the same origins."""
        return metrics_of(self.proof, "floor")

    @property
    def incumbent(self) -> Metrics | None:
        """How the model that was live then did on the same origins."""
        return metrics_of(self.proof, "incumbent")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """One training, by circuit in order; ``release`` is the one that was cut of it.

    It holds figures alone, so that it stays small for any fleet: a backtest is in the stored proof.
    """

    outcomes: Mapping[CircuitKey, TrainOutcome]
    release: str | None = None

    def circuits(self, status: str) -> tuple[CircuitKey, ...]:
        """Return the circuits with that status."""
        return tuple(key for key, each in self.outcomes.items() if each.status == status)

    @property
    def trained(self) -> tuple[CircuitKey, ...]:
        """Circuits that got a new model version."""
        return self.circuits("trained")

    @property
    def skipped(self) -> tuple[CircuitKey, ...]:
        """Circuits whose model is up to date or held."""
        return self.circuits("unchanged")

    @property
    def metrics(self) -> Mapping[CircuitKey, Mapping[str, float | None]]:
        """WAPE of each model, trained now or before, of its floor and of the incumbent."""
        return {
            key: {
                "wape": each.metrics.wape if each.metrics else None,
                "floor": each.floor.wape if each.floor else None,
                "incumbent": each.incumbent.wape if each.incumbent else None,
            }
            for key, each in self.outcomes.items()
            if each.proof
        }

    @property
    def seconds(self) -> Mapping[CircuitKey, float]:
        """How long each model took to fit, now or when it was trained."""
        kept = {
            key: float(each.record.tags["seconds"])
            for key, each in self.outcomes.items()
            if each.record is not None and "seconds" in each.record.tags
        }
        aside = {
            key: each.seconds for key, each in self.outcomes.items() if each.seconds is not None
        }
        return kept | aside

    @property
    def failed(self) -> Mapping[CircuitKey, str]:
        """Circuits without a model for their spec, with the reason."""
        return {key: each.reason for key, each in self.outcomes.items() if each.status == "failed"}


def experiment_name(circuit: CircuitKey) -> str:
    """What all trainings of one circuit are compared under.

    >>> from mlops_assets.domain.identifiers import CircuitKey
    >>> experiment_name(CircuitKey("P001", "C001"))
    'plant_P001_circuit_C001'
    """
    return f"plant_{circuit.plant_id}_circuit_{circuit.circuit_id}"


def model_tags(
    circuit: Circuit,
    data: TrainingData,
    environment: Environment,
    result: FitResult,
    *,
    commit: str,
    author: str,
    pull_request: str,
    now: datetime,
) -> dict[str, str]:
    """Return what people look models up by; all text, as model registries want it."""
    key, spec = circuit.key, circuit.spec
    figures = {
        name: getattr(result.metrics, name)
        for name in ("mae", "rmse", "mase", "wape", "r2", "coverage_80", "coverage_95")
    }
    figures |= {"floor_mae": result.floor.mae, "floor_wape": result.floor.wape}
    return {
        "plant": key.plant_id,
        "circuit": key.circuit_id,
        "experiment": experiment_name(key),
        "cutoff_date": spec.cutoff_date.isoformat(),
        "spec_digest": circuit.spec_digest,
        "config_commit": commit,
        "pull_request": pull_request,
        "author": author,
        "data_version": str(data.version),
        "data_digest": data.content_digest,
        "delta_version": str(data.delta_version),
        "environment": str(environment.ref),
        "environment_digest": environment.digest,
        "forecaster": result.forecaster,
        "algorithm_version": str(result.algorithm_version),
        "effort": spec.effort,
        "hyperparameters": json.dumps(dict(spec.hyperparameters), sort_keys=True),
        "warm_start": result.warm_start.model if result.warm_start else "none",
        **{name: decimal_text(value) for name, value in figures.items()},
        "trained_at": now.isoformat(timespec="seconds"),
        "seconds": f"{result.seconds:.2f}",
    }
