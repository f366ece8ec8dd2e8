"""Which mutations are left to cosmic-ray."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from mlops_assets_tests.mutants import WHOLE, lines_of_mutmut, reduce_session

SOURCE = """\
LIMIT = 3
def asked(count):
    return count > LIMIT
class Record:
    size: int = 0
    @property
    def large(self):
        return self.size > LIMIT
    @classmethod
    def empty(cls):
        return cls()
    def grown(self):
        return self.size + 1
"""


def test_constants_defaults_decorators_and_properties_are_left():
    assert lines_of_mutmut(SOURCE) == {2, 3, 10, 11, 12, 13}


def test_a_session_keeps_what_mutmut_passes_over_and_a_whole_module(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(SOURCE, encoding="utf-8")
    session = tmp_path / "session.sqlite"
    with closing(sqlite3.connect(session)) as store, store:
        store.execute("CREATE TABLE work_items (job_id)")
        store.execute("CREATE TABLE mutation_specs (job_id, module_path, start_pos_row)")
        for job, path, row in (("a", module, 3), ("b", module, 8), ("c", WHOLE, 3)):
            store.execute("INSERT INTO work_items VALUES (?)", (job,))
            store.execute("INSERT INTO mutation_specs VALUES (?, ?, ?)", (job, str(path), row))
    assert reduce_session(session) == (3, 2)
    with closing(sqlite3.connect(session)) as store:
        assert store.execute("SELECT job_id FROM work_items").fetchall() == [("b",), ("c",)]
