"""A run writes its events through files that stay open, and everybody else sees them at once."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.storage.event_log import SqliteEventLogStorage

from mlops_assets.assets.event_log import keep_open

THING = dg.AssetKey("thing")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """Count how often Dagster opens a database anew."""
    shards = []
    own = SqliteEventLogStorage._connect

    def counted(storage, shard):
        shards.append(shard)
        return own(storage, shard)

    monkeypatch.setattr(SqliteEventLogStorage, "_connect", counted)
    return shards


def tell(instance, run_id, partition):
    event = DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION",
        job_name="job",
        event_specific_data=StepMaterializationData(
            dg.AssetMaterialization("thing", partition=partition)
        ),
    )
    instance.report_dagster_event(event, run_id)


def a_run(instance):
    @dg.job
    def job():
        pass

    return instance.create_run_for_job(job).run_id


def open_files(folder: Path) -> list[str]:
    found = (Path("/proc/self/fd") / name for name in Path("/proc/self/fd").iterdir())
    targets = [str(each.readlink()) for each in found if each.is_symlink()]
    return [each for each in targets if each.startswith(str(folder)) and each.endswith(".db")]


def test_a_run_opens_its_databases_once_for_all_its_events(folder, opened):
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        run_id = a_run(instance)
        keep_open(instance, run_id)
        tell(instance, run_id, "P1/C0")
        opened.clear()

        for number in range(20):
            tell(instance, run_id, f"P1/C{number}")

        assert opened == []


def test_another_process_sees_every_event_as_soon_as_it_is_told(folder):
    with dg.DagsterInstance.from_config(str(folder)) as writer:
        run_id = a_run(writer)
        keep_open(writer, run_id)
        with dg.DagsterInstance.from_config(str(folder)) as reader:
            for number in range(3):
                tell(writer, run_id, f"P1/C{number}")
                assert f"P1/C{number}" in reader.get_materialized_partitions(THING)
                tell(reader, run_id, f"P2/C{number}")
                assert f"P2/C{number}" in writer.get_materialized_partitions(THING)


def test_other_runs_files_are_not_kept_and_none_is_after_the_end(folder):
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        run_id = a_run(instance)
        keep_open(instance, run_id)
        others = [a_run(instance) for _ in range(5)]
        for each in (run_id, *others):
            tell(instance, each, "P1/C0")

        kept = {Path(each).stem for each in open_files(folder)}

        assert run_id in kept
        assert kept.isdisjoint(others)
    assert open_files(folder) == []


def test_what_is_asked_for_twice_or_is_no_sqlite_is_left_as_it_is(folder):
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        first, second = a_run(instance), a_run(instance)
        keep_open(instance, first)
        connect = instance.event_log_storage._connect
        keep_open(instance, second)

        assert instance.event_log_storage._connect == connect
    with dg.DagsterInstance.ephemeral() as instance:
        before = dict(vars(instance.event_log_storage))
        keep_open(instance, "run")

        assert {name for name in vars(instance.event_log_storage) if name in before} == set(before)
        assert "_kept_open" not in vars(instance.event_log_storage)
