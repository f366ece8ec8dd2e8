"""Config is read whole or refused whole, each mistake with file, line, field and remedy."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.local.config import GitConfigRepository
from mlops_assets.catalog import load, parse_yaml
from mlops_assets.domain.errors import ConfigError
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef
from mlops_assets.forecasters.catalogue import ALGORITHMS
from mlops_assets_tests.catalog.files import FILES, HASH, SPEC, loaded, problems, spec

ROOT = Path(__file__).resolve().parents[2]


def test_a_config_says_what_should_exist():
    config = loaded()
    first, second = config.circuits.values()
    assert config.commit == "c" * 40
    assert str(first.key) == "P001/C001"
    assert first.spec.cutoff_date == date(2026, 6, 23)
    assert first.owners == ("team:works",)
    assert first.file == SPEC
    assert dict(second.spec.hyperparameters) == {"window_days": 60, "log": True}
    assert first.spec_digest != second.spec_digest
    assert config.policy.maximum_parallel_training == 5


def test_sections_of_the_policy_become_the_policy():
    policy = loaded(
        policy=FILES["release_policy.yml"] + "four_eyes: off\nrollback: {automatic: true}\n"
        "training: {max_parallel: 3, timeout_minutes: 5}\n"
        "readings: {freshness_hours: 6}\nruns: {keep_days: 7}\ngates: {minimum_skill: 0.1}\n"
    ).policy
    assert policy.four_eyes == "off"
    assert policy.automatic_rollback
    assert policy.maximum_parallel_training == 3
    assert (policy.training_timeout_minutes, policy.training_memory_gigabytes) == (5, 4)
    assert (policy.freshness_hours, policy.keep_runs_days) == (6, 7)
    assert policy.gates.minimum_skill == 0.1


def test_the_digest_of_an_environment_covers_its_packages_and_not_its_summary():
    def digest(text):
        ref = EnvironmentRef.parse("forecasting:1.0.0")
        return loaded(environment=text).environments[ref].digest

    text = FILES["environments/forecasting/1.0.0.yml"]
    assert digest(text) == digest(text.replace("What models need", "Other words"))
    assert digest(text) != digest(text.replace("2.0.0", "2.0.1"))
    assert digest(text) != digest(text.replace('"3.11"', '"3.12"'))
    assert digest(text) != digest(text.replace("a" * 64, "b" * 64))


def test_feature_columns_are_those_of_all_specs_without_the_calendar():
    config = loaded(spec=spec("features: [wind, hour_of_day]"))
    assert config.feature_columns == ("wind",)


def test_the_shipped_config_is_sound_and_believable():
    files = GitConfigRepository(ROOT / "config").working_files()
    config = load(files, commit="c" * 40, algorithms=ALGORITHMS)
    assert (len(config.plants), len(config.circuits)) == (4, 20)
    specs = [circuit.spec for circuit in config.circuits.values()]
    assert {each.interval for each in specs} == {"15min", "30min", "1h"}
    assert len({each.timezone for each in specs}) == 4
    assert len({len(plant.circuits) for plant in config.plants.values()}) > 1


def test_the_shipped_environment_pins_what_the_lock_installs():
    lock = (ROOT / "requirements.lock").read_text()
    files = GitConfigRepository(ROOT / "config").working_files()
    (environment,) = load(files, commit="c" * 40, algorithms=ALGORITHMS).environments.values()
    for package in environment.packages:
        found = re.search(
            rf"^{package.name}==({re.escape(package.version)})[^\n\\]*\\\n((?:    --hash.*\n)+)",
            lock,
            re.MULTILINE,
        )
        assert found, f"{package.name} {package.version} is not in requirements.lock"
        assert sorted(package.hashes) == sorted(re.findall(r"--hash=(\S+)", found[2]))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("horizon: 010", "horizon: 010 is not a whole number: write 10"),
        ("horizon: 1e3", "horizon: 1e3 is not a whole number: write 1000"),
        ("horizon: 12:30:45", "horizon: 12:30:45 is not a whole number: write digits such as 24"),
        ('horizon: "24"', 'horizon: "24" is text: write it without quotes'),
        ("horizon: [24]", "horizon: write one value here"),
        ("horizon:", "horizon: empty: write a value or leave the line out"),
        ("horizon: 0", "horizon: 0: write 1 to 336"),
        ("horizon: 337", "horizon: 337: write 1 to 336"),
        ("horizont: 24", "horizont: unknown key: did you mean horizon?"),
        ("zzz: 24", "zzz: unknown key: write one of cutoff_date, effort, environment"),
        ("unit: no", 'unit: no: write "no", YAML readers disagree about it without quotes'),
        ("unit: 010", 'unit: 010: write 10 or "010"'),
        ("unit: 1e3", 'unit: 1e3: write 1000 or "1e3"'),
        ("unit: 12:30:45", 'unit: 12:30:45: write "12:30:45"'),
        ("unit: 2026-01-01", 'unit: 2026-01-01: write "2026-01-01"'),
        ("effort: quick", "effort: quick is unknown: write one of balanced, best, fast"),
        ("interval: 2h", "interval: 2h is unknown: write one of 15min, 1h, 30min"),
        ("timezone: Europe/Berln", "no IANA zone: did you mean Europe/Berlin?"),
        ("timezone: ../../etc/passwd", "timezone: ../../etc/passwd is no IANA zone"),
        ("environment: forecasting:2.0.0", "is not in environments/: did you mean forecasting:1"),
        ("environment: v1", "environment: 'v1' is not NAME:MAJOR.MINOR.PATCH"),
        ("forecaster: mstl_armia", "forecaster: mstl_armia is unknown: did you mean mstl_arima?"),
        ('forecaster: "x\\n"', r"forecaster: x\n is unknown"),
        ('"\\e[2J": 1', r"\x1b[2J: unknown key"),
        ("features: wind", "features: not a list: write [FIRST, SECOND]"),
        ("features: [value]", "features[0]: value is a column of every reading: name another"),
        ("features: [a b]", "features[0]: a b: write a letter, then letters, digits or _"),
        ("features: [wind, wind]", "features[1]: wind is there twice: keep one of them"),
        ("limits: 3", "limits: not a mapping: write `name: value` lines"),
        ("limits: {minimum: 1e3}", "limits.minimum: 1e3 is not a number: write 1000"),
        ("limits: {minimum: .5}", "limits.minimum: .5 is not a number: write 0.5"),
        ("limits: {minimum: x}", "limits.minimum: x is not a number: write digits"),
        ("limits: {minimum: 5, maximum: 5}", "limits.minimum: 5.0 is not below the maximum 5.0"),
        ("limits: {maximum_gap_hours: 0}", "limits.maximum_gap_hours: 0: write 1 to 336"),
        ("hyperparameters: {window_days: 9}", "window_days: unknown key: there is none here"),
        ("hyperparameters: 3", "hyperparameters: not a mapping"),
        (
            "forecaster: mstl_arima\nhyperparameters: {window: 60}",
            "hyperparameters.window: unknown key: did you mean window_days?",
        ),
        (
            "forecaster: mstl_arima\nhyperparameters: {window_days: 1}",
            "hyperparameters.window_days: 1: write 7 to 730",
        ),
        (
            "forecaster: mstl_arima\nhyperparameters: {log: yes}",
            "hyperparameters.log: yes is neither: write true or false",
        ),
        (
            "forecaster: auto_ets\nhyperparameters: {trend: up}",
            "hyperparameters.trend: up is unknown: write one of additive, auto, damped, none",
        ),
        (
            "forecaster: median\nhyperparameters: {members: auto_ets}",
            "hyperparameters: median: members: 'auto_ets' is not two to sixteen different labels",
        ),
    ],
)
def test_a_mistake_in_a_spec_says_what_to_write_instead(line, problem):
    found = problems(spec=spec(line))
    assert len(found) == 1
    assert found[0].startswith(f"{SPEC}:")
    assert problem in found[0]


def test_null_is_no_limit():
    limits = loaded(spec=spec("limits: {minimum: null, maximum: 5}"))
    assert limits.circuits[CircuitKey("P001", "C001")].spec.limits.minimum is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("format: 1\n", f"{SPEC}:1: cutoff_date: missing: write it (last whole local day"),
        ("cutoff_date: 2026-06-23\n", f"{SPEC}:1: format: missing: write `format: 1`"),
        ("format: 2\ncutoff_date: 2026-06-23\n", ":1: format: 2 is not read here: write 1"),
        ("format: one\ncutoff_date: 2026-06-23\n", ":1: format: one is not a whole number"),
        ("format: 1\ncutoff_date: 2026-06-31\n", ":2: cutoff_date: 2026-06-31 is not a date"),
        ("format: 1\ncutoff_date: 23.06.2026\n", ":2: cutoff_date: 23.06.2026 is not a date"),
        ("format: 1\ncutoff_date: 1999-01-01\n", "lies outside the years 2000 to 2099"),
        (None, f"{SPEC}: missing, though plants_circuits.yml lists P001/C001"),
        ("- a\n", ":1: not a mapping: write `name: value` lines"),
        ("", ":1: the file is empty: begin with `format: 1`"),
        ("# nothing\n", ":1: the file is empty: begin with `format: 1`"),
    ],
)
def test_a_spec_that_is_no_spec_is_refused(text, problem):
    assert problem in problems(spec=text)[0]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"master": None}, "plants_circuits.yml: missing: write this file"),
        ({"policy": None}, "release_policy.yml: missing: write this file"),
        (
            {"master": FILES["plants_circuits.yml"].replace("C002]", "C002, c001]")},
            "plants.P001.circuits[2]: c001 and C001 differ only by case: name one otherwise",
        ),
        (
            {"master": FILES["plants_circuits.yml"].replace("C002]", "C002, 010]")},
            'plants.P001.circuits[2]: 010: write 10 or "010"',
        ),
        (
            {"master": FILES["plants_circuits.yml"].replace("C002]", 'C002, "a/b"]')},
            "plants.P001.circuits[2]: 'a/b' is not an id",
        ),
        (
            {"master": FILES["plants_circuits.yml"].replace("team:works", "somebody")},
            "plants.P001.owners[0]: somebody: write an e-mail address or team:NAME",
        ),
        (
            {"master": FILES["plants_circuits.yml"].replace("[team:works]", "[]")},
            "plants.P001.owners: empty: write at least one",
        ),
        (
            {"plants/P001/C003.yml": spec()},
            "plants/P001/C003.yml: plants_circuits.yml does not list P001/C003: add it there",
        ),
        ({"plants/P001/C003.yaml": spec()}, "plants/P001/C003.yaml: nothing reads it"),
        ({"notes.yml": "x: 1"}, "notes.yml: nothing reads it: name it plants/PLANT/CIRCUIT.yml"),
        ({"plants/P001/a b.yml": spec()}, "plants/P001/a b.yml: 'a b' is not an id"),
        ({"environments/forecasting/1.0.yml": "x: 1"}, "'1.0' is not MAJOR.MINOR.PATCH"),
        (
            {"environment": FILES["environments/forecasting/1.0.0.yml"].replace(HASH, "md5:1")},
            "packages.numpy.hashes[0]: md5:1: write sha256: and 64 hexadecimal digits",
        ),
        (
            {"environment": FILES["environments/forecasting/1.0.0.yml"].replace('"3.11"', "3.11")},
            "python: 3.11: write",
        ),
        (
            {"environment": FILES["environments/forecasting/1.0.0.yml"].replace("numpy", "NumPy")},
            "packages.NumPy: NumPy: write the package's name in lower case",
        ),
        (
            {"policy": FILES["release_policy.yml"].replace("[ml_engineer]", "[viewer]")},
            "registry.roles[0]: viewer may not approve here",
        ),
        (
            {"policy": FILES["release_policy.yml"] + "quality: {fail_wape_ratio: 1.2}\n"},
            "quality.fail_wape_ratio: 1.2 is below warn_wape_ratio 1.5: mend one",
        ),
        (
            {"policy": FILES["release_policy.yml"] + "gates: {minimum_skill: -1}\n"},
            "gates.minimum_skill: -1.0: write 0 to 1",
        ),
        (
            {"policy": "format: 1\nregistry: {roles: [ml_engineer], expires_hours: 48}\n"},
            "registry.expires_hours: 48: write 1 to 24",
        ),
    ],
)
def test_a_mistake_in_another_file_says_what_to_write_instead(changed, problem):
    assert any(problem in found for found in problems(**changed)), problems(**changed)


def test_every_problem_of_every_file_is_in_one_report():
    found = problems(
        spec="format: 1\ncutoff_date: today\nhorizon: 0\ntimezone: Nowhere\nx: 1\n",
        policy="format: 1\n",
        master="format: 1\nplants:\n  P001: {name: W, owners: [x], circuits: [C001]}\n",
    )
    fields = [line.split(": ")[1] for line in found]
    assert fields == [
        "cutoff_date",
        "horizon",
        "timezone",
        "x",
        "plants.P001.owners[0]",
        "registry",
        "production",
    ]


def test_a_broken_environment_is_not_blamed_on_its_specs():
    assert len(problems(environment="format: 1\npython: x\n")) == 3


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a: &x 1", "1: anchor &x: leave it out"),
        (b"a: *x", "1: alias *x: write the value out"),
        (b"b: 1\n<<: {a: 1}", "2: merge key <<: write the fields out"),
        (b"a: !!int 3", "1: tag tag:yaml.org,2002:int: leave it out"),
        (b"a: !!python/object/apply:os.system [x]", "1: tag tag:yaml.org"),
        (b"[" * 3000, "more than 20 levels: write it flatter"),
        (b"a: 1\nb: \xff", "2: not UTF-8: save the file as UTF-8"),
        (b"a: 1\nb: 2\na: 3", "3: a: already in line 1: keep one of them"),
        (b"a: [1\nb", "not YAML: "),
        (b"a: 1\n---\nb: 1", "a second document: keep one in a file"),
        (b"x" * 65537, "65537 bytes: write at most 65536"),
        (b"a: \x00", "not YAML: "),
        (b"? [a]\n: 1", "1: a key that is no text: write `name: value`"),
    ],
)
def test_what_yaml_offers_beyond_plain_text_is_refused(data, problem):
    found = problems(spec=data)
    assert len(found) == 1
    assert problem in found[0]


def test_the_list_of_circuits_may_be_longer_than_any_other_file():
    master = FILES["plants_circuits.yml"]
    assert loaded(master=master + "#" * 300_000).circuits
    assert "write at most 4194304" in problems(master=master + "#" * 4_200_000)[0]


def test_an_alias_bomb_costs_nothing():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "anchor &a" in problems(spec=bomb)[0]


def test_the_strict_preset_is_one_line_and_only_makes_a_policy_stricter():
    strict = loaded(policy=FILES["release_policy.yml"] + "preset: strict\n").policy
    assert (strict.registry.quorum, strict.production.quorum) == (1, 2)
    assert strict.gates.coverage_blocks
    three = FILES["release_policy.yml"] + "  quorum: 3\npreset: strict\n"
    assert loaded(policy=three).policy.production.quorum == 3
    standard = loaded(policy=FILES["release_policy.yml"] + "preset: standard\n").policy
    assert standard == loaded().policy


def test_the_strict_preset_does_not_go_with_four_eyes_off():
    text = FILES["release_policy.yml"] + "preset: strict\nfour_eyes: off\n"
    (problem,) = problems(policy=text)
    assert "four_eyes: off beside preset: strict: take one of them out" in problem


def test_the_shipped_policy_is_made_strict_by_one_word():
    shipped = Path(__file__).parents[2].joinpath("config/release_policy.yml").read_text()
    assert shipped.count("preset: standard") == 1
    strict = loaded(policy=shipped.replace("preset: standard", "preset: strict")).policy
    assert strict.production.quorum == 2


def test_documents_of_others_are_read_as_strictly():
    assert parse_yaml(b"format: 1\nkeys: []\nx: {y: [a, true, null, 010, 2024-01-01]}\n", "f") == {
        "format": 1,
        "keys": [],
        "x": {"y": ["a", True, None, "010", "2024-01-01"]},
    }
    with pytest.raises(ConfigError, match="f:2: a: already in line 1"):
        parse_yaml(b"a: 1\na: 2\n", "f")


_MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(sorted(set(FILES) - {"trust/roles.yml"})),
        st.integers(0, 400),
        st.integers(0, 12),
        st.sampled_from(
            ["", "&a ", "*a", ": ", "- ", "[", "{", '"', "\t", "é", "\x07", "010", "\n"]
        ),
    ),
    min_size=1,
    max_size=3,
)


@given(_MUTATIONS)
def test_any_damage_is_read_or_refused_with_a_file_and_advice(mutations):
    files = dict(FILES)
    for name, place, cut, text in mutations:
        files[name] = files[name][:place] + text + files[name][place + cut :]
    try:
        loaded(**files)
    except ConfigError as error:
        for problem in error.problems:
            assert problem.file
            assert problem.advice
            assert "\n" not in str(problem)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with suppress(ConfigError):
        loaded(spec=data)


@given(st.text(max_size=12))
def test_text_that_is_accepted_without_quotes_is_text_to_every_reader(text):
    try:
        config = loaded(spec=spec(f"unit: {text}"))
    except ConfigError:
        return
    unit = config.circuits[CircuitKey("P001", "C001")].spec.unit
    read = yaml.load(f"unit: {text}", Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    assert read["unit"] == unit
