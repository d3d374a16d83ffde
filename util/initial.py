"""Initial weights of a new run (`--init_from`): the networks of another run, or of a file."""

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
"""Name prefix of a generator whose moving average is saved under the plain name."""


@dataclass(frozen=True)
class Initial:
    """The source that `--init_from` names: the networks `label` in a run's folder, or a file with some networks."""

    folder: RunFolder
    label: str
    file: Path | None = None

    @property
    def path(self) -> Path:
        """Path of the weights."""
        return self.file or self.folder.path

    def options(self) -> dict[str, Any]:
        """Return the saved options that the networks were trained with; empty if none were saved."""
        return self.folder.read_options()

    def load(self, networks: Mapping[str, nn.Module], say: Callable[[str], None] = print) -> list[str]:
        """Load the networks, and report which ones the source lacks: these keep their random initialisation.

        So does a discriminator that does not fit. Returns the names of the loaded networks. Raises CheckpointError for
        a generator that does not fit, and if the source has no generator at all.
        """
        anew = {name: reason for name, net in networks.items() if (reason := self._fill(name, net, say))}
        filled = [name for name in networks if name not in anew]
        if not any(map(is_generator, filled)):
            raise CheckpointError(f"--init_from {self.path}: found no generator ({'; '.join(anew.values())})")
        stored = ", ".join(dict.fromkeys(map(self._stored, filled)))
        say(f"starting from {stored} of {self.path}{'' if self.file else f' ({self.label})'}")
        if averaged := [name for name in filled if RAW + name not in networks and self._stored(RAW + name) != name]:
            raw = ", ".join(RAW + name for name in averaged)
            say(f"note: {', '.join(averaged)} are moving averages; with --ema, the run would also start from {raw}")
        for name, reason in anew.items():
            say(f"note: {name} starts from random weights: {reason}")
        return filled

    def _fill(self, name: str, network: nn.Module, say: Callable[[str], None]) -> str:
        """Load one network. Returns an empty string, or the reason why it keeps its random initialisation."""
        try:
            stored = self._stored(name)
            if self.file is not None:
                load_network(network, self.file, stored)
            elif self.folder.has_network(self.label, stored):
                self.folder.load_networks(self.label, {stored: network}, say)
            else:
                return f"{self.folder.network_path(self.label, name)} does not exist"
            return ""
        except MissingNetworkError as error:
            return str(error)
        except CheckpointError as error:
            if is_generator(name):
                raise
            return str(error)

    def _stored(self, name: str) -> str:
        """Return the name under which the source has a network: a generator without an average has only one."""
        own = self.file is None and self.folder.has_network(self.label, name)
        return name if own else name.removeprefix(RAW)


def is_generator(name: str) -> bool:
    """Return whether a network of this name is a generator."""
    return name.removeprefix(RAW).startswith("G")


def find_initial(text: str, label: str, checkpoints_dir: Path) -> Initial:
    """Find the source for `--init_from TEXT`: a file, a run in `checkpoints_dir`, or a folder. Raises UserError."""
    path = Path(text)
    if path.is_file():
        return Initial(RunFolder(path.absolute().parent.parent, path.absolute().parent.name), label, path)
    for folder in (RunFolder(checkpoints_dir, text), RunFolder(path.parent, path.name)):
        if folder.has_checkpoint:
            return Initial(folder, label)
    names = sorted(each.name for each in checkpoints_dir.glob("*"))
    known = [name for name in names if RunFolder(checkpoints_dir, name).has_checkpoint]
    shown = f"; runs in {checkpoints_dir}: {', '.join(known)}" if known else f"; {checkpoints_dir} contains no runs"
    raise UserError(
        f"--init_from {text}: not a run, a folder that contains *_net_*.pth or *_net_*.safetensors, or a file{shown}"
    )
