"""A settings file chooses Azure; what Azure would refuse much later is refused here, in a line."""

import pytest
import yaml

from mlops_assets.domain.errors import AbsentRoleError, UsageError
from mlops_assets.domain.quota import Quota
from mlops_assets.settings import LocalBackend, Settings
from mlops_assets.settings.access import acting
from mlops_assets.settings.azure import ROLES, AzureBackend, Cloud, Synapse, read_azure

pytestmark = pytest.mark.azure

RIGHTS = {"read": "read", "write": "written"}

WHOLE = {
    "backend": "azure",
    "subscription": "00000000-0000-0000-0000-000000000001",
    "resource_group": "rg-mlops",
    "location": "westeurope",
    "storage_account": "mlopslake",
    "registry": "mlops-registry",
    "workspaces": {"dev": "mlops-dev", "test": "mlops-test", "prod": "mlops-prod"},
}


def read(**changes):
    document = {**WHOLE, **changes}
    kept = {name: value for name, value in document.items() if value is not None}
    return read_azure(yaml.safe_dump(kept).encode(), "settings.yml")


def refusal(**changes):
    with pytest.raises(UsageError) as caught:
        read(**changes)
    line = str(caught.value)
    assert line.startswith("settings.yml: ")
    assert "\n" not in line
    return line


def test_what_is_left_out_has_the_names_that_infra_gives():
    backend = read()

    assert backend == AzureBackend(
        **{name: value for name, value in WHOLE.items() if name != "backend"}
    )
    assert backend.blob_url == "https://mlopslake.blob.core.windows.net"
    assert (
        backend.table_uri("lake", "readings")
        == "abfss://lake@mlopslake.dfs.core.windows.net/readings"
    )


def test_parts_are_read_by_their_own_fields():
    backend = read(synapse={"workspace": "syn", "pool": "etl", "executors": 3})

    assert backend.synapse == Synapse(workspace="syn", pool="etl", executors=3)
    assert read(quota={"deployments": 800}).quota == Quota(deployments=800)
    assert read(serves="plant").serves == "plant"
    assert read(cloud={"blob": "http://127.0.0.1:1/a"}).cloud == Cloud(blob="http://127.0.0.1:1/a")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subscription": None}, "subscription"),
        ({"subscribtion": "x"}, "subscribtion is no setting; known: "),
        ({"synapse": {"workspace": "syn"}}, "synapse: missing 1 required keyword-only argument"),
        ({"synapse": {"workspace": "syn", "pool": "p", "size": 1}}, "synapse: size is no setting"),
        ({"synapse": "syn"}, "synapse: is no mapping"),
        ({"location": 3}, "location is 3, not text"),
        ({"compute": {"dev_nodes": "4"}}, "compute: dev_nodes is '4', not a whole number"),
        ({"storage_account": "Mlops_Lake"}, "storage_account is 'Mlops_Lake'"),
        ({"workspaces": {"dev": "a", "test": "b"}}, "workspaces names no prod"),
        ({"workspaces": {**WHOLE["workspaces"], "qa": "c"}}, "workspaces: qa is none of dev"),
        ({"workspaces": ["dev"]}, "workspaces: is no mapping"),
        ({"identities": {"root": "c"}}, "identities: root is none of etl"),
        ({"serves": "fleet"}, "serves is 'fleet', none of circuit, plant"),
        ({"quota": {"endpoints": "100"}}, "quota: endpoints is '100', not a whole number"),
        ({"quota": {"per_endpoint": 0}}, "quota: per_endpoint is 0; write at least 1"),
        ({"backend": "aws"}, "backend is not azure"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(changes, said):
    assert said in refusal(**changes)


def test_what_is_no_yaml_names_its_line():
    with pytest.raises(UsageError, match=r"^settings.yml:2: is no YAML"):
        read_azure(b"backend: azure\n  location: [\n", "settings.yml")


def test_a_home_is_on_azure_where_its_settings_or_the_environment_say_so(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert Settings.find(home, None, {}, tmp_path).backend == LocalBackend()

    elsewhere = tmp_path / "elsewhere.yml"
    elsewhere.write_text(yaml.safe_dump({**WHOLE, "location": "northeurope"}))
    found = Settings.find(home, None, {"MLOPS_SETTINGS": str(elsewhere)}, tmp_path)
    assert found.backend.location == "northeurope"

    (home / "settings.yml").write_text(yaml.safe_dump(WHOLE))
    assert Settings.find(home, None, {}, tmp_path).backend == read()


def test_a_settings_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yml: cannot be read: No such file"):
        Settings.find(tmp_path, None, {"MLOPS_SETTINGS": str(tmp_path / "none.yml")}, tmp_path)


@pytest.fixture
def played(tmp_path):
    """What a host sees of the whole settings by what MLOPS_ROLE says."""
    settings = tmp_path / "settings.yml"
    named = {"prod": "p", "dev": "d", "release": "r", "test": "t"}
    settings.write_text(yaml.safe_dump({**WHOLE, "identities": named}))

    def found(roles):
        environ = {"MLOPS_SETTINGS": str(settings), "MLOPS_ROLE": roles}
        return Settings.find(tmp_path, None, environ, tmp_path).backend

    return found


def test_a_host_has_the_roles_that_it_is_told(played):
    assert played("").roles == ROLES
    assert played("prod").roles == ("prod",)
    assert played(" test,prod, release").roles == ("release", "test", "prod")
    with pytest.raises(UsageError, match=r"MLOPS_ROLE: 'cook' is none of etl, dev"):
        played("cook")
    with pytest.raises(UsageError, match=r"MLOPS_ROLE is 'prod,etl': .* name no etl, but dev,"):
        played("prod,etl")


@pytest.mark.parametrize(
    ("roles", "port", "role", "refused"),
    [
        ("", ("etl", "lake"), "etl", ()),
        ("prod", ("prod", "forecasts"), "prod", ()),
        ("prod", ("etl", "lake"), "prod", ("write",)),
        ("prod", ("release", "ledger"), "prod", ()),
        ("prod", ("dev", "dev"), "dev", ("read", "write")),
        ("release", ("dev", "dev"), "release", ()),
        ("release,test,prod", ("test", "test"), "test", ()),
        ("test,prod", ("release", "ledger"), "prod", ()),
        ("dev,prod", ("etl", "raw"), "dev", ("write",)),
    ],
)
def test_what_belongs_to_an_absent_role_is_reached_as_one_that_may(
    played, roles, port, role, refused
):
    acts, check = acting(played(roles), *port)
    assert acts == role
    for right in ("read", "write"):
        if right in refused:
            with pytest.raises(AbsentRoleError, match=f"cannot be {RIGHTS[right]} by this host"):
                check(right, "northwindlake/x")
        else:
            check(right, "northwindlake/x")


def test_a_refusal_names_the_roles_that_may_and_what_to_set(played):
    _, check = acting(played("test,prod"), "dev", "dev")
    with pytest.raises(AbsentRoleError) as refused:
        check("write", "northwindlake/dev/models")
    assert str(refused.value) == (
        "northwindlake/dev/models: cannot be written by this host, which is test and prod: run it "
        "on a host that is dev or release, as MLOPS_ROLE says there"
    )


def test_an_identity_that_this_host_lacks_is_never_asked_for(played):
    from mlops_assets.adapters.azure.identity import credential

    with pytest.raises(AbsentRoleError, match=r"needs the identity of dev, and this host is prod"):
        credential(played("prod"), "dev").get_token("https://management.azure.com/.default")
