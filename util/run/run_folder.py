"""The folder of one run, `checkpoints/NAME`: which file is where, and who may write there."""

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
"""Labels of the newest networks, and of those with the best score so far."""
STATE_NAME = "latest_state.pth"
Say = Callable[[str], None]


class RunFolder:
    """Checkpoints and options of the run `name`.

    `{label}_net_{network}.pth` are plain state dicts under the public code base's names, label being `latest`, an
    epoch's number or `iter_N`; `latest_state.pth` is what else training needs; `opt.json` the options. The files of
    `latest` are other names (hard links, where there are such) of the newest snapshot's: going on relies on these.
    """

    def __init__(self, checkpoints_dir: Path, name: str) -> None:
        self.path = checkpoints_dir / name
        self.snapshots = self.path / "snapshots"

    def network_path(self, label: str, network: str) -> Path:
        """The file of one network."""
        return self.path / f"{label}_net_{network}.pth"

    def weights_path(self, label: str, network: str) -> Path:
        """The file to read a network from: that of `network_path` or, if only this is there, the same as safetensors,
        as export.py writes it."""
        path = self.network_path(label, network)
        compact = path.with_suffix(SAFETENSORS)
        return compact if compact.is_file() and not path.is_file() else path

    @property
    def state_path(self) -> Path:
        """The file of the training state."""
        return self.path / STATE_NAME

    @property
    def has_checkpoint(self) -> bool:
        """Whether any network was saved here."""
        saved = (*self.path.glob("*_net_*.pth"), *self.path.glob(f"*_net_*{SAFETENSORS}"))
        return bool(saved or list_snapshots(self.snapshots))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep all other trainings out of it. Raises UserError where one is at work or where
        nothing can be written."""
        with self._told_if_unwritable():
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").open("a").close()
        with locked(
            self.path / ".lock",
            f"another training is at work in {self.path}: wait for it, stop it, or choose another --name",
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
                f"{self.path} cannot be written ({error.strerror or error}): give it room and write "
                "permission, or choose another --checkpoints_dir"
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
        """Write a snapshot, and give its files their public names.

        keep: further labels under which the networks stay for good. notes: for the manifest. keep_last: so many
        snapshots stay. Raises OSError; the last snapshot is then still what it was.
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
        """Delete all but the newest snapshot where the disk is short. Raises OSError where that does not help."""
        with contextlib.suppress(OSError):
            return require_space(self.snapshots, contents)
        remove(list_snapshots(self.snapshots)[1:])
        return require_space(self.snapshots, contents)

    def _name_publicly(self, snapshot: Snapshot) -> None:
        """Give a snapshot's files the names of `latest`, and of the labels under which it is to be kept; called again
        when a run goes on, as it may have been killed before all had theirs."""
        manifest = snapshot.manifest()
        for name in manifest["files"]:
            link_or_copy(snapshot.path / name, self.path / name)
            for label in manifest.get("keep", ()):
                if name.startswith(f"{LATEST}_net_") and str(label).isidentifier() | str(label).isdecimal():
                    link_or_copy(snapshot.path / name, self.path / f"{label}{name.removeprefix(LATEST)}")
        sync_folder(self.path)

    def resume(self, networks: Mapping[str, nn.Module], say: Say = print) -> dict[str, Any] | None:
        """Fill the networks from the newest complete checkpoint and return its state; None where none was saved.

        A damaged one is told of, set aside, and passed over for the one before. Raises CheckpointError where none is
        whole, and where someone put other networks under the public names.
        """
        snapshots = list_snapshots(self.snapshots)
        if not snapshots:  # of an older version, or brought here
            for name, network in networks.items():
                load_network(network, self.network_path(LATEST, name))
            return load_file(self.state_path) if self.state_path.is_file() else None
        if replaced := self._replaced(networks, snapshots):
            raise CheckpointError(
                f"{replaced[0]} is not what this run saved. To go on from it without the training state, move "
                f"{self.snapshots} and {STATE_NAME} away; to go on with the run, delete it"
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
            say(f"warning: a damaged checkpoint is passed over: {damage}")
            if set_aside:
                aside = snapshot.path.with_suffix(".damaged")
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(snapshot.path, aside)
        kept = f"begin from an epoch's networks by {epochs}, or " if (epochs := self.describe_epochs()) else ""
        raise CheckpointError(
            f"{self.snapshots} holds no complete checkpoint; {kept}move it away to use the latest_*.pth as they are"
        )

    def _replaced(self, networks: Iterable[str], snapshots: Sequence[Snapshot]) -> list[Path]:
        """The public files of `latest` that are in none of the snapshots: someone put them there."""
        paths = [path for name in networks if (path := self.network_path(LATEST, name)).is_file()]
        return [path for path in paths if not _is_in(path, snapshots)]

    def load_networks(self, label: str, networks: Mapping[str, nn.Module], say: Say = print) -> None:
        """Fill the networks for translating. Raises CheckpointError.

        `latest` is the newest complete snapshot, even where a killed run left its public names half renewed, unless
        someone put other networks under these names.
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
                # A training at work here may have deleted the snapshot meanwhile; there is a newer one then.
                if source is None or source.path.is_dir():
                    raise

    def _snapshot_for(self, label: str, networks: Mapping[str, nn.Module], say: Say) -> Snapshot | None:
        snapshots = list_snapshots(self.snapshots)
        if label != LATEST or not snapshots:
            return None
        if replaced := self._replaced(networks, snapshots):
            say(f"note: {replaced[0]} is not what this run saved; it is used as it is")
            return None
        return self._newest_complete(snapshots, say, names=[self.network_path(LATEST, name).name for name in networks])

    def has_network(self, label: str, network: str) -> bool:
        """Whether a network was saved under a label."""
        path = self.network_path(label, network)
        saved = [each.path / path.name for each in list_snapshots(self.snapshots)] if label == LATEST else []
        return any(each.is_file() for each in (path, *saved))

    def describe_latest(self) -> str:
        """The newest snapshot in words, for messages; empty where there is none."""
        for snapshot in list_snapshots(self.snapshots):
            with contextlib.suppress(ValueError):
                notes = snapshot.manifest()
                return f"{snapshot.path} (epoch {notes.get('epoch')}, image {notes.get('epoch_images')})"
        return ""

    def describe_epochs(self) -> str:
        """How to name the epochs whose networks were kept, such as `--epoch 5, 10 or best`; empty where none were."""
        found = {path.name.partition("_net_")[0] for path in self.path.glob("*_net_G*.pth")}
        labels = sorted((label for label in found if label.isdecimal()), key=int) + [BEST] * (BEST in found)
        return f"--epoch {' or '.join(filter(None, (', '.join(labels[:-1]), labels[-1])))}" if labels else ""

    def epoch_after(self, label: str, images_per_epoch: int) -> int:
        """The epoch in which training goes on from the networks `label`: the one after epoch N or after the best one,
        and for iter_N the one in which it was saved. 1 where that is not known."""
        if label.isdecimal():
            return int(label) + 1
        if label.startswith("iter_") and label[5:].isdecimal():
            return int(label[5:]) // images_per_epoch + 1
        if label == BEST and self.state_path.is_file():
            with contextlib.suppress(CheckpointError, LookupError, TypeError, ValueError):
                return int(load_file(self.state_path)["best"]["epoch"]) + 1
        return 1

    def clear(self) -> None:
        """Delete what a run leaves here, and nothing else."""
        networks = ("*_net_*.pth", f"*_net_*{SAFETENSORS}")
        records = ("opt.txt", "opt.json", "loss_log.txt", "loss_log.csv", "held_out.csv")
        for pattern in (*networks, STATE_NAME, *records):
            for path in self.path.glob(pattern):
                path.unlink()
        for folder in ("web", "tensorboard", "wandb", "snapshots"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def write_options(self, values: Mapping[str, Any], table: str) -> None:
        """Save a run's options: `opt.txt` for people, `opt.json` for programs."""
        with self._told_if_unwritable():
            write_text(self.path / "opt.txt", table + "\n")
            write_text(self.path / "opt.json", json.dumps(values, indent=2) + "\n")

    def read_options(self) -> dict[str, Any]:
        """The saved options: those of the newest checkpoint, else of opt.json; empty where there are none.

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
            raise CheckpointError(f"{path} is damaged (no JSON object); restore or delete it")
        return values

    def refuse_collision(self) -> None:
        """Raise UserError where a new run would overwrite the checkpoints of an earlier one."""
        if self.has_checkpoint:
            raise UserError(
                f"{self.path} holds a trained run already. Go on with it by --continue_train, choose another --name, "
                f"or replace it by --overwrite"
            )


def _is_in(path: Path, snapshots: Sequence[Snapshot]) -> bool:
    """Whether a file is one of the snapshots', as another name or as a copy; yes where a manifest that could tell is
    damaged."""
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
