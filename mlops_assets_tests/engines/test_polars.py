"""A batch goes through in parts, so that a larger fleet needs no more memory."""

from mlops_assets.domain.forecast import Issued
from mlops_assets.domain.identifiers import CircuitKey
from mlops_assets.engines.polars import TOGETHER, PolarsEngine

KEYS = [CircuitKey(f"P{each // 100:03}", f"C{each % 100:02}") for each in range(2 * TOGETHER + 1)]


def test_every_circuit_is_done_once_in_its_place_and_so_many_at_a_time():
    parts = []

    def work(circuits):
        parts.append(len(circuits))
        return [Issued(circuit=circuit) for circuit in circuits]

    done = [issued.circuit for issued in PolarsEngine().issue(work, KEYS)]

    assert done == KEYS
    assert parts == [TOGETHER, TOGETHER, 1]


def test_no_part_is_begun_before_the_one_before_is_taken():
    begun = []

    def work(circuits):
        begun.append(circuits[0])
        yield from (Issued(circuit=circuit) for circuit in circuits)

    results = PolarsEngine().issue(work, KEYS)

    for place, key in enumerate(KEYS):
        assert next(iter(results)).circuit == key
        assert len(begun) == place // TOGETHER + 1


def test_no_circuit_is_no_work():
    assert list(PolarsEngine().issue(lambda _: 1 / 0, [])) == []
