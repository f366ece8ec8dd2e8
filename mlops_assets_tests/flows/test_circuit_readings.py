"""Each circuit's share of the table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.flows.circuit_readings import circuit_readings
from mlops_assets.flows.readings import ingest
from mlops_assets_tests.fakes.readings import NOW, a_config, a_lake, csv_of
from mlops_assets_tests.flows.test_readings import C1, hours, local_lake


@pytest.fixture(params=["local", "fake"])
def lake(request, tmp_path):
    return local_lake(tmp_path) if request.param == "local" else a_lake()


def test_a_circuits_share_counts_rows_gaps_and_quarantined(lake):
    lake.landing.put("a.csv", csv_of(hours([1, "NA", "NA", 4])))
    ingest(lake, a_config(), now=NOW)
    shares = circuit_readings(lake, a_config().circuits)
    share = shares[C1]
    assert (share.rows, share.gaps, share.quarantined, share.restated) == (2, 2, 2, 0)
    assert share.last_timestamp == datetime(2024, 6, 1, 3, tzinfo=UTC)
    assert shares[CircuitKey("P1", "C2")].rows == 0
    assert shares[CircuitKey("P1", "C2")].first_timestamp is None
