"""A whole platform in memory, ready for releases: config, people with keys, trained models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

from mlops_assets.domain.circuit import Circuit, Config, Environment, Policy, Spec, StagePolicy
from mlops_assets.domain.errors import ModelError, StaleError
from mlops_assets.domain.evidence import (
    FILES,
    HTML_FILE,
    PLATFORM_EMAIL,
    document_bytes,
    lineage_document,
)
from mlops_assets.domain.identifiers import CircuitKey, EnvironmentRef, digest_of_files, sha256
from mlops_assets.domain.model import ModelRecord
from mlops_assets.domain.signature import key_pair, read_public_line
from mlops_assets.domain.trust import Person, Signer
from mlops_assets.flows import approval, promotion, release, training_data
from mlops_assets.flows.evidence import released_commit
from mlops_assets.flows.review import document
from mlops_assets.flows.trust import trust_files
from mlops_assets.ports import CommitInfo, DevWorkspace, Platform, SharedRegistry
from mlops_assets_tests.fakes.evidence import FakeEvidenceStore
from mlops_assets_tests.fakes.forecast import FORECASTING, model_files
from mlops_assets_tests.fakes.ledger import FakeLedger
from mlops_assets_tests.fakes.serving import MIDNIGHT, NOW, Production
from mlops_assets_tests.fakes.training_data import FakeTrainingDataStore

ENGINEER = "engineer@co.example"
MANAGER = "manager@co.example"
AUTHOR = "author@co.example"
VIEWER = "viewer@co.example"
STRANGER = "stranger@co.example"
C1, C2, C3 = (CircuitKey("P001", f"C00{number}") for number in (1, 2, 3))
ENVIRONMENT = EnvironmentRef.parse("forecasting:1.0.0")


def keys_of(person, number=0):
    """The key pair of a person, the same in every test."""
    return key_pair(hashlib.sha256(f"{person}{number}".encode()).digest(), person)


def signer(person, number=0, **validity):
    """A person's line in the trust root."""
    key = read_public_line(keys_of(person, number).public_line)
    return Signer(principal=person, key=key, **validity)


PEOPLE = (
    Person(email=ENGINEER, roles=("ml_engineer",), git_emails=("eng@git.example",)),
    Person(email=MANAGER, roles=("engineering_manager",), git_emails=()),
    Person(email=AUTHOR, roles=("ml_engineer", "engineering_manager"), git_emails=()),
    Person(email=VIEWER, roles=("viewer",), git_emails=()),
)
TRUST = trust_files(PEOPLE, [signer(person.email) for person in PEOPLE])


class FakeConfigRepository:
    """A linear history of whole trees; commit ids count up."""

    ref = "refs/heads/main"

    def __init__(self, files):
        self.trees = {}
        self.infos = []
        self.notes = []
        self.add(files, author=PLATFORM_EMAIL, message="First config")

    def add(
        self,
        files,
        *,
        author,
        committer=None,
        co_authors=(),
        reviewers=(),
        reviews=(),
        message="Change",
    ):
        """Commit files on top of the head."""
        commit = f"{len(self.infos):040x}"
        before = self.trees[self.head()] if self.infos else {}
        self.trees[commit] = {**before, **files}
        self.infos.append(
            CommitInfo(
                commit=commit,
                author=author,
                committer=committer or author,
                co_authors=tuple(co_authors),
                reviewers=tuple(reviewers),
                subject=message,
                committed_at=NOW,
                pull_request=None,
                parent=self.head() if self.infos else None,
                reviews=tuple(reviews),
            )
        )
        return commit

    def head(self, ref=None):
        return self.infos[-1].commit

    def root_commit(self):
        return self.infos[0].commit

    def contains(self, ancestor, commit):
        return ancestor in self.trees and ancestor <= commit

    def files(self, commit):
        return dict(self.trees[commit])

    def changed(self, before, after):
        old, new = self.trees[before], self.trees[after]
        return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))

    def log(self, path, *, since, until):
        found = []
        for number, info in enumerate(self.infos):
            if info.commit > until or (since is not None and info.commit <= since):
                continue
            before = self.trees[self.infos[number - 1].commit] if number else {}
            after = self.trees[info.commit]
            touched = {name for name in {*before, *after} if before.get(name) != after.get(name)}
            if path is None or any(n == path or n.startswith(f"{path}/") for n in touched):
                found.append(info)
        return found[::-1]

    def reviews(self, *, since, until):
        return [each for each in self.log(None, since=since, until=until) if each.reviews]

    def commit(self, files, *, message, author, branch):
        return self.add(files, author=author, message=message)

    anchors_stay = False

    def voided(self):
        return {}

    def anchored(self):
        return list(self.notes)


class Models:
    """A model registry in memory; a test may damage what it holds."""

    def __init__(self):
        self.records = {}
        self.bytes = {}
        self.proofs = {}

    def register(self, record, files, proof=b""):
        name = (record.circuit, record.version)
        if self.records.setdefault(name, record) != record:
            raise StaleError(f"model {record.circuit} version {record.version} is another one")
        self.bytes.setdefault(name, dict(files))
        self.proofs.setdefault(name, proof)
        return record

    def publish(self, records):
        return iter([record.circuit for record in records])

    def next_version(self, circuit):
        return max((v for c, v in self.records if c == circuit), default=0) + 1

    def get(self, circuit, version):
        if (circuit, version) not in self.records:
            raise ModelError(f"model {circuit} version {version}: there is no such version")
        return self.records[circuit, version]

    def versions(self, circuit):
        return [self.records[name] for name in sorted(self.records) if name[0] == circuit]

    def circuits(self):
        return sorted({circuit for circuit, _ in self.records})

    def files(self, record):
        found = self.bytes[record.circuit, record.version]
        if digest_of_files(found) != record.digest:
            raise ModelError(f"model {record.circuit} version {record.version}: is damaged")
        return found

    def proof(self, record):
        return self.proofs[record.circuit, record.version]


class Environments:
    """An environment registry in memory."""

    def __init__(self):
        self.known = {}

    def register(self, environment):
        if self.known.setdefault(environment.ref, environment) != environment:
            raise StaleError(f"{environment.ref} has other content")
        return environment

    def get(self, ref):
        return self.known.get(ref)

    def list(self):
        return [self.known[ref] for ref in sorted(self.known)]


def environment(version="1.0.0", digest="e"):
    """A registered environment."""
    ref = EnvironmentRef.parse(f"forecasting:{version}")
    return Environment(ref=ref, python="3.11", packages=(), summary="", digest=digest * 64)


class ReleaseHome:
    """One home with circuits that are trained and proved, and the commands of its people."""

    def __init__(self, *circuits, four_eyes="required", quorum=1):
        self.now = NOW
        self.circuits = list(circuits or (C1, C2))
        self.production = Production()
        files = {f"plants/{key}.yml": b"spec" for key in self.circuits}
        self._store({**files, **TRUST})
        self.policy = Policy(
            registry=StagePolicy(roles=("ml_engineer",)),
            production=StagePolicy(roles=("ml_engineer", "engineering_manager"), quorum=quorum),
            four_eyes=four_eyes,
        )
        self.spec_digests = dict.fromkeys(self.circuits, "2" * 64)
        self.environments = [environment()]
        self.ledger.append(
            "initialised",
            "platform",
            {
                "format": 1,
                "root_commit": self.git.root_commit(),
                "ref": self.git.ref,
                "kind": "init",
                "four_eyes": four_eyes,
            },
            self.now - timedelta(days=1),
        )
        for key in self.circuits:
            self.production.send(key)
            self.train(key)

    def _store(self, files):
        """Begin config, ledger, workspace and registry; here all of them are in memory."""
        self.git = FakeConfigRepository(files)
        self.ledger = FakeLedger()
        self.git.notes = self.ledger.anchors
        self.dev = DevWorkspace(
            training_data=FakeTrainingDataStore(),
            models=Models(),
            environments=Environments(),
            evidence=FakeEvidenceStore(),
        )
        self.registry = SharedRegistry(models=Models(), environments=Environments())

    @property
    def platform(self):
        return Platform(
            kind="init",
            clock=SimpleNamespace(now=lambda: self.now),
            config=self.git,
            ledger=self.ledger,
            lake=self.production.lake,
            dev=self.dev,
            registry=self.registry,
            test=self.production.test,
            prod=self.production.prod,
            slots=None,
            engine=None,
            renderer=None,
        )

    @property
    def config(self):
        return Config(
            commit=self.git.head(),
            plants={},
            circuits={
                key: Circuit(
                    key=key,
                    spec=Spec(
                        cutoff_date=date(2024, 6, 14), environment=str(self.environments[-1].ref)
                    ),
                    spec_digest=self.spec_digests[key],
                    owners=(),
                    file=f"plants/{key}.yml",
                )
                for key in self.circuits
            },
            environments={each.ref: each for each in self.environments},
            policy=self.policy,
        )

    def tick(self, **passed):
        """Let time pass."""
        self.now += timedelta(**passed)

    def train(self, key, *, spec="2", wape=0.05, floor=0.06, coverage=0.95, **settings):
        """Register the next model version of a circuit with its proof and evidence."""
        self.spec_digests[key] = spec * 64
        if not self.production.lake.readings.read(circuits=[key]).height:
            self.production.send(key)
        data, _ = training_data.register(
            self.production.lake,
            self.dev.training_data,
            self.config.circuits[key],
            data_now=self.now,
        )
        self.dev.environments.register(environment())
        version = self.dev.models.next_version(key)
        files = model_files(**settings) | {"golden.json": json.dumps([version]).encode()}
        record = ModelRecord(
            circuit=key,
            version=version,
            digest=digest_of_files(files),
            spec_digest=spec * 64,
            data_version=data.version,
            data_digest=data.content_digest,
            environment=ENVIRONMENT,
            environment_digest="e" * 64,
            config_commit=self.git.head(),
            tags={"forecaster": "auto_ets"},
        )
        figures = {"wape": wape, "coverage_95": coverage}
        proof = {"format": 1, "metrics": figures, "floor": {"wape": floor}, "incumbent": None}
        self.dev.models.register(record, files, json.dumps(proof).encode())
        self.prove(record, {"model": figures, "floor": {"wape": floor}, "incumbent": None})
        return record

    def prove(self, record, metrics, *, review=None):
        """Store a complete bundle of evidence for a model."""
        until = record.config_commit
        review = review or document(
            self.platform,
            record.circuit,
            since=released_commit(self.platform, record.circuit),
            until=until,
            head=until,
        )
        files = {
            FILES["pull_request"]: json.dumps(review).encode(),
            FILES["scoring_notebook"]: b"{}",
            FILES["training_log"]: b"{}\n",
            FILES["metrics"]: json.dumps({"model_digest": record.digest, **metrics}).encode(),
            HTML_FILE: b"<html>",
        }
        data = self.dev.training_data.get(record.circuit, record.data_version)
        notebook = {name: sha256(files[name]) for name in (FILES["scoring_notebook"], HTML_FILE)}
        lineage = lineage_document(record, data, environment(), notebook)
        files[FILES["lineage"]] = document_bytes(lineage)
        self.dev.evidence.put(record.circuit, record.version, files, b"{}")

    # --- what people type ---------------------------------------------------------------------

    def create(self, *circuits, **options):
        """Cut a release; returns its id, None when there is nothing to release."""
        return release.create(
            self.platform, self.config, circuits or None, now=self.now, **options
        )[0]

    def request(self, release_id, stage, requester="platform"):
        return approval.request(
            self.platform, self.config, release_id, stage, requester=requester, now=self.now
        )

    def statement(self, release_id, stage, person, decision="approve"):
        return approval.statement(
            self.platform, self.config, release_id, stage, person, decision, now=self.now
        )

    def submit(self, statement, signature):
        return approval.submit(self.platform, self.config, statement, signature, now=self.now)

    def approve(self, release_id, stage, person):
        key = keys_of(person).private_file
        return approval.approve(self.platform, self.config, release_id, stage, key, now=self.now)

    def reject(self, release_id, stage, person):
        key = keys_of(person).private_file
        return approval.reject(self.platform, self.config, release_id, stage, key, now=self.now)

    def promote(self, release_id, stage):
        return promotion.promote(
            self.platform,
            self.config,
            release_id,
            stage,
            now=self.now,
            forecasting=FORECASTING,
        )

    def view(self, release_id):
        return next(
            view for view in release.views(self.platform, self.now) if view.release == release_id
        )

    def state(self, release_id):
        return self.view(release_id).state

    def live(self, key):
        return self.production.live(key)

    # --- longer ways --------------------------------------------------------------------------

    def registered(self, *circuits):
        """A release that passed the first stage."""
        made = self.create(*circuits)
        assert self.approve(made, "registry", ENGINEER).accepted
        self.promote(made, "registry")
        return made

    def tested(self, *circuits):
        """A release that passed the second stage."""
        made = self.registered(*circuits)
        self.promote(made, "test")
        return made

    def deployed(self, *circuits):
        """A release that is live."""
        made = self.tested(*circuits)
        assert self.approve(made, "production", MANAGER).accepted
        self.promote(made, "production")
        return made

    def edit(self, *circuits, author=AUTHOR, reviewers=(VIEWER,), **commit):
        """Commit a change of specs, and train what it asks for."""
        files = {f"plants/{key}.yml": f"spec {len(self.git.infos)}".encode() for key in circuits}
        self.git.add(files, author=author, reviewers=reviewers, **commit)
        for key in circuits:
            spec = f"{(int(self.spec_digests[key][0], 16) + 1) % 16:x}"
            self.train(key, spec=spec)

    def revoke(self, person, since=MIDNIGHT):
        """Commit a revocation of a person's key."""
        from mlops_assets.domain.signature import fingerprint

        name = fingerprint(signer(person).key)
        when = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        text = (
            f'format: 1\nkeys:\n  - fingerprint: "{name}"\n    since: "{when}"\n'
            '    reason: "laptop lost"\n'
        )
        self.git.add({"trust/revoked.yml": text.encode()}, author=VIEWER)

    def stricter(self, **changes):
        """Change the policy."""
        self.policy = replace(self.policy, **changes)
