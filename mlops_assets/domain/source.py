"""Sources of readings as `sources.yml` declares them: SQL tables, and folders of raw files.

What a file cannot prove about itself is declared here: the zone of its stamps, the order of its
dates, its decimal mark, its units. Nothing of a source is a secret: a table names the environment
variable that holds its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mlops_assets.domain.identifiers import digest_of
from mlops_assets.domain.unit import UNCHANGED, Conversion, conversion, factor_conversion

if TYPE_CHECKING:
    from mlops_assets.domain.identifiers import CircuitKey

_Value = TypeVar("_Value")

# Where rows of SQL tables lie in the landing zone.
HISTORIAN = "historian/"
REQUIRED_COLUMNS = ("plant_id", "circuit_id", "timestamp", "value")


def _doc(text: str) -> dict[str, Any]:
    return {"doc": text}


def _within(text: str, minimum: float, maximum: float) -> dict[str, Any]:
    return {"doc": f"{text}, {minimum} to {maximum}", "minimum": minimum, "maximum": maximum}


_ZONE = _doc("IANA zone of stamps that carry no offset")
_UNIT = _doc("unit of its values where it is not each circuit's own; converted or refused")
_UNITS = _doc("unit of some circuits, by P001/C003 or P001/*")
_FACTORS = _doc(
    "what the values of some circuits are multiplied by instead, by P001/C003 or P001/*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """What a table calls the columns of a reading."""

    plant_id: str = field(default="plant_id", metadata=_doc("column of the plant id"))
    circuit_id: str = field(default="circuit_id", metadata=_doc("column of the circuit id"))
    timestamp: str = field(default="timestamp", metadata=_doc("column of the stamp"))
    value: str = field(default="value", metadata=_doc("column of the reading"))
    features: Mapping[str, str] = field(
        default_factory=dict, metadata=_doc("feature of the specs to column; no other is read")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """One SQL table of readings. A login that can only read is enough, and all it should have."""

    kind: Literal["mssql", "postgresql", "sqlite"] = field(
        metadata=_doc("mssql for a Synapse dedicated pool or SQL Server")
    )
    url_variable: str = field(
        metadata=_doc("NAME of the environment variable that holds the SQLAlchemy URL")
    )
    table: str = field(metadata=_doc("table or view"))
    schema: str = field(default="", metadata=_doc("its schema"))
    columns: TableColumns = field(default_factory=TableColumns, metadata=_doc("column names"))
    modified_at: str = field(
        default="",
        metadata=_doc("column that says when a row last changed; without it days are read again"),
    )
    look_back_days: int = field(
        default=3,
        metadata=_within("days before the newest stamp that are read again without it", 1, 400),
    )
    overlap_minutes: int = field(
        default=120,
        metadata=_within(
            "minutes before the newest modified_at that are read again with it, for rows that were "
            "committed late",
            1,
            10_080,
        ),
    )
    timeout_seconds: int = field(
        default=300, metadata=_within("seconds after which reading it is given up", 1, 7200)
    )
    timezone: str = field(default="UTC", metadata=_ZONE)
    unit: str = field(default="", metadata=_UNIT)
    units: Mapping[str, str] = field(default_factory=dict, metadata=_UNITS)
    factors: Mapping[str, float] = field(default_factory=dict, metadata=_FACTORS)

    @property
    def identity(self) -> str:
        """Digest of what is read; another table or column is read from its beginning."""
        columns = self.columns
        return digest_of(
            {
                "schema": self.schema,
                "table": self.table,
                "columns": {name: getattr(columns, name) for name in REQUIRED_COLUMNS},
                "features": dict(columns.features),
                "modified_at": self.modified_at,
            }
        )[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """One folder of the landing zone, with what is below it."""

    timezone: str = field(default="UTC", metadata=_ZONE)
    dates: Literal["proved", "day", "month"] = field(
        default="proved",
        metadata=_doc("which comes first in 3/4/2024; proved: as the files beside it show"),
    )
    decimals: Literal["proved", "point", "comma"] = field(
        default="proved",
        metadata=_doc("the decimal mark; proved: as the column or its separator shows"),
    )
    unit: str = field(default="", metadata=_UNIT)
    units: Mapping[str, str] = field(default_factory=dict, metadata=_UNITS)
    factors: Mapping[str, float] = field(default_factory=dict, metadata=_FACTORS)


Source = TableSource | FolderSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that `sources.yml` declares, tables by name, folders by path."""

    tables: Mapping[str, TableSource] = field(
        default_factory=dict, metadata=_doc("name to SQL table")
    )
    folders: Mapping[str, FolderSource] = field(
        default_factory=dict, metadata=_doc("folder of the landing zone to what its files are")
    )

    def of(self, path: str) -> Source:
        """Return what is declared for a raw file: its table, else the nearest folder above it."""
        for name, table in self.tables.items():
            if path.startswith(extract_folder(name, table)):
                return table
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            if folder in self.folders:
                return self.folders[folder]
        return FolderSource()


def extract_folder(name: str, table: TableSource) -> str:
    """Return the folder of the landing zone that takes the rows of a table."""
    return f"{HISTORIAN}{name}-{table.identity}/"


def conversion_of(source: Source, key: CircuitKey, wanted: str) -> Conversion | None:
    """Return how a circuit's values become its own unit; None where nobody declared it."""
    factor = _nearest(source.factors, key)
    if factor is not None:
        return factor_conversion(factor)
    sent = _nearest(source.units, key)
    if sent is None:
        sent = source.unit
    return UNCHANGED if not sent else conversion(sent, wanted)


def _nearest(by_circuit: Mapping[str, _Value], key: CircuitKey) -> _Value | None:
    """What is declared for a circuit, else for its plant."""
    return by_circuit.get(str(key), by_circuit.get(f"{key.plant_id}/*"))
