"""Where a simulation is written: shards in a working folder that takes the output's name when it is whole.

::

    PATTERNS.parquet.parts/       while it is made
        _manifest.json            which simulation this is
        part-00000.parquet ...    shards, each whole
        .lock                     held by the process that writes
    PATTERNS.parquet/             when all shards are there: the same folder, renamed, _manifest.json complete
    PATTERNS.parquet              or, when there is one shard, the shard itself,
    PATTERNS.parquet.manifest.json    and its manifest beside it

Readers of Parquet folders pass over names that begin with ``_`` or ``.``.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from syngony.errors import SimulationError
from syngony.simulation.settings import differences, digest, file_sha256
from syngony.simulation.shard import Shard, read_shard
from syngony.whole_files import PARTIAL, sync_folder, write_text

MANIFEST = "_manifest.json"


_PATIENCE = 30.0  # s, for a file to show on a network file system


class Output:
    """The output of one simulation.

    Args:
        path: what the user calls it.
        whole: the simulation's identity.
        shards: how many there will be.
        about: what else the manifest says of the table.

    Raises:
        SimulationError: something else has this name, or another simulation is under way there.
    """

    def __init__(self, path: Path, whole: dict[str, Any], shards: int, about: dict[str, str]) -> None:
        self.path = path
        self.whole = whole
        self.shards = shards
        self.about = about
        self.folder = path.with_name(f"{path.name}.parts")

    def shard_path(self, index: int) -> Path:
        """The file of a shard while the simulation is under way."""
        return self.folder / f"part-{index:05d}.parquet"

    def finished(self) -> dict[str, Any] | None:
        """The manifest, if this very simulation is there in full; None if nothing has the output's name.

        Raises:
            SimulationError: the name is taken by something else, or a shard was damaged since.
        """
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return None
        manifest = _read(self.path / MANIFEST if self.path.is_dir() else self._beside)
        if manifest is None:
            raise SimulationError(f"{self.path} is there and is no output of syngony simulate: choose another -o")
        self._refuse_another(manifest, self.path)
        for shard in manifest["shards"]:
            file = self.path / shard["file"] if self.path.is_dir() else self.path
            if not file.is_file() or file_sha256(file) != shard["sha256"]:
                raise SimulationError(f"{file} is missing or was changed: delete {self.path} and run again")
        shutil.rmtree(self.folder, ignore_errors=True)  # of a process killed between the last two steps of `finish`
        return manifest

    @contextmanager
    def opened(self) -> Iterator[dict[int, Shard]]:
        """The working folder, locked and cleaned of partial files; yields the shards that are there, by number.

        Raises:
            SimulationError: another process is at it, or the folder is of another simulation.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            self._lock(lock)
            if self.finished() is not None:
                raise SimulationError(f"{self.path} was finished by another process just now")
            manifest = _read(self.folder / MANIFEST)
            if manifest is not None:
                self._refuse_another(manifest, self.folder)
            _sweep(self.folder)
            _write(self.folder / MANIFEST, self.whole)
            try:
                yield self._kept()
            finally:
                _sweep(self.folder)

    def finish(self, shards: list[Shard]) -> dict[str, Any]:
        """Write the manifest and give the output its name; to be called while it is open."""
        manifest = self._manifest(shards)
        if self.shards > 1:
            _write(self.folder / MANIFEST, manifest)
            (self.folder / ".lock").unlink()
            _sweep(self.folder)  # of killed workers
            sync_folder(self.folder)
            self.folder.replace(self.path)
            _sweep(self.path)  # of a worker taken for dead that began another between the two lines
        else:
            _write(self._beside, manifest)
            if self.path.is_dir():  # an empty one
                self.path.rmdir()
            self.shard_path(0).replace(self.path)
            shutil.rmtree(self.folder)
        sync_folder(self.path.parent)
        return manifest

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.manifest.json")

    def _manifest(self, shards: list[Shard]) -> dict[str, Any]:
        return {
            **self.whole,
            "about": self.about,
            "patterns": sum(shard.patterns for shard in shards),
            "shards": [
                {
                    "file": self.path.name if self.shards == 1 else shard.name,
                    "first_row": shard.first_row,
                    "rows": shard.rows,
                    "patterns": shard.patterns,
                    "bytes": shard.size,
                    "sha256": shard.sha256,
                }
                for shard in shards
            ],
            "failures": [
                {"row": row, "material_id": name, "reason": reason}
                for shard in shards
                for row, name, reason in shard.failures
            ],
        }

    def _refuse_another(self, manifest: dict[str, Any], where: Path) -> None:
        there = {key: manifest.get(key, {}) for key in self.whole}
        unlike = differences(there, self.whole)
        if unlike:
            raise SimulationError(
                f"{where} is of another simulation: {'; '.join(unlike)}. Choose another -o, or delete it"
            )

    def _kept(self) -> dict[int, Shard]:
        mark, found = digest(self.whole), {}
        size = self.whole["settings"]["shard_size"]
        for index in range(self.shards):
            shard = read_shard(self.shard_path(index), mark) if self.shard_path(index).is_file() else None
            if shard is not None and shard.first_row == index * size:
                found[index] = shard
        return found

    def _lock(self, lock: IO[str]) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        busy = SimulationError(f"{self.folder}: another process is writing there; wait for it, or choose another -o")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        except OSError:  # a file system without locks
            return
        # Whoever held it may have finished, and renamed the folder, between our opening and locking.
        there = None
        with suppress(FileNotFoundError):
            there = (self.folder / ".lock").stat()
        if there is None or there.st_ino != os.fstat(lock.fileno()).st_ino:
            raise busy


def wait_for_file(path: Path, size: int) -> None:
    """Wait until a file that a worker wrote shows on this machine, whole.

    Raises:
        SimulationError: it does not.
    """
    end = time.monotonic() + _PATIENCE
    while not (path.is_file() and path.stat().st_size == size):
        if time.monotonic() > end:
            raise SimulationError(
                f"{path} was written by a worker and does not show here: workers need a file system shared with "
                "this machine, mounted at the same path"
            )
        time.sleep(0.2)


def _sweep(folder: Path) -> None:
    """Remove what interrupted writers left."""
    if folder.is_dir():
        for stale in folder.glob(f".*{PARTIAL}"):
            stale.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "settings" in content else None


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
