"""Options of train.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data import DATASETS, LoaderOptions
from models import MODELS
from options.base_options import (
    CheckpointChoice,
    ChoiceOptions,
    Command,
    RunOptions,
    Sections,
    build_all,
    flatten_all,
    format_table,
    gather,
    restore_all,
)
from util.arguments import OptionError, build, option, restore
from util.run_folder import RunFolder
from util.visualizer import DisplayOptions


@dataclass(frozen=True)
class SavingOptions:
    """saving and continuing"""

    continue_train: bool = option(False, help="go on with the run --name where it stopped, with its options")
    overwrite: bool = option(False, help="replace a run of the same name")
    save_latest_freq: int = option(5000, help="how often the latest checkpoint is saved within an epoch", unit="images")
    save_epoch_freq: int = option(5, help="how often an epoch's checkpoint is kept", unit="epochs")
    save_by_iter: bool = option(False, help="keep what --save_latest_freq saves, as iter_N")

    def __post_init__(self) -> None:
        if self.save_latest_freq < 1 or self.save_epoch_freq < 1:
            raise OptionError("--save_latest_freq and --save_epoch_freq: at least 1")


@dataclass(frozen=True)
class TrainOptions:
    """All options of a training run, by the component that they are for."""

    choice: ChoiceOptions
    run: RunOptions
    data: Any
    loading: LoaderOptions
    model: Any
    saving: SavingOptions
    checkpoint: CheckpointChoice
    display: DisplayOptions
    folder: RunFolder
    values: dict[str, Any]
    """all of them, flat and plain"""
    table: str
    """all of them, for people"""


NOT_CONTINUED = (
    "continue_train",
    "overwrite",
    "epoch",
    "load_iter",
    "epoch_count",
    "gpu_ids",
    "name",
    "checkpoints_dir",
)
"""Options of one call of train.py rather than of the run."""


def _sections(choice: ChoiceOptions) -> Sections:
    return {
        "choice": ChoiceOptions,
        "run": RunOptions,
        "data": DATASETS[choice.dataset_mode].options_class,
        "loading": LoaderOptions,
        "model": MODELS[choice.model].options_class,
        "saving": SavingOptions,
        "checkpoint": CheckpointChoice,
        "display": DisplayOptions,
    }


def _choose(values: Mapping[str, Any]) -> ChoiceOptions:
    choice: ChoiceOptions = build(ChoiceOptions, restore(ChoiceOptions, values))
    if not MODELS[choice.model].trainable or DATASETS[choice.dataset_mode].training is None:
        raise OptionError(
            f"--model {choice.model} --dataset_mode {choice.dataset_mode} only translates; train with --model "
            f"cycle_gan --dataset_mode unaligned"
        )
    return choice


COMMAND = Command("train.py", "Train a CycleGAN between photos of young and of old people.", _sections, True, _choose)


def parse_train_options(argv: Sequence[str] | None = None) -> TrainOptions:
    """Read the command line of train.py. With --continue_train the run's saved options stand for those not typed.

    Raises OptionError for combinations that cannot be; prints help or a message and exits for what argparse refuses.
    """
    gathered = gather(COMMAND, argv, wants_saved=lambda typed: typed.get("continue_train", False))
    kept = restore_all(gathered.sections, gathered.saved)
    kept = {name: value for name, value in kept.items() if name not in NOT_CONTINUED}
    built = build_all(gathered.sections, {**kept, **gathered.typed})
    values = flatten_all(built, training=True)
    return TrainOptions(**built, folder=gathered.folder, values=values, table=format_table(values, gathered.sections))
