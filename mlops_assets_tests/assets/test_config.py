"""What config wants is told when it is news, and git is asked for nothing else."""

from mlops_assets.assets.config import config_facts
from mlops_assets_tests.fakes.trained_home import TrainedHome


def test_only_a_spec_that_was_not_told_is_looked_up_in_git(tmp_path, monkeypatch):
    home = TrainedHome(tmp_path, "P1/C1", "P1/C2")
    platform, config = home.platform, home.config
    every = {fact.partition: fact for fact in config_facts(platform, config)}
    looked = []
    own = home.git.log
    monkeypatch.setattr(
        home.git, "log", lambda path, **which: looked.append(path) or own(path, **which)
    )

    told = {key: fact.version for key, fact in every.items() if key}
    again = list(config_facts(platform, config, told))
    assert [fact.asset for fact in again] == ["environment"]
    assert looked == []

    news = list(config_facts(platform, config, told | {"P1/C2": "another"}))
    assert [fact.partition for fact in news] == ["P1/C2", None]
    assert news[0] == every["P1/C2"]
