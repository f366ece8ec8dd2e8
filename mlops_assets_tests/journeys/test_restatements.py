"""Injected restatements: each one flagged on its circuit and recorded, and nothing else.

Slices with changed, repeated, later, earlier and restored values go through the ETL into tables on
a disk. What must be flagged is kept by this test alone, in plain dictionaries. ``make
restatements`` injects 1,000 (some 6 minutes); the suite 40. MLOPS_RESTATEMENTS and
MLOPS_RESTATEMENTS_SEED set both.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

from deltalake import DeltaTable

from mlops_assets.flows.readings import ingest
from mlops_assets.flows.restatement import stale_data
from mlops_assets.flows.training_data import register, trained_until
from mlops_assets.settings import HomeLayout
from mlops_assets.stores.local import dev_of, lake_of
from mlops_assets_tests.fakes.readings import a_circuit, a_config, csv_of

INJECTED = int(os.environ.get("MLOPS_RESTATEMENTS", "40"))
SEED = int(os.environ.get("MLOPS_RESTATEMENTS_SEED", "20240619"))
START = datetime(2024, 5, 1, tzinfo=UTC)
NOW = datetime(2024, 6, 30, tzinfo=UTC)
DAYS = 30
# Hours that some training set covers.
LAST = 20 * 24
CUTOFFS = (date(2024, 5, 12), date(2024, 5, 20))
KEYS = [f"P{plant}/C{circuit}" for plant in (1, 2, 3) for circuit in (1, 2, 3, 4)]


class Home:
    """Twelve circuits; the odd ones learn from ``rain``; every tenth hour is a gap."""

    def __init__(self, root):
        self.layout = HomeLayout(root)
        self.layout.raw.mkdir(parents=True)
        self.lake, self.dev = lake_of(self.layout), dev_of(self.layout)
        self.random = random.Random(SEED)
        self.circuits = {
            key: a_circuit(key, features=("rain",) if number % 2 else ())
            for number, key in enumerate(KEYS)
        }
        self.config = a_config(*self.circuits.values(), features=("rain",))
        self.now = {
            (key, hour): [self.number(), self.number()]
            for key in KEYS
            for hour in range(DAYS * 24)
            if hour % 10
        }
        self.slices = 0
        self.sent = {}
        self.learned = {}
        self.recorded = []
        self.send([(key, hour) for key, hour in self.now])
        for cutoff in CUTOFFS:
            for key, circuit in self.circuits.items():
                spec = SimpleNamespace(**{**_fields(circuit.spec), "cutoff_date": cutoff})
                asked = SimpleNamespace(key=circuit.key, spec=spec, file=circuit.file)
                data, _ = register(self.lake, self.dev.training_data, asked, data_now=NOW)
                self.learned[key, str(data.version)] = {
                    (hour, column): self.now[key, hour][column]
                    for column in ((0, 1) if circuit.spec.features else (0,))
                    for hour in range(((cutoff - START.date()).days + 1) * 24)
                    if (key, hour) in self.now
                }

    def number(self):
        return round(self.random.uniform(1, 99), 3)

    def send(self, cells):
        """Let a slice arrive with these circuits' hours as they are to be from now on."""
        rows = [
            (*key.split("/"), (START + timedelta(hours=hour)).isoformat(), *self.now[key, hour])
            for key, hour in cells
        ]
        header = "plant_id,circuit_id,timestamp,value,rain"
        self.lake.landing.put(f"{self.slices:05}.csv", csv_of(rows, header=header))
        self.slices += 1
        for key, hour in cells if self.learned else ():
            for column, was in enumerate(self.sent.get((key, hour), ())):
                if hour < LAST and was != (value := self.now[key, hour][column]):
                    self.recorded.append((key, hour, column, was, value))
        self.sent |= {cell: tuple(self.now[cell]) for cell in cells}
        store = self.dev.training_data
        keys = [circuit.key for circuit in self.circuits.values()]
        return ingest(
            self.lake, self.config, now=NOW, trained_until=lambda: trained_until(store, keys)
        )

    def expected(self):
        """Per training set, the cells that it learned otherwise than they are now."""
        differing = {
            name: {
                (hour, column)
                for (hour, column), value in cells.items()
                if self.now[name[0], hour][column] != value
            }
            for name, cells in self.learned.items()
        }
        return {name: cells for name, cells in differing.items() if cells}

    def flagged(self):
        columns = {"value": 0, "rain": 1}
        return {
            (str(circuit), str(version)): {
                ((cell.timestamp - START) // timedelta(hours=1), columns[cell.column])
                for cell in found.cells
            }
            for (circuit, version), found in stale_data(self).items()
        }

    def inject(self):
        """One random change of one circuit; returns its cell, and whether it restates."""
        key = self.random.choice(KEYS)
        kind = self.random.choice(
            ["value", "value", "value", "rain", "back", "same", "late", "gap"]
        )
        hour = self.random.randrange(LAST)
        if kind == "gap":
            hour -= hour % 10
            self.now.setdefault((key, hour), [self.number(), self.number()])
            return (key, hour), 0
        hour += hour % 10 == 0
        if kind == "late":
            hour = self.random.choice([one for one in range(LAST, DAYS * 24) if one % 10])
        column = int(kind == "rain")
        before = self.now[key, hour][column]
        if kind == "back":
            for (circuit, _), cells in self.learned.items():
                if circuit == key:
                    self.now[key, hour][0] = cells.get((hour, 0), before)
        elif kind != "same":
            self.now[key, hour][column] = self.number()
        after = self.now[key, hour][column]
        restates = before != after and any(
            (hour, column) in cells
            for (circuit, _), cells in self.learned.items()
            if circuit == key
        )
        return (key, hour), int(restates)

    def log(self):
        columns = {"value": 0, "rain": 1}
        return [
            (
                f"{row['plant_id']}/{row['circuit_id']}",
                (row["timestamp"] - START) // timedelta(hours=1),
                columns[row["column"]],
                row["old_value"],
                row["new_value"],
            )
            for row in self.lake.restatements.read().iter_rows(named=True)
        ]

    def compact_and_vacuum(self):
        for path in (self.layout.readings, self.layout.restatements):
            if (path / "_delta_log").is_dir():
                table = DeltaTable(path)
                table.optimize.compact()
                table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def _fields(spec):
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def test_every_restatement_is_flagged_on_its_circuit_and_nothing_else_is(tmp_path):
    home = Home(tmp_path)
    assert home.flagged() == {}
    injected = 0
    print(f"seed {SEED}, {INJECTED} restatements")
    while injected < INJECTED:
        several = [home.inject() for _ in range(home.random.randint(1, 6))]
        injected += sum(restates for _, restates in several)
        home.send(dict.fromkeys(cell for cell, _ in several))
        if home.slices % 10 == 0:
            assert home.flagged() == home.expected()
    assert home.flagged() == home.expected()
    assert len(home.expected()) > len(KEYS) / 2
    assert sorted(home.log()) == sorted(home.recorded)
    home.compact_and_vacuum()
    assert home.flagged() == home.expected()
    home.send([(key, hour) for key, hour in home.now if home.random.random() < 0.05])
    assert home.flagged() == home.expected()
