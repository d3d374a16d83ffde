"""The folder of a run, `checkpoints/NAME`: its files, and the lock that only one training holds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from util.errors import UserError
from util.files import link_or_copy, locked, sha256_of, sync_folder, write_text
from util.run.checkpoint import SAFETENSORS, CheckpointError, load_file, load_network
from util.run.snapshots import Snapshot, list_snapshots, remove, require_space, tidy, write_snapshot

LATEST = "latest"
BEST = "best"
"""Labels of the newest networks and of those with the best score so far."""
STATE_NAME = "latest_state.pth"
Say = Callable[[str], None]


class RunFolder:
    """Checkpoints and options of the run `name`.

    `{label}_net_{network}.pth` are plain state dicts with the public code base's keys, where label is `latest`, `best`,
    an epoch number or `iter_N`; `latest_state.pth` is the rest of the training state; `opt.json` contains the options.
    The files of `latest` are hard links to (or copies of) the files of the newest snapshot, from which a run is
    resumed.
    """

    def __init__(self, checkpoints_dir: Path, name: str) -> None:
        self.path = checkpoints_dir / name
        self.snapshots = self.path / "snapshots"

    def network_path(self, label: str, network: str) -> Path:
        """Return the path of a network's `.pth` file."""
        return self.path / f"{label}_net_{network}.pth"

    def weights_path(self, label: str, network: str) -> Path:
        """Return the path to load a network from: `network_path`, or the safetensors file that export.py writes if
        only that exists."""
        path = self.network_path(label, network)
        compact = path.with_suffix(SAFETENSORS)
        return compact if compact.is_file() and not path.is_file() else path

    @property
    def state_path(self) -> Path:
        """Path of the training state."""
        return self.path / STATE_NAME

    @property
    def has_checkpoint(self) -> bool:
        """Whether any network was saved here."""
        saved = (*self.path.glob("*_net_*.pth"), *self.path.glob(f"*_net_*{SAFETENSORS}"))
        return bool(saved or list_snapshots(self.snapshots))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and lock it. Raises UserError if another training holds the lock or the folder cannot be
        written."""
        with self._told_if_unwritable():
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").open("a").close()
        with locked(
            self.path / ".lock",
            f"another training is running in {self.path}: wait for it, stop it, or choose another --name",
        ):
            tidy(self.path)
            tidy(self.snapshots)
            yield

    @contextlib.contextmanager
    def _told_if_unwritable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror or error}): check its free space and "
                "permissions, or choose another --checkpoints_dir"
            ) from error

    def save(
        self,
        networks: Mapping[str, nn.Module],
        state: Mapping[str, Any],
        *,
        keep: Iterable[str] = (),
        notes: Mapping[str, Any] | None = None,
        keep_last: int = 2,
    ) -> Snapshot:
        """Write a snapshot, and link its files to their public names.

        keep: further labels under which the networks are kept permanently. notes: stored in the manifest. keep_last:
        number of snapshots to keep. Raises OSError; earlier snapshots are then unchanged.
        """
        contents: dict[str, Any] = {
            self.network_path(LATEST, name).name: net.state_dict() for name, net in networks.items()
        }
        contents[STATE_NAME] = dict(state)
        self.snapshots.mkdir(parents=True, exist_ok=True)
        self._make_room(contents)
        snapshot = write_snapshot(self.snapshots, contents, {**(notes or {}), "keep": list(keep)})
        self._name_publicly(snapshot)
        remove(list_snapshots(self.snapshots)[max(1, keep_last) :])
        for path in self.snapshots.glob("*.damaged"):
            shutil.rmtree(path, ignore_errors=True)
        return snapshot

    def _make_room(self, contents: Mapping[str, Any]) -> None:
        """If disk space is short, delete all but the newest snapshot. Raises OSError if that is not enough."""
        with contextlib.suppress(OSError):
            return require_space(self.snapshots, contents)
        remove(list_snapshots(self.snapshots)[1:])
        return require_space(self.snapshots, contents)

    def _name_publicly(self, snapshot: Snapshot) -> None:
        """Link a snapshot's files to their names as `latest` and under the labels to keep. Called again when a run is
        resumed, because it may have been killed in between."""
        manifest = snapshot.manifest()
        for name in manifest["files"]:
            link_or_copy(snapshot.path / name, self.path / name)
            for label in manifest.get("keep", ()):
                if name.startswith(f"{LATEST}_net_") and str(label).isidentifier() | str(label).isdecimal():
                    link_or_copy(snapshot.path / name, self.path / f"{label}{name.removeprefix(LATEST)}")
        sync_folder(self.path)

    def resume(self, networks: Mapping[str, nn.Module], say: Say = print) -> dict[str, Any] | None:
        """Load the networks from the newest complete checkpoint, and return its state; None if no state was saved.

        A damaged checkpoint is reported, renamed, and skipped. Raises CheckpointError if no checkpoint is complete, or
        if the networks under the public names were replaced by others.
        """
        snapshots = list_snapshots(self.snapshots)
        if not snapshots:  # saved by an older version, or copied here
            for name, network in networks.items():
                load_network(network, self.network_path(LATEST, name))
            return load_file(self.state_path) if self.state_path.is_file() else None
        if replaced := self._replaced(networks, snapshots):
            raise CheckpointError(
                f"{replaced[0]} was not saved by this run. To train on from it without the training state, move "
                f"{self.snapshots} and {STATE_NAME} away; to resume the run, delete it"
            )
        snapshot = self._newest_complete(snapshots, say, set_aside=True)
        self._name_publicly(snapshot)
        for name, network in networks.items():
            load_network(network, snapshot.path / self.network_path(LATEST, name).name)
        state: dict[str, Any] = load_file(snapshot.path / STATE_NAME)
        return state

    def _newest_complete(
        self, snapshots: Sequence[Snapshot], say: Say, *, names: Sequence[str] | None = None, set_aside: bool = False
    ) -> Snapshot:
        for snapshot in snapshots:
            damage = snapshot.damage(names)
            if not damage:
                return snapshot
            say(f"warning: skipping a damaged checkpoint: {damage}")
            if set_aside:
                aside = snapshot.path.with_suffix(".damaged")
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(snapshot.path, aside)
        kept = f"start from the networks of an epoch with {epochs}, or " if (epochs := self.describe_epochs()) else ""
        raise CheckpointError(
            f"{self.snapshots} contains no complete checkpoint; {kept}move it away to use the latest_*.pth as they are"
        )

    def _replaced(self, networks: Iterable[str], snapshots: Sequence[Snapshot]) -> list[Path]:
        """Return the files of `latest` that are in no snapshot, and so were replaced by hand."""
        paths = [path for name in networks if (path := self.network_path(LATEST, name)).is_file()]
        return [path for path in paths if not _is_in(path, snapshots)]

    def load_networks(self, label: str, networks: Mapping[str, nn.Module], say: Say = print) -> None:
        """Load the networks for inference. Raises CheckpointError.

        `latest` means the newest complete snapshot, even if a run was killed while it linked the public names, unless
        the files under these names were replaced by hand.
        """
        for _ in range(3):
            source = self._snapshot_for(label, networks, say)
            try:
                for name, network in networks.items():
                    path = self.weights_path(label, name)
                    in_source = source is not None and (source.path / path.name).is_file()
                    load_network(network, source.path / path.name if source is not None and in_source else path)
                return
            except CheckpointError:
                # A running training may have deleted the snapshot in the meantime, after saving a newer one.
                if source is None or source.path.is_dir():
                    raise

    def _snapshot_for(self, label: str, networks: Mapping[str, nn.Module], say: Say) -> Snapshot | None:
        snapshots = list_snapshots(self.snapshots)
        if label != LATEST or not snapshots:
            return None
        if replaced := self._replaced(networks, snapshots):
            say(f"note: {replaced[0]} was not saved by this run; it is used as it is")
            return None
        return self._newest_complete(snapshots, say, names=[self.network_path(LATEST, name).name for name in networks])

    def has_network(self, label: str, network: str) -> bool:
        """Return whether a network was saved under a label."""
        path = self.weights_path(label, network)
        saved = [each.path / path.name for each in list_snapshots(self.snapshots)] if label == LATEST else []
        return any(each.is_file() for each in (path, *saved))

    def describe_latest(self) -> str:
        """Describe the newest snapshot for messages; empty if there is none."""
        for snapshot in list_snapshots(self.snapshots):
            with contextlib.suppress(ValueError):
                notes = snapshot.manifest()
                return f"{snapshot.path} (epoch {notes.get('epoch')}, image {notes.get('epoch_images')})"
        return ""

    def describe_epochs(self) -> str:
        """Describe the epochs whose networks were kept, as `--epoch 5, 10 or best`; empty if there are none."""
        found = {path.name.partition("_net_")[0] for path in self.path.glob("*_net_G*.pth")}
        labels = sorted((label for label in found if label.isdecimal()), key=int) + [BEST] * (BEST in found)
        return f"--epoch {' or '.join(filter(None, (', '.join(labels[:-1]), labels[-1])))}" if labels else ""

    def epoch_after(self, label: str, images_per_epoch: int) -> int:
        """Return the epoch at which to resume from the networks `label`: the next one after epoch N or after the best
        epoch; for iter_N, the epoch in which it was saved. 1 if unknown."""
        if label.isdecimal():
            return int(label) + 1
        if label.startswith("iter_") and label[5:].isdecimal():
            return int(label[5:]) // images_per_epoch + 1
        if label == BEST and self.state_path.is_file():
            with contextlib.suppress(CheckpointError, LookupError, TypeError, ValueError):
                return int(load_file(self.state_path)["best"]["epoch"]) + 1
        return 1

    def clear(self) -> None:
        """Delete the files that a run writes here, and no others."""
        networks = ("*_net_*.pth", f"*_net_*{SAFETENSORS}")
        records = ("opt.txt", "opt.json", "loss_log.txt", "loss_log.csv", "held_out.csv")
        for pattern in (*networks, STATE_NAME, *records):
            for path in self.path.glob(pattern):
                path.unlink()
        for folder in ("web", "tensorboard", "wandb", "snapshots"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def write_options(self, values: Mapping[str, Any], table: str) -> None:
        """Save the run's options: `opt.txt` for people, `opt.json` for programs."""
        with self._told_if_unwritable():
            write_text(self.path / "opt.txt", table + "\n")
            write_text(self.path / "opt.json", json.dumps(values, indent=2) + "\n")

    def read_options(self) -> dict[str, Any]:
        """Return the options saved in the newest checkpoint, otherwise those in opt.json; empty if there are none.

        Raises CheckpointError for a damaged opt.json.
        """
        for snapshot in list_snapshots(self.snapshots):
            with contextlib.suppress(ValueError):
                if isinstance(values := snapshot.manifest().get("options"), dict):
                    return values
        path = self.path / "opt.json"
        if not os.path.isfile(path):
            return {}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); restore or delete it") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{path} is damaged (not a JSON object); restore or delete it")
        return values

    def refuse_collision(self) -> None:
        """Raise UserError if a new run would overwrite the checkpoints of an earlier one."""
        if self.has_checkpoint:
            raise UserError(
                f"{self.path} already contains a trained run. Resume it with --continue_train, choose another --name, "
                f"or replace it with --overwrite"
            )


def _is_in(path: Path, snapshots: Sequence[Snapshot]) -> bool:
    """Return whether a file is a link to or a copy of a file in the snapshots; True if a manifest is damaged."""
    named = [snapshot.path / path.name for snapshot in snapshots]
    if any(other.is_file() and path.samefile(other) for other in named):
        return True
    hashes = set()
    for snapshot in snapshots:
        try:
            hashes.add(snapshot.manifest()["files"].get(path.name, {}).get("sha256"))
        except ValueError:
            return True
    return sha256_of(path) in hashes
