"""The train group: one step takes many circuits from readings to a proposed release.

It is one step, so that a circuit that fails stops there while the others go on in the same run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from mlops_assets.assets import evidence, model, release, training_data
from mlops_assets.assets.config import config_facts
from mlops_assets.assets.events import EventWriter, stored_versions
from mlops_assets.assets.home import Home, RunProgress
from mlops_assets.assets.partitions import (
    BACKFILL_TAG,
    SELECTION,
    add_circuits,
    chosen,
    circuits,
    meant,
)
from mlops_assets.domain.circuit import Circuit
from mlops_assets.domain.evidence import Evidence
from mlops_assets.domain.gates import Verdict, refusals
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.domain.model import ModelRecord
from mlops_assets.domain.training import TrainOutcome, TrainReport
from mlops_assets.domain.training_data import TrainingData

STEPS = ("training_data", "model", "evidence", "release_candidate")


@dataclass(kw_only=True)
class Trained:
    """What one run of the group did; ``failed`` has the reason of each circuit that fell out."""

    report: TrainReport | None = None
    release: str | None = None
    failed: dict[CircuitKey, str] = field(default_factory=dict)


@dg.multi_asset(
    name="train",
    specs=[training_data.SPEC, model.SPEC, evidence.SPEC, release.CANDIDATE],
    check_specs=[
        *training_data.CHECK_SPECS,
        *model.CHECK_SPECS,
        *evidence.CHECK_SPECS,
    ],
    partitions_def=circuits,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
    config_schema=SELECTION,
    pool="training",
)
def train(
    context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
) -> Iterator[dg.MaterializeResult]:
    """Pin training data, fit, prove, and propose one release of what passed."""
    wanted = {key.to_user_string() for key in context.selected_asset_keys}
    own = chosen(context)
    # One choice of circuits is one release, also where Dagster makes several runs of it.
    backfill = context.run.tags.get(BACKFILL_TAG) if "release_candidate" in wanted else None
    with home.explained(), home.alone(backfill) as first:
        keys = meant(context) if backfill and first else own
        add_circuits(context.instance, keys)
        work = _Work(context, home, EventWriter(context, own), wanted)
        home.answers["train"] = work.done
        work.train(keys)
    work.writer.refuse(work.failures)
    yield from ()


class _Work:
    """One run: each step takes the circuits that the step before left."""

    def __init__(
        self, context: dg.AssetExecutionContext, home: Home, writer: EventWriter, wanted: set[str]
    ) -> None:
        self.writer = writer
        self.done = Trained()
        self.failures: dict[str, dict[CircuitKey, str]] = {}
        self._home, self._config, self._wanted = home, home.config(), wanted
        self._progress = RunProgress(context, home.progress)
        self._context = context
        from mlops_assets.flows.model import first_readings

        self._firsts = first_readings(home.platform)

    def train(self, keys: Sequence[CircuitKey]) -> None:
        """Do every wanted step in order."""
        records = self._fit(keys) if "model" in self._wanted else self._find(keys)
        if "evidence" in self._wanted:
            records = self._prove(records)
        if "release_candidate" in self._wanted:
            self._propose(records)
        self._tell_config()

    def _tell_config(self) -> None:
        """Tell what config wants, where that is not what was told last."""
        writer = EventWriter(self._context)
        told = stored_versions(self._context.instance, "circuit_config")
        for fact in config_facts(self._home.platform, self._config, told):
            writer.materialized(fact)

    def _fall_out(self, circuit: CircuitKey, reason: str, *, since: str) -> None:
        """Note that a circuit got no further than the step before ``since``."""
        self.done.failed[circuit] = reason
        for step in STEPS[STEPS.index(since) :]:
            if step in self._wanted:
                self.failures.setdefault(step, {})[circuit] = reason

    def _fit(self, keys: Sequence[CircuitKey]) -> dict[CircuitKey, ModelRecord]:
        from mlops_assets.flows import model as flow

        records: dict[CircuitKey, ModelRecord] = {}

        def tell(outcome: TrainOutcome) -> None:
            if self._tell(outcome) and outcome.record is not None:
                records[outcome.circuit] = outcome.record

        self.done.report = flow.train(
            self._home.platform,
            self._config,
            keys,
            now=self._home.now(),
            progress=self._progress,
            on_result=tell,
        )
        return records

    def _tell(self, outcome: TrainOutcome) -> bool:
        """Log one circuit's data and model; whether it goes on to evidence."""
        status = outcome.reason if outcome.status == "unchanged" else ""
        if "training_data" in self._wanted and outcome.data is not None:
            verdicts = outcome.data_verdicts or self._judge(outcome.circuit, outcome.data)
            fact = training_data.training_data_fact(outcome.data)
            self.writer.materialized(fact, verdicts, status="unchanged" if status else "")
        if outcome.record is None:
            since = "training_data" if outcome.data is None else "model"
            self._fall_out(outcome.circuit, outcome.reason, since=since)
            return False
        folder = self._home.platform.dev.models.folder(outcome.record)
        fact = model.model_fact(outcome.record, outcome.proof, folder)
        self.writer.materialized(fact, outcome.verdicts, status=status)
        if outcome.held:
            self._fall_out(outcome.circuit, outcome.reason, since="evidence")
            return False
        if any(verdict.refuses for verdict in outcome.verdicts):
            reason = "; ".join(refusals(outcome.verdicts))
            self._fall_out(outcome.circuit, reason, since="evidence")
            return False
        return True

    def _circuit(self, key: CircuitKey) -> Circuit | None:
        from mlops_assets.flows.model import effective

        circuit = self._config.circuits.get(key)
        return effective(circuit, self._firsts) if circuit else None

    def _judge(self, key: CircuitKey, data: TrainingData) -> tuple[Verdict, ...]:
        from mlops_assets.flows.training_data import series_of, verdicts

        circuit = self._circuit(key)
        if circuit is None:
            return ()
        series = series_of(self._home.platform.dev.training_data, data, circuit.spec)
        return verdicts(data, series, circuit)

    def _find(self, keys: Sequence[CircuitKey]) -> dict[CircuitKey, ModelRecord]:
        """Pin training data where that is wanted, and look models up instead of fitting them."""
        from mlops_assets.flows.model import wanted

        platform, records = self._home.platform, {}
        for key in keys:
            circuit = self._circuit(key)
            if circuit is None:
                self._fall_out(key, "config has no such circuit", since="training_data")
                continue
            if "training_data" in self._wanted and not self._pin(circuit):
                continue
            record = wanted(platform.dev.models, circuit)
            if record is not None:
                records[key] = record
            elif self._wanted & {"evidence", "release_candidate"}:
                self._fall_out(key, "no model for its spec: materialize `model`", since="evidence")
        return records

    def _pin(self, circuit: Circuit) -> bool:
        from mlops_assets.domain.errors import MlopsError
        from mlops_assets.flows.training_data import register

        platform = self._home.platform
        try:
            data, new = register(
                platform.lake,
                platform.dev.training_data,
                circuit,
                data_now=self._home.data_now(),
            )
        except MlopsError as error:
            self._fall_out(circuit.key, str(error), since="training_data")
            return False
        status = "" if new else f"unchanged: version {data.version}, same content"
        fact = training_data.training_data_fact(data)
        self.writer.materialized(fact, self._judge(circuit.key, data), status=status)
        return True

    def _prove(self, records: Mapping[CircuitKey, ModelRecord]) -> dict[CircuitKey, ModelRecord]:
        """Return what has complete evidence; each circuit's is told as soon as it is made."""
        from mlops_assets.flows.evidence import collect_all

        store = self._home.platform.dev.evidence
        proved = {}

        def tell(key: CircuitKey, bundle: Evidence | str) -> None:
            if isinstance(bundle, str):
                self.writer.judged("evidence", str(key), [evidence.absent(bundle)])
                self._fall_out(key, bundle, since="evidence")
                return
            verdict = evidence.complete(bundle)
            folder = store.folder(key, bundle.model_version)
            self.writer.materialized(evidence.evidence_fact(bundle, folder), [verdict])
            if verdict.passed:
                proved[key] = records[key]
            else:
                self._fall_out(key, verdict.reason, since="release_candidate")

        collect_all(
            self._home.platform,
            self._config,
            list(records.values()),
            now=self._home.now(),
            progress=self._progress,
            on_result=tell,
        )
        return proved

    def _propose(self, records: Mapping[CircuitKey, ModelRecord]) -> None:
        """Cut one release of what is not proposed yet, and tell each circuit's newest entry."""
        from mlops_assets.flows.evidence import page
        from mlops_assets.flows.ledger import manifest_of, views
        from mlops_assets.flows.release import cut

        platform, now = self._home.platform, self._home.now()
        self.done.release, _ = cut(platform, self._config, sorted(records), now=now)
        if self.done.release is not None:
            page(platform, self._config, self.done.release, now=now)
        left = dict(records)
        for view in reversed(views(platform, now)):
            if not left or left.keys().isdisjoint(view.circuits):
                continue
            manifest = manifest_of(platform.ledger, view)
            status = (
                "" if view.release == self.done.release else f"unchanged: it is in {view.release}"
            )
            for entry in manifest.entries:
                record = left.get(entry.circuit)
                if record is not None and record.digest == entry.model_digest:
                    del left[entry.circuit]
                    fact = release.candidate_fact(manifest, entry)
                    self.writer.materialized(fact, status=status)
        for key in left:
            self._fall_out(key, "nothing to release for it", since="release_candidate")
