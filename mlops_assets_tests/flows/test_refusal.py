"""Who hears of a release that was rejected, and of config that is refused."""

from __future__ import annotations

import pytest

from mlops_assets.domain.errors import ConfigError, RefusedError
from mlops_assets.flows.refusal import config_or_last_good
from mlops_assets.resources import config_repository, open_platform
from mlops_assets.resources.home import initialise
from mlops_assets.settings import Settings
from mlops_assets_tests.fakes.release import AUTHOR, ENGINEER
from mlops_assets_tests.flows.test_alert import Watched


@pytest.fixture
def home():
    return Watched()


def test_a_rejected_release_is_told_to_who_asked_for_it_and_to_the_owners(home):
    made = home.create()
    home.request(made, "registry", requester=AUTHOR)
    home.reject(made, "registry", ENGINEER)
    (one,) = home.raised("release_rejected")
    assert one.owners == (AUTHOR, "team:works")
    assert f"rejected by {ENGINEER}" in one.subject
    assert one.command == f"mlops release show {made}"


def test_a_release_that_the_platform_asked_for_is_told_to_the_owners(home):
    made = home.create()
    home.reject(made, "registry", ENGINEER)
    (one,) = home.raised("release_rejected")
    assert one.owners == ("team:works",)


def test_what_was_rejected_long_ago_is_no_news(home):
    made = home.create()
    home.reject(made, "registry", ENGINEER)
    home.tick(days=4)
    assert home.raised("release_rejected") == []


@pytest.fixture
def settings(tmp_path):
    made = Settings(tmp_path / "home", tmp_path / "home" / "config")
    initialise(made)
    return made


def commit(settings, text):
    return config_repository(settings).commit(
        {"release_policy.yml": text}, message="Policy", author="eve@co.example", branch=None
    )


def test_the_newest_config_that_can_be_read_stands_in_for_one_that_cannot(settings):
    platform = open_platform(settings)
    good = config_or_last_good(platform)
    assert good.commit == platform.config.head()
    commit(settings, b"format: 1\n")
    commit(settings, b"format: 2\n")
    assert config_or_last_good(platform).commit == good.commit


def test_where_no_config_was_ever_good_the_newest_says_why(settings, tmp_path):
    other = Settings(settings.home, tmp_path / "other")
    config_repository(other).create(tmp_path / "other")
    commit(other, b"format: 1\n")
    with pytest.raises((ConfigError, RefusedError), match="begins with"):
        config_or_last_good(open_platform(other))
