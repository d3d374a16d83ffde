"""Snapshots of a run: each is a folder with all files of one checkpoint, which is written atomically.

    snapshots/000017/latest_net_G_A.pth ... latest_state.pth manifest.json

The manifest contains the size and SHA-256 of each file. A snapshot is never changed, so that an interruption cannot mix
files of different checkpoints, and damaged files are detected before they are used.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from util.files import sha256_of, sync_folder
from util.run.checkpoint import save_file, tensor_bytes

MANIFEST = "manifest.json"
SPARE_BYTES = 2**20
"""Disk space to reserve for everything but tensors: keys, the manifest, folders."""


@dataclass(frozen=True)
class Snapshot:
    """The folder of a snapshot. Call `damage` to check that it is intact."""

    path: Path

    @property
    def number(self) -> int:
        """Sequence number; a larger number is newer."""
        return int(self.path.name)

    def manifest(self) -> dict[str, Any]:
        """Return the manifest: `files` by name with `bytes` and `sha256`, and notes. Raises ValueError if damaged."""
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.path / MANIFEST}: {error}") from error
        if not isinstance(manifest, dict) or not _is_list_of_files(manifest.get("files")):
            raise ValueError(f"{self.path / MANIFEST} contains no list of files")
        return manifest

    def damage(self, names: Sequence[str] | None = None) -> str:
        """Describe the first file (of `names`, if given) that differs from what was saved; empty if all are intact."""
        try:
            files = self.manifest()["files"]
        except ValueError as error:
            return str(error)
        for name, known in files.items():
            path = self.path / name
            if names is not None and name not in names:
                continue
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != known["bytes"]:
                return f"{path} has {path.stat().st_size} bytes instead of {known['bytes']}"
            if sha256_of(path) != known["sha256"]:
                return f"{path} has changed since it was saved: its SHA-256 differs"
        return ""


def _is_list_of_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        Path(name).name == name and isinstance(known, dict) and {"bytes", "sha256"} <= set(known)
        for name, known in files.items()
    )


def list_snapshots(folder: Path) -> list[Snapshot]:
    """Return all snapshots in a folder, newest first."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = [Snapshot(path) for path in paths if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda snapshot: snapshot.number, reverse=True)


def write_snapshot(folder: Path, contents: Mapping[str, Any], notes: Mapping[str, Any]) -> Snapshot:
    """Write files (by name) and their manifest to a draft, flush it to disk, and rename it to a new snapshot.

    Raises OSError after removing the draft.
    """
    draft = folder / f".draft.{os.getpid()}.tmp"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        files = {}
        for name, content in contents.items():
            digest = save_file(content, draft / name)
            files[name] = {"bytes": (draft / name).stat().st_size, "sha256": digest}
        with (draft / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump({**notes, "files": files}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(draft)
        known = list_snapshots(folder)
        target = folder / f"{(known[0].number if known else 0) + 1:06d}"
        os.rename(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(folder)
    return Snapshot(target)


def require_space(folder: Path, contents: Mapping[str, Any]) -> None:
    """Raise OSError if `contents` does not fit on the disk of `folder`."""
    needed, free = tensor_bytes(contents) + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC, f"{needed / 2**20:.0f} MiB are needed but only {free / 2**20:.0f} MiB are free", str(folder)
        )


def remove(snapshots: Sequence[Snapshot]) -> None:
    """Delete snapshots. An interruption leaves temporary folders for `tidy`, but no incomplete snapshot."""
    for snapshot in snapshots:
        rubbish = snapshot.path.with_name(f".{snapshot.path.name}.tmp")
        os.rename(snapshot.path, rubbish)
        shutil.rmtree(rubbish, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Delete the temporary files of killed processes. The caller must hold the run's lock."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
