"""What an event costs: ours beside Dagster's own call, and how many a day writes.

Both sides are runs of a job on a fresh instance in SQLite, each in a process of its own, that tell
one materialization of each circuit with the metadata of a forecast; the bare side calls
`context.log_event` and nothing else. CPU time is compared, because other work on the machine
stretches wall time. Then one run tells 2,000 circuits of which every 21st is not chosen, so that no
tag of Dagster can name the rest, and of which every hundredth fails: each must show as what became
of it. At last a day of 2,001 circuits is told, which is by plant.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import fleet
from benchmarks.figure import Figure
from benchmarks.process import measured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dagster as dg

LIMIT = 1.0
CIRCUITS, CHOSEN, ROUNDS = 200, 2_000, 5
SVG = "<svg>" + 60 * "<path d='M0 0'/>" + "</svg>"


def tell(circuits: int, ours: bool) -> dict[str, float]:  # noqa: FBT001 from JSON
    """Tell circuits in one run; returns CPU and wall milliseconds an event."""
    from mlops_assets.assets.events import EventWriter

    spent: dict[str, float] = {}

    def work(context: dg.AssetExecutionContext, keys: Sequence[str]) -> None:
        facts = [_fact(key) for key in keys]
        wall, cpu = time.perf_counter(), time.process_time()
        if ours:
            writer = EventWriter(context)
            for fact in facts:
                writer.materialized(fact)
        else:
            for fact in facts:
                context.log_event(fact.materialization())
        spent["wall"] = 1000 * (time.perf_counter() - wall) / circuits
        spent["cpu"] = 1000 * (time.process_time() - cpu) / circuits

    with tempfile.TemporaryDirectory() as name:
        keys = fleet.keys(circuits)
        _run(Path(name), keys, keys, work)
        size = sum(each.stat().st_size for each in Path(name).rglob("*.db"))
    return {**spent, "kilobytes": size / circuits / 1024}


def _fact(key: str) -> Any:  # noqa: ANN401 a Fact
    from mlops_assets.assets.events import Fact, picture

    return Fact(
        asset="thing",
        partition=key,
        version=f"2024-06-29:r-0:{key}",
        metadata={"plant": key[:5], "rows": 24, "mean": 1.5, "forecast": picture(SVG)},
        follows=("daily_forecast",),
    )


def _run(
    folder: Path,
    known: Sequence[str],
    chosen: Sequence[str],
    work: Callable[[Any, Sequence[str]], None],
    after: Callable[[Any], Any] = lambda _: None,
) -> Any:  # noqa: ANN401 what ``after`` returns
    """Run one asset over chosen circuits on an instance that knows some."""
    import dagster as dg

    from mlops_assets.assets import partitions

    def thing(context):  # type: ignore[no-untyped-def]  # noqa: ANN001 ANN202 read by Dagster
        work(context, [str(key) for key in partitions.chosen(context)])
        yield from ()

    asset = dg.multi_asset(
        specs=[dg.AssetSpec("thing", partitions_def=partitions.circuits, skippable=True)],
        name="thing",
        partitions_def=partitions.circuits,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        config_schema=partitions.SELECTION,
    )(thing)
    jobs = [dg.define_asset_job("job", selection=dg.AssetSelection.assets("thing"))]
    defs = dg.Definitions(assets=[asset], jobs=jobs, executor=dg.in_process_executor)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        instance.add_dynamic_partitions(str(partitions.circuits.name), list(known))
        how = partitions.launch_on(known, chosen)
        defs.resolve_job_def("job").execute_in_process(
            instance=instance,
            partition_key=how.partition_key,
            tags=dict(how.tags),
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {"thing": {"config": dict(how.config)}},
            },
            raise_on_error=False,
        )
        return after(instance)


def one_run(chosen: int) -> dict[str, Any]:
    """Tell chosen circuits that are no neighbours in one run; returns how many show wrongly."""
    from mlops_assets.assets.events import EventWriter
    from mlops_assets.assets.partitions import circuits as definition

    known = fleet.keys(chosen + chosen // 20)
    wanted = [key for number, key in enumerate(known) if number % 21]
    failing = set(wanted[::100])
    began, cpu = time.perf_counter(), time.process_time()

    def work(context: dg.AssetExecutionContext, keys: Sequence[str]) -> None:
        writer = EventWriter(context)
        for key in keys:
            if key not in failing:
                writer.materialized(_fact(key))
        writer.refuse({"thing": dict.fromkeys(sorted(failing), "it broke")})

    def judged(instance: dg.DagsterInstance) -> dict[str, Any]:
        import dagster as dg

        found = instance.get_status_by_partition(dg.AssetKey("thing"), known, definition) or {}
        said = {key: getattr(found.get(key), "name", "untouched") for key in known}
        right = dict.fromkeys(known, "untouched") | dict.fromkeys(wanted, "MATERIALIZED")
        right |= dict.fromkeys(failing, "FAILED")
        wrong = {key: said[key] for key in known if said[key] != right[key]}
        return {
            "wrong": len(wrong),
            "such_as": dict(list(wrong.items())[:5]),
            "chosen": len(wanted),
            "failed": len(failing),
            "untouched": len(known) - len(wanted),
            "runs": instance.get_runs_count(),
            "seconds": round(time.perf_counter() - began, 1),
            "cpu": round(time.process_time() - cpu, 1),
        }

    with tempfile.TemporaryDirectory() as name:
        return dict(_run(Path(name), known, wanted, work, judged))


def measure(*, quick: bool) -> list[Figure]:
    """Compare in pairs, then look at what one run shows."""
    circuits, chosen, rounds = (50, 200, 2) if quick else (CIRCUITS, CHOSEN, ROUNDS)
    pairs = [
        tuple(measured("benchmarks.events:tell", circuits, ours).answer for ours in (True, False))
        for _ in range(rounds)
    ]
    shown = measured("benchmarks.events:one_run", chosen).answer
    ours, bare = ([pair[side] for pair in pairs] for side in (0, 1))
    return [
        Figure(
            name="event_cost",
            figure=round(statistics.median(a["cpu"] / b["cpu"] for a, b in pairs), 3),
            limit=LIMIT,
            unit="x",
            details={
                "events": circuits,
                "milliseconds": _medians(ours),
                "bare_milliseconds": _medians(bare),
                "rounds": rounds,
            },
        ),
        Figure(
            name=f"one_run_of_{chosen}",
            figure=shown["wrong"],
            limit=0,
            unit="",
            details=shown,
        ),
        Figure(
            name="events_a_day_above_2000",
            figure=_by_plant(),
            limit=(CHOSEN + 1) // fleet.CIRCUITS_A_PLANT + 1,
            unit="",
            details={"circuits": CHOSEN + 1},
        ),
    ]


def _by_plant() -> int:
    from mlops_assets.assets.plant import at_most_a_plant

    return len(at_most_a_plant(map(_fact, fleet.keys(CHOSEN + 1))))


def _medians(sides: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(side[name] for side in sides), 2) for name in sides[0]}
