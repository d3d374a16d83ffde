"""Options of train.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from data import DATASETS, LoaderOptions
from data.cache import CacheOptions
from evaluation.held_out import HeldOutOptions
from models import MODELS, TrainableOptions
from models.base_model import SHA256
from models.discriminators import DiscriminatorOptions
from models.face_embedder import FaceModelOptions
from models.fast.speed import SpeedOptions
from models.guard import GuardOptions
from options.base_options import (
    CheckpointChoice,
    ChoiceOptions,
    Command,
    Gathered,
    RunOptions,
    Sections,
    build_all,
    flatten_all,
    format_table,
    gather,
    restore_all,
)
from options.presets import PresetOptions
from util.arguments import OptionError, build, flags_of, format_value, restore
from util.distributed import under_torchrun
from util.files import sha256_of
from util.initial import Initial, find_initial
from util.run.run_folder import LATEST, RunFolder
from util.run.saving import SavingOptions
from util.visualizer import DisplayOptions


@dataclass(frozen=True)
class TrainOptions:
    """All options of a training run, by component."""

    choice: ChoiceOptions
    run: RunOptions
    preset: PresetOptions
    data: Any
    loading: LoaderOptions
    model: TrainableOptions
    saving: SavingOptions
    checkpoint: CheckpointChoice
    guard: GuardOptions
    held_out: HeldOutOptions
    display: DisplayOptions
    folder: RunFolder
    values: dict[str, Any]
    """all options, as a flat dictionary of plain values"""
    table: str
    """all options, as a table for people"""
    initial: Initial | None = None
    """source of the initial weights of a new run; None for random weights"""
    changes: tuple[str, ...] = ()
    """options that differ from those of the resumed run, such as `--lr 0.0002 -> 0.0001`"""


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
"""Options of a single call of train.py that are not restored when a run is resumed."""

CHANGEABLE_SECTIONS = (
    SavingOptions,
    CheckpointChoice,
    GuardOptions,
    HeldOutOptions,
    FaceModelOptions,
    DisplayOptions,
    SpeedOptions,
    CacheOptions,
)
CHANGEABLE = (
    "gpu_ids",
    "verbose",
    "num_threads",
    "prefetch_factor",
    "accumulate",
    "dataroot",
    "n_epochs",
    "n_epochs_decay",
    "features_size",
    "features_smallest",
    "test_size",
    "lr",
    "lr_policy",
    "lr_decay_iters",
    *NOT_CONTINUED,
)
"""Options that may change when a run is resumed: its length and learning rate, which people adjust; the locations of
photos and results and the display of progress; the precision, hardware and parallelism. To change any other option, a
new run is required. If a new option may change, add it here."""


def _sections(choice: ChoiceOptions) -> Sections:
    return {
        "choice": ChoiceOptions,
        "run": RunOptions,
        "preset": PresetOptions,
        "data": DATASETS[choice.dataset_mode].options_class,
        "loading": LoaderOptions,
        "model": MODELS[choice.model].options_class,
        "saving": SavingOptions,
        "checkpoint": CheckpointChoice,
        "guard": GuardOptions,
        "held_out": HeldOutOptions,
        "display": DisplayOptions,
    }


def _choose(values: Mapping[str, Any]) -> ChoiceOptions:
    choice: ChoiceOptions = build(ChoiceOptions, restore(ChoiceOptions, values))
    if not MODELS[choice.model].trainable or DATASETS[choice.dataset_mode].training is None:
        raise OptionError(
            f"--model {choice.model} --dataset_mode {choice.dataset_mode} can only be used for translation; train with "
            f"--model cycle_gan --dataset_mode unaligned"
        )
    return choice


COMMAND = Command("train.py", "Train a CycleGAN between photos of young and old people.", _sections, True, _choose)


def parse_train_options(argv: Sequence[str] | None = None) -> TrainOptions:
    """Parse the command line of train.py. With --continue_train, options that are not typed are those saved with the
    run.

    Raises OptionError for invalid combinations, and for options that must not change when a run is resumed. On --help
    and on invalid options, prints a message and exits.
    """
    gathered = gather(COMMAND, argv, wants_saved=lambda typed: typed.get("continue_train", False))
    initial = read_initial(gathered)
    restored = restore_all(gathered.sections, gathered.saved)
    preset: PresetOptions = build(PresetOptions, {**restored, **gathered.typed})
    # Options that a resumed run was started without have their default, and not the preset's current value.
    preset_values = {} if gathered.saved else preset.values
    kept = take_over(initial, gathered, preset_values) if initial else restored
    kept = {name: value for name, value in kept.items() if name not in NOT_CONTINUED}
    built = build_all(gathered.sections, {**preset_values, **kept, **gathered.typed})
    values = flatten_all(built, training=True)
    check_direction(values)
    table = format_table(values, gathered.sections)
    changes = find_changes(gathered, values)
    if built["checkpoint"].label == LATEST:
        refuse_other_run(gathered, changes)
    return TrainOptions(
        **built,
        folder=gathered.folder,
        values=values | note_teachers(built, gathered),
        table=table,
        initial=initial,
        changes=tuple(change.told for change in changes.values()),
    )


def check_direction(values: Mapping[str, Any]) -> None:
    """Raise OptionError for options that take domain A for the young faces if it holds the old ones."""
    if values["direction"] == "BtoA":
        for flag in ("age_loss", "grey_hair"):
            if values.get(flag):
                raise OptionError(f"--{flag} needs --direction AtoB, because domain A must be the young faces")


def read_initial(gathered: Gathered) -> Initial | None:
    """Return the source of a new run's initial weights (`--init_from`), or None. Raises OptionError and UserError."""
    typed, folder = gathered.typed, gathered.folder
    text = typed.get("init_from", "")
    if text and typed.get("continue_train") and not under_torchrun():
        raise OptionError("--init_from starts a new run, but --continue_train resumes one: omit one of them")
    if not text or (typed.get("continue_train") and folder.has_checkpoint):
        return None
    choice = build(CheckpointChoice, {name: typed[name] for name in ("epoch", "load_iter") if name in typed})
    return find_initial(text, choice.label, folder.path.parent)


def take_over(initial: Initial, gathered: Gathered, preset_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that describe the networks of `--init_from`, as they were trained.

    Raises OptionError if typed options contradict those of the generators. Discriminators and adjustable options may
    differ, by typed options or by those of a preset; if the weights of discriminators no longer fit, they start from
    random ones.
    """
    saved = restore_all(gathered.sections, initial.options())
    flags = [pair for section in gathered.sections.values() for pair in flags_of(section)]
    described = {flag.name for _, flag in flags if flag.metadata["architecture"]} | {"direction"}
    then = {name: value for name, value in saved.items() if name in described}
    for owner, flag in flags:
        now = gathered.typed.get(flag.name)
        may_differ = owner is DiscriminatorOptions or flag.metadata["adjustable"]
        if may_differ and flag.name in preset_values:
            then.pop(flag.name, None)
        if flag.name in then and now not in (None, then[flag.name]) and not may_differ:
            raise OptionError(
                f"--{flag.name} {format_value(now)} contradicts the networks of --init_from {initial.path}, which were "
                f"trained with --{flag.name} {format_value(then[flag.name])}; omit the option"
            )
    return then


def note_teachers(built: Mapping[str, Any], gathered: Gathered) -> dict[str, str]:
    """Return the SHA-256 of each age estimator that the run is trained with, which evaluate.py must not use.

    Raises OptionError if one cannot be used or differs from the one of the resumed run.
    """
    model: TrainableOptions = built["model"]
    held_out, noted = built["held_out"], {}
    for flag, path in model.teachers.items():
        if not path.is_file():
            raise OptionError(
                f"--{flag} {path} does not exist: restore it, or train one with scripts/train_age_estimator.py"
            )
        sha256, then = sha256_of(path), gathered.saved.get(flag + SHA256)
        if then not in (None, sha256):
            raise OptionError(
                f"--{flag} {path} is not the estimator that the run in {gathered.folder.path} was trained with so far: "
                f"restore that file, whose SHA-256 is {then}"
            )
        if held_out.eval_freq and held_out.age_estimator.is_file() and sha256_of(held_out.age_estimator) == sha256:
            raise OptionError(
                f"--age_estimator {held_out.age_estimator} is the estimator that --{flag} trains with: evaluate "
                "held-out faces with another one"
            )
        noted[flag + SHA256] = sha256
    return noted


class Change(NamedTuple):
    """The previous and the new value of an option, as typed on the command line."""

    then: str
    now: str
    told: str
    is_of_run: bool
    """whether the option must not change when a run is resumed"""


def find_changes(gathered: Gathered, values: Mapping[str, Any]) -> dict[str, Change]:
    """Return the options that differ from those of the resumed run, without those of single calls."""
    restored = restore_all(gathered.sections, gathered.saved)
    saved = {name: str(value) if isinstance(value, Path) else value for name, value in restored.items()}
    changes = {}
    for section in gathered.sections.values():
        for owner, flag in flags_of(section):
            name = flag.name
            if name not in saved or name in NOT_CONTINUED or saved[name] == values[name]:
                continue
            then, now = format_value(saved[name]), format_value(values[name])
            is_of_run = name not in CHANGEABLE and owner not in CHANGEABLE_SECTIONS
            changes[name] = Change(then, now, f"--{name} {then} -> {now}", is_of_run)
    return changes


def refuse_other_run(gathered: Gathered, changes: Mapping[str, Change]) -> None:
    """Raise OptionError if an option was changed that must not change when a run is resumed."""
    epochs, run = gathered.folder.describe_epochs(), gathered.folder.path.name
    further = f"from its networks with --init_from {run}; or restart from an epoch's networks with {epochs}"
    further = further if epochs else f"from its networks with --init_from {run}"
    for name, change in changes.items():
        if change.is_of_run:
            raise OptionError(
                f"--{name} {change.now} cannot be used to resume the run in {gathered.folder.path}, which was trained "
                f"with --{name} {change.then}: omit the option, or use another --name for a new run ({further})"
            )
