"""The networks that a new run begins with: those of another run, or of a file from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from util.errors import UserError
from util.run.checkpoint import CheckpointError, load_network
from util.run.run_folder import RunFolder
from util.state_dicts import MissingNetworkError

RAW = "raw_"
"""Before the name of a generator whose moving average has the plain name."""


@dataclass(frozen=True)
class Initial:
    """What `--init_from` names: the networks `label` of a run's folder, or one file with some networks in it."""

    folder: RunFolder
    label: str
    file: Path | None = None

    @property
    def path(self) -> Path:
        """Where the weights are."""
        return self.file or self.folder.path

    def options(self) -> dict[str, Any]:
        """The options that the networks were trained with, as far as they were saved; empty where they were not."""
        return self.folder.read_options()

    def load(self, networks: Mapping[str, nn.Module], say: Callable[[str], None] = print) -> None:
        """Fill the networks, and say which begin anew because there are none for them.

        A discriminator that does not fit begins anew, too. Raises CheckpointError for a generator that does not fit,
        and where there is no generator at all.
        """
        anew = {name: reason for name, net in networks.items() if (reason := self._fill(name, net, say))}
        filled = [name for name in networks if name not in anew]
        if not any(map(is_generator, filled)):
            raise CheckpointError(f"--init_from {self.path}: no generator to begin with ({'; '.join(anew.values())})")
        say(f"beginning with {', '.join(filled)} of {self.path}{'' if self.file else f' ({self.label})'}")
        for name, reason in anew.items():
            say(f"note: {name} begins anew: {reason}")

    def _fill(self, name: str, network: nn.Module, say: Callable[[str], None]) -> str:
        """Fill one network; returns why not, where that is no reason to stop."""
        try:
            if self.file is not None:
                load_network(network, self.file, name.removeprefix(RAW))
                return ""
            for stored in dict.fromkeys((name, name.removeprefix(RAW))):
                if self.folder.has_network(self.label, stored):
                    self.folder.load_networks(self.label, {stored: network}, say)
                    return ""
            return f"{self.folder.network_path(self.label, name)} does not exist"
        except MissingNetworkError as error:
            return str(error)
        except CheckpointError as error:
            if is_generator(name):
                raise
            return str(error)


def is_generator(name: str) -> bool:
    """Whether a network of this name translates."""
    return name.removeprefix(RAW).startswith("G")


def find_initial(text: str, label: str, checkpoints_dir: Path) -> Initial:
    """What `--init_from TEXT` means: a file, the name of a run in `checkpoints_dir`, or a folder. Raises UserError."""
    path = Path(text)
    if path.is_file():
        return Initial(RunFolder(path.absolute().parent.parent, path.absolute().parent.name), label, path)
    for folder in (RunFolder(checkpoints_dir, text), RunFolder(path.parent, path.name)):
        if folder.has_checkpoint:
            return Initial(folder, label)
    names = sorted(each.name for each in checkpoints_dir.glob("*"))
    known = [name for name in names if RunFolder(checkpoints_dir, name).has_checkpoint]
    shown = f"; runs in {checkpoints_dir}: {', '.join(known)}" if known else f"; there is no run in {checkpoints_dir}"
    raise UserError(f"--init_from {text}: neither a run, nor a folder with *_net_*.pth in it, nor a file{shown}")
