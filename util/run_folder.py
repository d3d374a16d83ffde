"""The folder of one run, `checkpoints/NAME`: which file is where."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from util.checkpoint import CheckpointError, load_file, load_network, save_all
from util.errors import UserError
from util.files import write_text


class RunFolder:
    """Checkpoints and options of the run `name`.

    `{label}_net_{network}.pth` are plain state dicts under the public code base's names, label being `latest`, an
    epoch's number or `iter_N`; `latest_state.pth` is what else training needs; `opt.json` the options.
    """

    def __init__(self, checkpoints_dir: Path, name: str) -> None:
        self.path = checkpoints_dir / name

    def network_path(self, label: str, network: str) -> Path:
        """The file of one network."""
        return self.path / f"{label}_net_{network}.pth"

    @property
    def state_path(self) -> Path:
        """The file of the training state."""
        return self.path / "latest_state.pth"

    @property
    def has_checkpoint(self) -> bool:
        """Whether any network was saved here."""
        return any(self.path.glob("*_net_*.pth"))

    def save(self, label: str, networks: Mapping[str, nn.Module], state: Mapping[str, Any] | None = None) -> None:
        """Write the networks under `label`, and with them the training state where one is given."""
        files: dict[Path, Any] = {self.network_path(label, name): net.state_dict() for name, net in networks.items()}
        if state is not None:
            files[self.state_path] = dict(state)
        save_all(files)

    def load_networks(self, label: str, networks: Mapping[str, nn.Module]) -> None:
        """Fill the networks from the files of `label`. Raises CheckpointError."""
        for name, network in networks.items():
            load_network(network, self.network_path(label, name))

    def load_state(self) -> dict[str, Any] | None:
        """The training state of the latest checkpoint; None where there is none. Raises CheckpointError."""
        return load_file(self.state_path) if self.state_path.is_file() else None

    def clear(self) -> None:
        """Delete what a run leaves here, and nothing else."""
        for pattern in ("*_net_*.pth", "latest_state.pth", "opt.txt", "opt.json", "loss_log.txt", "loss_log.csv"):
            for path in self.path.glob(pattern):
                path.unlink()
        for folder in ("web", "tensorboard"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def write_options(self, values: Mapping[str, Any], table: str) -> None:
        """Save a run's options: `opt.txt` for people, `opt.json` for programs."""
        write_text(self.path / "opt.txt", table + "\n")
        write_text(self.path / "opt.json", json.dumps(values, indent=2) + "\n")

    def read_options(self) -> dict[str, Any]:
        """The saved options; empty where there are none. Raises CheckpointError for a damaged file."""
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
