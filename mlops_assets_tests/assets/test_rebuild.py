"""Old runs go by the policy; what they had told stays told, and nothing is told twice."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest

from mlops_assets.assets import facts, rebuild
from mlops_assets.assets.events import Fact, stored_versions

KEEP_DAYS = 7
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
TRUE_NOW = {
    "P1/C1": Fact(asset="model", partition="P1/C1", version="v1"),
    "P1/C2": Fact(asset="model", partition="P1/C2", version="v2"),
}


class AHome:
    """A home of which two facts are true, with a policy and a moment."""

    def __init__(self, moment):
        self.moment = moment

    def now(self):
        return self.moment

    def config(self):
        return SimpleNamespace(policy=SimpleNamespace(keep_runs_days=KEEP_DAYS))

    @contextmanager
    def explained(self):
        yield


@dg.op(config_schema={"circuit": str})
def tell(context):
    context.log_event(TRUE_NOW[context.op_config["circuit"]].materialization())


@dg.job
def telling():
    tell()


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def config_of(circuit):
    return {**QUIET, "ops": {"tell": {"config": {"circuit": circuit}}}}


def told_by_a_run(instance, circuit):
    return telling.execute_in_process(instance=instance, run_config=config_of(circuit)).run_id


def prune(instance, monkeypatch, *, old_before):
    """Prune at the moment from which the policy keeps no run from before ``old_before``."""
    moment = old_before + timedelta(days=KEEP_DAYS)
    monkeypatch.setattr(facts, "told", lambda _: ((fact, ()) for fact in TRUE_NOW.values()))
    defs = dg.Definitions(jobs=[rebuild.prune_job], resources={"home": AHome(moment)})
    done = defs.resolve_job_def("prune").execute_in_process(instance=instance, run_config=QUIET)
    assert done.success


def events_of(instance, circuit):
    records = dg.AssetRecordsFilter(asset_key=dg.AssetKey("model"), asset_partitions=[circuit])
    return instance.fetch_materializations(records, limit=10).records


def test_an_old_run_goes_and_what_it_told_is_told_again(instance, monkeypatch):
    old = told_by_a_run(instance, "P1/C1")
    between = datetime.now(UTC)
    young = told_by_a_run(instance, "P1/C2")

    prune(instance, monkeypatch, old_before=between)

    assert instance.get_run_by_id(old) is None
    assert instance.get_run_by_id(young) is not None
    assert stored_versions(instance, "model") == {"P1/C1": "v1", "P1/C2": "v2"}
    assert len(events_of(instance, "P1/C2")) == 1


def test_a_run_that_goes_on_is_kept_however_old(instance, monkeypatch):
    running = instance.create_run_for_job(
        telling, run_config=config_of("P1/C1"), status=dg.DagsterRunStatus.STARTED
    ).run_id
    finished = told_by_a_run(instance, "P1/C1")

    prune(instance, monkeypatch, old_before=datetime.now(UTC))

    assert instance.get_run_by_id(running) is not None
    assert instance.get_run_by_id(finished) is None


def test_where_nothing_is_old_nothing_is_told(instance, monkeypatch):
    long_ago = datetime.now(UTC) - timedelta(days=1)
    told_by_a_run(instance, "P1/C1")

    prune(instance, monkeypatch, old_before=long_ago)

    assert stored_versions(instance, "model") == {"P1/C1": "v1"}
