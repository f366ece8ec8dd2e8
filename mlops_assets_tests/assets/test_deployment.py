"""A stage is done for a whole release: a part is refused before anything changes."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.assets.deployment import registry_model, release_of
from mlops_assets.assets.partitions import add_circuits
from mlops_assets.domain.errors import RefusedError
from mlops_assets.flows.ledger import views
from mlops_assets_tests.fakes.release import C1, C2, C3, ENGINEER, ReleaseHome
from mlops_assets_tests.fakes.watched import WatchedHome


@pytest.fixture
def home():
    return WatchedHome(ReleaseHome(C1, C2, C3))


def register(home, *circuits):
    """Materialize `registry_model` for circuits that are neighbours, as the UI does."""
    with dg.DagsterInstance.ephemeral() as instance:
        add_circuits(instance, [C1, C2, C3])
        tags = {
            "dagster/asset_partition_range_start": str(circuits[0]),
            "dagster/asset_partition_range_end": str(circuits[-1]),
        }
        one = str(circuits[0]) if len(circuits) == 1 else None
        done = dg.materialize(
            [registry_model],
            instance=instance,
            resources={"home": home},
            partition_key=one,
            tags=None if one else tags,
            raise_on_error=False,
        )
        failure = next((e for e in done.all_events if e.is_step_failure), None)
        said = failure.event_specific_data.user_failure_data.description if failure else ""
        shown = {
            event.materialization.partition
            for event in done.all_events
            if event.event_type_value == "ASSET_MATERIALIZATION"
        }
    return done.success, said, shown


@pytest.mark.parametrize("part", [(C1,), (C1, C2), (C2, C3)])
def test_a_part_of_a_release_is_refused_with_its_count_and_the_command(home, part):
    made = home.made.create()
    home.made.approve(made, "registry", ENGINEER)
    log = home.made.ledger.log
    success, said, shown = register(home, *part)
    assert not success
    assert f"{made} holds 3 circuits and {len(part)} of them are selected" in said
    assert f"`mlops release promote {made} --stage registry`" in said
    assert shown == set()
    assert home.made.ledger.log == log
    assert home.made.registry.models.records == {}


def test_the_whole_selection_does_the_stage_and_again_it_is_unchanged(home):
    made = home.made.create()
    home.made.approve(made, "registry", ENGINEER)
    assert register(home, C1, C2, C3) == (True, "", {str(C1), str(C2), str(C3)})
    assert home.made.state(made) == "registered"
    log = home.made.ledger.log
    assert register(home, C1, C2, C3)[0]
    assert home.made.ledger.log == log


def test_a_selection_over_two_releases_is_refused(home):
    home.made.create(C1)
    home.made.create(C2, C3)
    success, said, _ = register(home, C1, C2)
    assert not success
    assert "no open release of refs/heads/main holds P001/C001, P001/C002" in said


def test_the_newest_open_release_that_holds_a_selection_is_meant():
    home = ReleaseHome(C1, C2)
    first = home.create(C1)
    home.train(C1, spec="4")
    second = home.create(C1)
    found = release_of(home.platform, [C1], "registry", views(home.platform, home.now))
    assert found.release == second
    assert first != second
    with pytest.raises(RefusedError) as refused:
        release_of(home.platform, [C2], "registry", views(home.platform, home.now))
    assert refused.value.code == "E_NO_RELEASE"
    assert "`mlops release create`" in refused.value.reason
