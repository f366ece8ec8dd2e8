"""Keys open an emulator on this machine and nothing else."""

from __future__ import annotations

import time

import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo, AzureNamedKeyCredential
from azure.identity import DefaultAzureCredential

from mlops_assets.adapters.azure.identity import (
    STORAGE_KEY,
    KeptChain,
    credential,
    storage_credential,
)
from mlops_assets.settings.azure import AzureBackend, Cloud

pytestmark = pytest.mark.azure


def a_backend(**changes):
    return AzureBackend(
        **{
            "subscription": "s",
            "resource_group": "g",
            "location": "westeurope",
            "storage_account": "mlops",
            "registry": "r",
            "workspaces": {},
            **changes,
        }
    )


@pytest.mark.parametrize(
    "blob",
    ["http://127.0.0.1:10000/mlops", "https://mlops.blob.core.localhost:1", "http://[::1]:1/mlops"],
)
def test_an_emulator_on_this_machine_takes_the_key_of_the_environment(blob):
    found = storage_credential(a_backend(cloud=Cloud(blob=blob)), "dev", {STORAGE_KEY: "a2V5"})
    assert isinstance(found, AzureNamedKeyCredential)
    assert found.named_key == ("mlops", "a2V5")


@pytest.mark.parametrize(
    "blob",
    ["", "https://mlops.blob.core.windows.net", "http://127.0.0.1.example:1/mlops",
     "https://localhost@mlops.example/", "http://localhost.example/"],
)  # fmt: skip
def test_a_key_counts_nowhere_else(blob):
    backend = a_backend(cloud=Cloud(blob=blob))
    found = storage_credential(backend, "dev", {STORAGE_KEY: "a2V5"})
    assert isinstance(found, DefaultAzureCredential)


def test_without_a_key_an_emulator_is_asked_as_azure_is():
    backend = a_backend(cloud=Cloud(blob="https://127.0.0.1:10000/mlops"))
    assert isinstance(storage_credential(backend, "dev", {}), DefaultAzureCredential)


def test_a_role_is_its_own_managed_identity_where_the_settings_name_one():
    backend = a_backend(identities={"etl": "client-of-etl", "prod": "client-of-prod"})

    def named(role):
        return {
            text
            for each in credential(backend, role).credentials
            for text in map(str, _values(each))
            if text.startswith("client-of-")
        }

    assert named("etl") == {"client-of-etl"}
    assert named("prod") == {"client-of-prod"}
    assert named("dev") == set()


class Link:
    """A link of the chain that asks anew each time, as `az login` does."""

    def __init__(self, seconds):
        self.asked, self._seconds = [], seconds

    def get_token(self, *scopes, **_):
        self.asked.append(scopes)
        return AccessToken(f"t{len(self.asked)}", int(time.time()) + self._seconds)

    def get_token_info(self, *scopes, options=None):
        token = self.get_token(*scopes)
        return AccessTokenInfo(token.token, token.expires_on)


def chain_of(link):
    chain = KeptChain()
    chain.credentials = (link,)
    return chain


def test_a_token_is_asked_for_once_a_scope():
    link = Link(3600)
    chain = chain_of(link)
    assert [chain.get_token("a").token for _ in range(3)] == ["t1"] * 3
    more = [chain.get_token("b"), chain.get_token_info("a"), chain.get_token_info("a")]
    more.append(chain.get_token("a", claims="more"))
    assert [each.token for each in more] == ["t2", "t3", "t3", "t4"]
    assert link.asked == [("a",), ("b",), ("a",), ("a",)]


def test_a_token_that_ends_within_minutes_is_asked_for_anew():
    chain = chain_of(Link(200))
    assert [chain.get_token("a").token for _ in range(3)] == ["t1", "t2", "t3"]


def test_whoever_is_the_same_shares_its_tokens_until_the_environment_is_another(monkeypatch):
    backend = a_backend(identities={"etl": "client-of-etl"})
    first = credential(backend, "etl")
    assert credential(backend, "etl") is first
    assert credential(backend, "prod") is not first
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    assert credential(backend, "etl") is not first


def _values(thing, depth=4):
    if depth == 0:
        return
    for value in (vars(thing) if hasattr(thing, "__dict__") else {}).values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from map(str, value.values())
        else:
            yield from _values(value, depth - 1)
