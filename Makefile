# Every target works as the first command on a fresh clone: it makes .venv from the lock.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SPARK  := $(VENV)/.spark-installed
AZURE  := $(VENV)/.azure-installed
AZURITE := .azurite/.installed
HOME_DIR ?= .mlops

.DEFAULT_GOAL := help
.PHONY: help setup azure demo test check format ui lock clean mltable coverage spark azurite restatements lives races forgery attacks replay mutants faults malformed bench

help:
	@echo "make demo   the whole loop on this machine, in .mlops"
	@echo "make ui     Dagster's web server and daemon on that home"
	@echo "make test   the test suite          make check  format, lint, types, import contracts, docs"
	@echo "make spark  adds Spark (about 500 MB) for MLOPS_ENGINE=spark; needs Java 17 and Maven"
	@echo "make azure  adds what a home on Azure needs (docs/azure.md)"
	@echo "make bench  every figure of docs/benchmarks.md; JSON=--json, QUICK=--quick"
	@echo "make lock   resolve the lock again  make clean  remove .venv and caches"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Spark and the jars of Delta, of their own locks: whoever runs without it need not have it.
spark: $(SPARK)

$(SPARK): $(STAMP) requirements-spark.lock mlops_assets/engines/spark/jars.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.lock
	$(BIN)/python -m mlops_assets.engines.spark.jars
	@touch $@

# Azurite, the storage emulator that tests of the Azure backend start (365 MB); needs node 18 or newer, and npm.
azurite: $(AZURITE)

$(AZURITE): mlops_assets_tests/azurite/package.json mlops_assets_tests/azurite/package-lock.json
	mkdir -p .azurite
	cp mlops_assets_tests/azurite/package.json mlops_assets_tests/azurite/package-lock.json .azurite/
	npm ci --prefix .azurite --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

# What the Azure backend needs, of a lock of its own: whoever runs without it need not have it.
azure: $(AZURE)

$(AZURE): $(STAMP) requirements-azure.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-azure.lock
	@touch $@

demo: $(STAMP)
	$(BIN)/mlops --home $(HOME_DIR) demo

ui: $(STAMP)
	$(BIN)/mlops --home $(HOME_DIR) ui

# What runs on Spark shares one cluster, so it has a process of its own.
test: $(STAMP) $(SPARK) $(AZURE) $(AZURITE)
	$(BIN)/python -m pytest -m spark -p no:randomly --cov --cov-report=
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-append --cov-report=term:skip-covered --cov-fail-under=90
	$(BIN)/python -m coverage report --include="mlops_assets/domain/gates.py,mlops_assets/domain/approval.py,mlops_assets/domain/manifest.py,mlops_assets/domain/release.py" --fail-under=100

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check_architecture.py
	@! grep -nE '://|--(extra-)?index-url|--find-links|--trusted-host' requirements*.lock || (echo "a lock holds an address: make lock"; exit 1)

# Kills, full disks, torn commits and writers at once, in full; a short part of it is in `test`.
faults: $(STAMP)
	$(BIN)/python -m mlops_assets_tests.faults

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# In full what the test suite does in short: prints its tables and fails on any surprise.
attacks: $(STAMP)
	$(BIN)/python -m mlops_assets_tests.attacks

# About half an hour of one core, on the committed tree; what survives is explained in docs/mutants.md.
mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutants.lock
	nice -n 10 $(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results
	mkdir -p mutants/tree && git archive HEAD | tar -x -C mutants/tree
	cd mutants/tree && export PATH=$(CURDIR)/$(BIN):$$PATH PYTHONPATH=. && \
	cosmic-ray init cosmic-ray.toml rest.sqlite --force && \
	python -m mlops_assets_tests.mutants rest.sqlite && \
	cosmic-ray baseline cosmic-ray.toml && \
	nice -n 10 cosmic-ray exec cosmic-ray.toml rest.sqlite && cr-report rest.sqlite

# The reader of Azure ML's own package has other pins than ours, so it lives in its own environment.
mltable: $(STAMP)
	test -x .venv-mltable/bin/python || $(PYTHON) -m venv .venv-mltable
	.venv-mltable/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mltable.lock
	MLTABLE_PYTHON=$(CURDIR)/.venv-mltable/bin/python $(BIN)/python -m pytest mlops_assets_tests -k mltable_reader -p no:randomly

# 1,000 injected restatements; the suite runs 40 of them.
restatements: $(STAMP)
	MLOPS_RESTATEMENTS=1000 $(BIN)/python -m pytest mlops_assets_tests/journeys/test_restatements.py -q -p no:randomly -s

# 1,000 random lives of releases against the model of them: about 12 minutes on one core.
lives: $(STAMP)
	MLOPS_SEQUENCES=1000 $(BIN)/python -m pytest mlops_assets_tests/flows/test_release_model.py -s -p no:randomly

# 200 races of two releases for one circuit, and 50 of one with itself.
races: $(STAMP)
	MLOPS_RACES=200 $(BIN)/python -m pytest mlops_assets_tests/journeys/test_race.py -s -p no:randomly

# 10,000 malformed raw files, config files and model files each: about ten minutes of one core.
malformed: $(STAMP)
	$(BIN)/python -m mlops_assets_tests.malformed

# 1,000 forged launches, every mutation and every report through a running web server.
forgery: $(STAMP)
	MLOPS_LAUNCHES=1000 $(BIN)/python -m pytest mlops_assets_tests/journeys/test_forgery.py -s -p no:randomly

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock pyproject.toml requirements-build.in
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --extra spark --constraint requirements.lock --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements-spark.lock pyproject.toml
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --extra azure --constraint requirements.lock --constraint requirements-spark.lock --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements-azure.lock pyproject.toml
	$(BIN)/python -m uv pip compile --quiet --python-platform linux --python-version 3.11 --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements-mltable.lock requirements-mltable.in
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --constraint requirements.lock --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements-mutants.lock requirements-mutants.in

# Every figure of docs/benchmarks.md, as a table or with JSON=--json: hours of two cores, on a machine
# that does nothing else. QUICK=--quick shows that they run.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(QUICK) $(JSON)

# The real readings in 1,440 slices of three hours, against one slice; some minutes.
replay: $(STAMP)
	$(BIN)/python -m benchmarks replay --json

clean:
	rm -rf $(VENV) .venv-mltable .azurite .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
