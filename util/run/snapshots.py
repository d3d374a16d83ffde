"""Snapshots of a run: all files of one moment in one folder, which appears whole or not at all.

    snapshots/000017/latest_net_G_A.pth ... latest_state.pth manifest.json

The manifest holds each file's size and SHA-256. Nothing in a snapshot is ever changed, so that no interruption can pair
files of different moments, and a damaged file is known as such before it is used.
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
from util.run.checkpoint import save_file, size_of

MANIFEST = "manifest.json"
SPARE_BYTES = 2**20
"""Room for what is not tensors: keys, the manifest, folders."""


@dataclass(frozen=True)
class Snapshot:
    """One complete-looking folder; `damage` says whether it is."""

    path: Path

    @property
    def number(self) -> int:
        """Larger is newer."""
        return int(self.path.name)

    def manifest(self) -> dict[str, Any]:
        """What was saved: `files` by name with `bytes` and `sha256`, and notes. Raises ValueError where damaged."""
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.path / MANIFEST}: {error}") from error
        if not isinstance(manifest, dict) or not _is_list_of_files(manifest.get("files")):
            raise ValueError(f"{self.path / MANIFEST}: no list of files")
        return manifest

    def damage(self, names: Sequence[str] | None = None) -> str:
        """The first file (of `names`, if given) that is not as it was saved, and how; empty where all are."""
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
                return f"{path} has {path.stat().st_size} bytes, not the {known['bytes']} that were saved"
            if sha256_of(path) != known["sha256"]:
                return f"{path} is not as it was saved: its SHA-256 differs"
        return ""


def _is_list_of_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        Path(name).name == name and isinstance(known, dict) and {"bytes", "sha256"} <= set(known)
        for name, known in files.items()
    )


def list_snapshots(folder: Path) -> list[Snapshot]:
    """All snapshots of a folder, newest first."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = [Snapshot(path) for path in paths if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda snapshot: snapshot.number, reverse=True)


def write_snapshot(folder: Path, contents: Mapping[str, Any], notes: Mapping[str, Any]) -> Snapshot:
    """Write files (by name) and their manifest, flush them to disk, and only then make them a snapshot.

    Raises OSError, after removing what was written.
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
    """Raise OSError where `contents` will not fit on the disk of `folder`."""
    needed, free = size_of(contents) + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed / 2**20:.0f} MiB are needed and {free / 2**20:.0f} free", str(folder))


def remove(snapshots: Sequence[Snapshot]) -> None:
    """Delete snapshots; an interruption leaves rubbish to be tidied away, and no half snapshot."""
    for snapshot in snapshots:
        rubbish = snapshot.path.with_name(f".{snapshot.path.name}.tmp")
        os.rename(snapshot.path, rubbish)
        shutil.rmtree(rubbish, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Delete what killed processes left half-written. Only for who holds the run's lock."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
