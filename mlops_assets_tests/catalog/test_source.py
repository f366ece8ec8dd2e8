"""`sources.yml`: what it may say, and what is wrong with it by file, line and field."""

from __future__ import annotations

import pytest

from mlops_assets_tests.catalog.files import FILES, loaded, problems, spec

ENVIRONMENT = "".join(FILES["environments/forecasting/1.0.0.yml"].splitlines(keepends=True)[2:])
TABLE = (
    "format: 1\ntables:\n  north:\n    kind: mssql\n    url_variable: MLOPS_NORTH_URL\n"
    "    table: r\n"
)


def sources(text):
    return {"sources.yml": text}


def table(*lines):
    return sources(TABLE + "".join(f"    {line}\n" for line in lines))


def folder(*lines):
    return sources("format: 1\nfolders:\n  meters/north:\n" + "".join(f"    {x}\n" for x in lines))


def test_without_the_file_there_are_no_tables_and_every_file_is_utc():
    found = loaded().sources
    assert not found.tables
    assert found.of("any/file.csv").timezone == "UTC"


def test_tables_and_folders_are_read_with_their_defaults():
    text = TABLE + "folders:\n  meters:\n    timezone: Europe/Paris\n    dates: day\n"
    found = loaded(**sources(text)).sources
    north = found.tables["north"]
    assert (north.look_back_days, north.columns.value, north.modified_at) == (3, "value", "")
    assert found.of("meters/a/b.csv").timezone == "Europe/Paris"
    assert found.of("elsewhere/b.csv").timezone == "UTC"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (table("kind2: x"), "sources.yml:7: tables.north.kind2: unknown key"),
        (table("schema: a.b; drop"), "tables.north.schema: a.b; drop: write letters, digits and _"),
        (table("modified_at: x-y"), "tables.north.modified_at: x-y: write letters, digits and _"),
        (table("timezone: Mars/Base"), "tables.north.timezone: Mars/Base is no IANA zone"),
        (table("unit: furlongs"), "tables.north.unit: furlongs is no unit"),
        (table("look_back_days: 0"), "tables.north.look_back_days: 0: write 1 to 400"),
        (table("columns:", "  value: plant_id"), "columns: plant_id is named twice"),
        (
            table("columns:", "  features:", "    value: x"),
            "columns.features.value: value is a column of every reading",
        ),
        (
            table("columns:", "  features:", "    rain: a b"),
            "columns.features.rain: a b: write letters, digits and _ alone",
        ),
        (folder("dates: dmy"), "folders.meters/north.dates: dmy is unknown"),
        (folder("factors:", "  P001/C009: 2"), "factors.P001/C009: no such circuit"),
        (folder("factors:", "  P001/C001: 0"), "factors.P001/C001: 0 makes every value 0"),
        (folder("units:", "  P001/*: kW"), "kW converts to nothing there, P001/C001 names no unit"),
        (
            sources("format: 1\nfolders:\n  /x:\n    dates: day\n"),
            "/x: write a folder of the landing",
        ),
        (
            sources("format: 1\nfolders:\n  historian/x:\n    dates: day\n"),
            "rows of tables lie there",
        ),
        (sources("format: 1\ntables: {}\nextra: 1\n"), "sources.yml:3: extra: unknown key"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(changed, said):
    [found] = problems(**changed)
    assert found.startswith("sources.yml:")
    assert said in found


def test_a_unit_must_become_that_of_the_circuit():
    found = folder("units:", "  P001/C001: kW")
    assert loaded(spec=spec("unit: MW"), **found).sources.folders
    [problem] = problems(spec=spec("unit: m3/h"), **found)
    assert "kW converts to nothing there, P001/C001 is in m3/h: mend one or a factor" in problem


def test_an_address_in_the_place_of_a_variables_name_is_refused_and_not_shown():
    text = TABLE.replace("MLOPS_NORTH_URL", "mssql://u:canary-9f2c41@host/db")
    [found] = problems(**sources(text))
    assert "write the NAME of an environment variable" in found
    assert "canary" not in found


def test_text_that_is_as_long_as_a_page_is_not_said_again():
    [found] = problems(environment=f"format: 1\nsummary: {'9' * 4000}\n" + ENVIRONMENT)
    assert len(found) < 200
    assert "999...: write it in quotes" in found
