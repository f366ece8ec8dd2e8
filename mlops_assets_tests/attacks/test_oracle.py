"""A short part of the comparison with ssh-keygen."""

from __future__ import annotations

import shutil

import pytest

from mlops_assets_tests.attacks.oracle import SEED, compared

SIGNATURES = 280

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def test_nothing_counts_here_that_ssh_keygen_refuses(tmp_path):
    print(f"seed {SEED}")
    found = compared(SIGNATURES, tmp_path)
    assert found.wrong == []
    assert sum(sum(said.values()) for said in found.counts.values()) == SIGNATURES
    for kind in ("good: as ssh-keygen signs", "good: SHA-256"):
        assert found.counts[kind].keys() == {(True, True)}
    for kind in ("good, of another person", "good, of another statement"):
        assert found.counts[kind].keys() == {(False, False)}
