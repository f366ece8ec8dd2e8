"""A backup of a home: files by their SHA-256, and a snapshot that says which file was which.

``objects/ab/HASH`` holds each content once, so a second backup writes what is new; a snapshot is
written last, so a backup that was killed is none. Files are read in the reverse of the order in
which the platform writes them, the ends of logs under the locks of their writers: what a snapshot
holds is what a machine would hold that lost power at one moment, and everything goes on from there.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.local.files import (
    flush_folder,
    locked,
    read_bytes,
    write_atomic,
    write_once,
)
from mlops_assets.domain.errors import DataError, HomeError, StaleError
from mlops_assets.domain.identifiers import canonical_json, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlops_assets.ports import Progress
    from mlops_assets.settings import HomeLayout

FORMAT = 1
_SNAPSHOT = re.compile(r"\d{8}T\d{6}Z(-\d+)?\.json", re.ASCII)
_TEMPORARY = re.compile(r"\..+\.\d+-\d+\.tmp|.*\.lock", re.ASCII)
_UNBORN = re.compile(r".+#\d+", re.ASCII)
# Views and locks, which are made again, and interpreters, which cannot be moved.
_LEFT_OUT = ("dagster", "locks", "environments")
_MARK = "restore.json"
# How often a folder is read again in which files moved meanwhile.
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a backup did. ``written`` counts bytes that no earlier backup had."""

    snapshot: str
    files: int
    bytes: int
    written: int


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a snapshot; ``at`` is its time in nanoseconds."""

    path: str
    sha256: str
    size: int
    at: int
    mode: int

    def row(self) -> list[str | int]:
        """As canonical JSON, whose numbers end before nanoseconds do."""
        return [self.path, self.sha256, self.size, str(self.at), self.mode]


class LocalBackup:
    """The backups of one home in one folder.

    ``ledger`` and ``etl`` hold off decisions and slices, for as long as their logs are read.
    """

    def __init__(
        self,
        layout: HomeLayout,
        folder: Path,
        *,
        ledger: Callable[[], AbstractContextManager[None]],
        etl: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._layout = layout
        self._folder = folder
        self._ledger = ledger
        self._etl = etl
        self._known: dict[str, _File] = {}
        self._files: dict[str, _File] = {}
        self._closed: set[Path] = set()
        self._written = 0

    def take(self, now: datetime, progress: Progress | None = None) -> Taken:
        """Copy the home as it is now; the platform may work meanwhile.

        Raises:
            DataError: the folder is none of backups, lies in the home, or cannot be written.
            StaleError: files went while they were read; run it again.
        """
        if self._folder.resolve().is_relative_to(self._layout.root.resolve()):
            raise DataError(f"{self._folder}: lies in the home: name a folder elsewhere")
        _check_folder(self._folder)
        with locked(self._folder / ".lock"), locked(self._layout.locks / "retention.lock"):
            names = snapshots(self._folder)
            self._known = _read(self._folder, names[-1])[1] if names else {}
            self._files, self._closed, self._written = {}, set(), 0
            for what, section in self._sections():
                if progress is not None:
                    progress.say(f"backup: {what}")
                section()
            name = self._finish(now, names)
        return Taken(
            snapshot=name,
            files=len(self._files),
            bytes=sum(file.size for file in self._files.values()),
            written=self._written,
        )

    def restore(self, snapshot: str | None, progress: Progress | None = None) -> str:
        """Make the home of a snapshot, the newest where none is named; returns its name.

        Every byte is checked against its digest. A restore that was killed is finished by the same
        one again: the home's description is written last.

        Raises:
            DataError: a file of the backup is missing or damaged, or there is no such snapshot.
            HomeError: something else is there already.
        """
        folder, layout = self._folder, self._layout
        names = [name.removesuffix(".json") for name in snapshots(folder)]
        if not names:
            raise DataError(f"{folder}: holds no backup: name a folder that `mlops backup` wrote")
        if snapshot is not None and snapshot not in names:
            raise DataError(f"{folder}: has no snapshot {snapshot}; the newest is {names[-1]}")
        name = snapshot or names[-1]
        digest, files = _read(folder, f"{name}.json")
        description = layout.home_file.relative_to(layout.root).as_posix()
        if description not in files:
            raise DataError(f"{folder}: snapshot {name} is of a home that was not finished")
        _claim(layout, digest)
        if progress is not None:
            progress.begin(f"restoring {name}", len(files))
        for file in sorted(files.values(), key=lambda one: (one.path == description, one.path)):
            _put(folder, layout.root / file.path, file)
            if progress is not None:
                progress.advance(file.path)
        for made in layout.folders():
            made.mkdir(parents=True, exist_ok=True)
        (layout.root / _MARK).unlink()
        flush_folder(layout.root)
        return name

    def _sections(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is copied, in the reverse of the order in which it is written."""
        layout = self._layout
        yield "forecasts", self._forecasts
        yield "decisions", self._decisions
        yield "registry", lambda: self._tree(layout.root / "registry")
        yield "evidence", lambda: self._tree(layout.dev_evidence)
        yield "models", lambda: self._tree(layout.dev_models, layout.dev_environments)
        yield "training data", lambda: self._tree(layout.dev_data)
        yield "readings", self._lake
        yield "everything else", lambda: self._tree(layout.root)

    def _forecasts(self) -> None:
        """Files and scores, then the rows that they were made from."""
        layout = self._layout
        self._tree(layout.prediction_files("prod"), layout.drills, layout.prediction_files("test"))
        for table in (layout.hindcasts, layout.quality, layout.predictions):
            with locked(table.with_name(f".{table.name}.lock")):
                self._tree(table / "_delta_log")
            self._tree(table)

    def _decisions(self) -> None:
        """The log, what is live, and where branches and notes stand, of one moment; then the rest.

        Files that the log names, deployments and git's objects are written before what names them.
        """
        layout = self._layout
        git = layout.config / ".git"
        with self._ledger():
            self._file(layout.ledger / "log.jsonl")
            for workspace in ("prod", "test"):
                for plant in _folders(layout.endpoints(workspace)):
                    self._file(plant / "live.json")
                    self._closed.add(plant / "live.json")
            for name in ("HEAD", "packed-refs", "index", "config"):
                self._file(git / name)
            self._tree(git / "refs")
        # A plant's first deployment may come from now on: then nothing of the plant is copied.
        for plants in (layout.endpoints("prod"), layout.endpoints("test")):
            known = {plant for plant in _folders(plants) if plant / "live.json" in self._closed}
            self._tree(*sorted(known))
            self._closed.add(plants)
        self._tree(layout.ledger, layout.config)

    def _lake(self) -> None:
        """The journal and the tables' logs between two slices; then the files that they name."""
        layout = self._layout
        tables = (layout.readings, layout.quarantine, layout.restatements)
        with self._etl():
            self._tree(layout.ingested)
            for table in tables:
                self._tree(table / "_delta_log")
        self._tree(*tables, layout.raw)

    def _tree(self, *folders: Path) -> None:
        """Copy what is below, but for what was copied before; what comes later is not looked at."""
        for folder in folders:
            for _ in range(_TRIES):
                if self._once(folder):
                    break
            else:
                raise StaleError(f"{folder}: files went while they were copied: run it again")
            self._closed.add(folder)

    def _once(self, folder: Path) -> bool:
        """Whether nothing went while the folder was read; git moves objects into packs."""
        whole = True
        for path in self._walk(folder):
            if path.relative_to(self._layout.root).as_posix() not in self._files:
                whole &= self._file(path)
        return whole

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Every file below that a backup holds, sorted; links are not followed."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            path = folder / entry.name
            if path in self._closed or _TEMPORARY.fullmatch(entry.name):
                continue
            if folder.name == "_delta_log" and _UNBORN.fullmatch(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if folder != self._layout.root or entry.name not in _LEFT_OUT:
                    yield from self._walk(path)
            elif entry.is_file(follow_symlinks=False):
                yield path

    def _file(self, path: Path) -> bool:
        """Copy one file; false when it is not there."""
        name = path.relative_to(self._layout.root).as_posix()
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        before = self._known.get(name)
        same = before is not None and (before.size, before.at) == (
            status.st_size,
            status.st_mtime_ns,
        )
        if before is not None and same and _object(self._folder, before.sha256).exists():
            self._files[name] = before
            return True
        data = read_bytes(path)
        if data is None:
            return False
        digest = sha256(data)
        target = _object(self._folder, digest)
        if not target.exists():
            write_once(target, data)
            self._written += len(data)
        self._files[name] = _File(
            name, digest, len(data), status.st_mtime_ns, status.st_mode & 0o777
        )
        return True

    def _finish(self, now: datetime, names: Sequence[str]) -> str:
        stem = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        taken = [name for name in names if name.startswith(stem)]
        name = f"{stem}-{len(taken)}.json" if taken else f"{stem}.json"
        files = sorted(self._files.values(), key=lambda file: file.path)
        document = {"format": FORMAT, "files": [file.row() for file in files]}
        sealed = {"sha256": sha256(canonical_json(document)), "content": document}
        write_atomic(self._folder / "snapshots" / name, canonical_json(sealed))
        return name.removesuffix(".json")


def snapshots(folder: Path) -> list[str]:
    """Return the names of the snapshots of a folder, oldest first, as files."""
    found = folder / "snapshots"
    if not found.is_dir():
        return []
    return sorted(path.name for path in found.iterdir() if _SNAPSHOT.fullmatch(path.name))


def _claim(layout: HomeLayout, digest: str) -> None:
    """Take an empty folder for one snapshot, or one that this very restore had begun to fill."""
    mark = layout.root / _MARK
    begun = read_bytes(mark)
    if begun == digest.encode():
        return
    if layout.root.exists() and (not layout.root.is_dir() or any(layout.root.iterdir())):
        raise HomeError(
            f"{layout.root}: is not empty: restore into an absent or empty folder"
            if begun is None
            else f"{layout.root}: another restore was interrupted here: repeat it, or name another"
        )
    write_atomic(mark, digest.encode())


def _put(folder: Path, target: Path, file: _File) -> None:
    there = read_bytes(target)
    if there is None or sha256(there) != file.sha256:
        data = read_bytes(_object(folder, file.sha256))
        if data is None or sha256(data) != file.sha256:
            how = "missing" if data is None else "damaged"
            raise DataError(
                f"{_object(folder, file.sha256)}: {file.path} is {how} in the backup: restore "
                "another snapshot, or a copy of the backup"
            )
        write_atomic(target, data, mode=file.mode)
    os.utime(target, ns=(file.at, file.at))


def _object(folder: Path, digest: str) -> Path:
    return folder / "objects" / digest[:2] / digest


def _read(folder: Path, name: str) -> tuple[str, dict[str, _File]]:
    """Return a snapshot's digest and files, checked."""
    path = folder / "snapshots" / name
    try:
        sealed: Mapping[str, Any] = json.loads(read_bytes(path) or b"")
        content = sealed["content"]
        intact = sealed["sha256"] == sha256(canonical_json(content))
        files = [
            _File(path, digest, size, int(at), mode)
            for path, digest, size, at, mode in content["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no snapshot of format {FORMAT}: {error}") from error
    if not intact or content["format"] != FORMAT:
        raise DataError(f"{path}: is damaged, or of another format than {FORMAT}: take another")
    for file in files:
        if file.path.startswith("/") or ".." in file.path.split("/"):
            raise DataError(f"{path}: names {file.path!r}, which leads out of a home")
    return str(sealed["sha256"]), {file.path: file for file in files}


def _check_folder(folder: Path) -> None:
    """Take a folder for backups; one that holds something else is refused."""
    known = {"objects", "snapshots", ".lock"}
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file: name a folder")
    strange = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if odd := sorted(set(strange) - known):
        raise DataError(f"{folder}: holds {odd[0]}, which is no backup: name another folder")


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, sorted."""
    return sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
