"""Events: facts of the platform as Dagster's materializations and check evaluations.

One run covers many circuits, so events are logged per partition instead of yielded: a partition
that is logged shows as materialized, one that was planned and is not logged shows as failed when
the run fails, and all others stay as they were.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from mlops_assets.assets.event_log import keep_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_assets.domain.gates import Verdict
    from mlops_assets.domain.identifiers import CircuitKey

VERSION_TAG = "dagster/data_version"
# Markdown of 1,000 characters and more is behind a link: a day's plot fits in without these.
_DECORATION = re.compile(r'<title>.*?</title>| role="img"| stroke-line(?:join|cap)="round"')
STATUS = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What one materialization says, read from storage alone, so that it can be told again.

    ``version`` is its data version: the same version is the same fact. ``follows`` names what it
    was made from, where Dagster would look for another partition of it.
    """

    asset: str
    partition: str | None
    version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    follows: tuple[str, ...] = ()

    def materialization(self, status: str = "") -> dg.AssetMaterialization:
        """Return it as an event; ``status`` says what this run did for it."""
        said = {STATUS: status} if status else {}
        return dg.AssetMaterialization(
            self.asset,
            partition=self.partition,
            metadata=shown({**said, **self.metadata}),
            tags={VERSION_TAG: self.version, **_provenance(self.follows)},
        )


def _provenance(follows: Iterable[str]) -> dict[str, str]:
    """Say that no event of these assets is newer, so that the fact is not called out of date."""
    tags = {}
    for asset in follows:
        tags["dagster/code_version"] = "1"
        tags[f"dagster/input_data_version/{asset}"] = "INITIAL"
        tags[f"dagster/input_event_pointer/{asset}"] = "NULL"
    return tags


def shown(metadata: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Return metadata as Dagster shows it best; what is not known is left out."""
    return {
        name: value for name, raw in metadata.items() if (value := _metadata_value(raw)) is not None
    }


def _metadata_value(value: Any) -> dg.MetadataValue | None:  # noqa: ANN401 PLR0911 any fact
    match value:
        case None:
            return None
        case dg.MetadataValue():
            return value
        case bool():
            return dg.MetadataValue.bool(value)
        case int():
            return dg.MetadataValue.int(value)
        case float():
            return dg.MetadataValue.float(value) if math.isfinite(value) else None
        case datetime():
            return dg.MetadataValue.timestamp(value)
        case date():
            return dg.MetadataValue.text(value.isoformat())
        case dict():
            return dg.MetadataValue.json({str(key): item for key, item in value.items()})
        case list() | tuple():
            return dg.MetadataValue.text(", ".join(str(item) for item in value))
        case _:
            return dg.MetadataValue.text(str(value))


def picture(svg: str) -> dg.MetadataValue | None:
    """Return a small SVG as Dagster can draw it: an image inside Markdown."""
    from base64 import b64encode

    if not svg:
        return None
    data = b64encode(_DECORATION.sub("", svg).encode()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/svg+xml;base64,{data})")


def stored_versions(instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
    """Return the data version of each partition's newest materialization."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION, [VERSION_TAG]
    )
    return {partition: found[VERSION_TAG] for partition, found in tags.items()}


def check_specs(
    asset: str,
    checks: Mapping[str, str],
    partitions: dg.PartitionsDefinition | None,
    *,
    warns: Iterable[str] = (),
) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's checks: blocking, except those that only warn."""
    only_warn = set(warns)
    return [
        dg.AssetCheckSpec(
            name,
            asset=asset,
            description=question,
            blocking=name not in only_warn,
            partitions_def=partitions,
        )
        for name, question in checks.items()
    ]


def _severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if verdict.blocking else dg.AssetCheckSeverity.WARN


class EventWriter:
    """Writes what one run did, partition by partition.

    With ``only`` it writes of these circuits alone: runs of one backfill work on all of it
    together, and each tells its own part.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext | dg.OpExecutionContext,
        only: Iterable[CircuitKey] | None = None,
    ) -> None:
        keep_open(context.instance, context.run.run_id)
        self._context = context
        self._only = None if only is None else {str(key) for key in only}
        self._known: dict[tuple[str, str], frozenset[str]] = {}

    def materialized(
        self, fact: Fact, verdicts: Iterable[Verdict] = (), *, status: str = ""
    ) -> None:
        """Log one materialization and the check evaluations that target it."""
        if self._is_other(fact.partition):
            return
        self._context.log_event(fact.materialization(status))
        verdicts = tuple(verdicts)
        if verdicts:
            self.judged(fact.asset, fact.partition, verdicts)

    def judged(
        self,
        asset: str,
        partition: str | None,
        verdicts: Iterable[Verdict],
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Log check evaluations, targeting the partition's newest materialization."""
        if self._is_other(partition):
            return
        target = self._newest(asset, partition)
        for verdict in verdicts:
            # An op's context takes them too, its annotation does not say so.
            cast("dg.AssetExecutionContext", self._context).log_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(asset),
                    check_name=verdict.gate,
                    passed=verdict.passed,
                    partition=partition,
                    blocking=verdict.blocking,
                    severity=_severity(verdict),
                    description=verdict.reason,
                    metadata=shown({"reason": verdict.reason, **(about or {})}),
                    target_materialization_data=target,
                )
            )

    def changed(self, asset: str, partition: object, verdicts: Iterable[Verdict]) -> None:
        """Log only what fails, and what passes again after it failed."""
        news = [
            verdict
            for verdict in verdicts
            if not verdict.passed or str(partition) in self._failing(asset, verdict.gate)
        ]
        if news:
            self.judged(asset, str(partition), news)

    def refuse(self, failures: Mapping[str, Mapping[Any, str]], said: str = "") -> None:
        """Fail the run when partitions of any asset could not be materialized, and show which."""
        reasons: dict[str, str] = {}
        for asset, partitions in failures.items():
            mine = {str(key): why for key, why in partitions.items() if not self._is_other(key)}
            self._plan(asset, mine)
            reasons = {**mine, **reasons}
        if not reasons:
            return
        for partition, reason in reasons.items():
            self._context.log.error("%s: %s", partition, reason)
        first = next(iter(reasons.items()))
        raise dg.Failure(
            said or f"{len(reasons)} failed, such as {first[0]}: {first[1]}",
            metadata={"failed": dg.MetadataValue.json(reasons)},
            allow_retries=False,
        )

    def _is_other(self, partition: object) -> bool:
        return self._only is not None and str(partition) not in self._only

    def _failing(self, asset: str, check: str) -> frozenset[str]:
        """Return the partitions whose newest evaluation of a check failed."""
        if (asset, check) not in self._known:
            key = dg.AssetCheckKey(dg.AssetKey(asset), check)
            infos = self._context.instance.event_log_storage.get_asset_check_partition_info([key])
            self._known[asset, check] = frozenset(
                info.partition_key
                for info in infos
                if info.partition_key is not None and info.latest_execution_status.value == "FAILED"
            )
        return self._known[asset, check]

    def _plan(self, asset: str, partitions: Iterable[str]) -> None:
        """Say that this run was to materialize partitions: those it did not then show as failed."""
        run, instance = self._context.run, self._context.instance
        context = self._context
        if isinstance(context, dg.AssetExecutionContext):
            context = context.op_execution_context
        step = str(context.op_handle)
        known: set[str] = set()
        if run.is_partitioned and dg.AssetKey(asset) in self._context.selected_asset_keys:
            known.update(self._context.partition_keys)
        for partition in sorted(set(partitions) - known):
            data = AssetMaterializationPlannedData(
                dg.AssetKey(asset), partition=partition, partitions_subset=None
            )
            event = DagsterEvent.build_asset_materialization_planned_event(run.job_name, step, data)
            instance.report_dagster_event(event, run.run_id)

    def _newest(
        self, asset: str, partition: str | None
    ) -> AssetCheckEvaluationTargetMaterializationData | None:
        records = self._context.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(asset),
                asset_partitions=[partition] if partition is not None else None,
            ),
            limit=1,
        ).records
        if not records:
            return None
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=records[0].storage_id,
            run_id=records[0].run_id,
            timestamp=records[0].timestamp,
        )
