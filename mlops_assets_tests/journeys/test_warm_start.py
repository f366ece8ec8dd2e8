"""A retraining begins from what is live, costs no proof of it, and can be repeated to the byte."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta

from mlops_assets_tests.journeys.command import mlops
from mlops_assets_tests.journeys.people import commit

KEY = "P001/C001"


def test_a_warm_training_is_trained_again_to_the_same_bytes(demo_home):
    spec = demo_home / "config" / "plants" / "P001" / "C001.yml"
    text = spec.read_text()
    before = date.fromisoformat(re.findall(r"(?m)^cutoff_date: (\S+)", text)[0])
    later = before + timedelta(days=3)
    spec.write_text(text.replace(f"cutoff_date: {before}", f"cutoff_date: {later}"))
    commit(demo_home / "config", "Learn from three days more")
    trained = mlops(demo_home, "train", "--circuit", KEY)
    assert trained["trained"] == [KEY]
    folder = demo_home / "workspaces" / "dev" / "models" / "P001" / "C001"
    live, new = (json.loads((folder / version / "record.json").read_text()) for version in "12")
    assert live["tags"]["warm_start"] == "none"
    assert new["tags"]["warm_start"] == live["digest"]
    document = mlops(demo_home, "verify", "--reproduce", trained["release"])
    assert document["ok"], document["problems"]
    assert mlops(demo_home, "train", "--circuit", KEY)["skipped"] == [KEY]
