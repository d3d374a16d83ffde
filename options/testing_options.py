"""Options of test.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from data import DATASETS, LoaderOptions
from models import MODELS, ModelOptions
from models.age_estimator import DEFAULT_PATH, AgeEstimator, load_estimator
from models.base_model import SHA256
from options.base_options import (
    SHIPPED_MODEL,
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
from util.arguments import Ignored, OptionError, build, flags_of, option, restore
from util.run.run_folder import RunFolder


@dataclass(frozen=True)
class ResultOptions:
    """results"""

    results_dir: Path = option(Path("results"), help="folder for the results of all runs")
    num_test: int | None = option(
        None,
        help="maximum number of photos of each domain to translate; by default, all",
        aliases=["ntest", "how_many"],
        least=1,
    )
    aspect_ratio: float = option(1.0, help="factor by which the width of the saved images is stretched")
    display_winsize: int = option(
        256,
        help="approximate total width of a photo and its translation on the HTML page",
        unit="pixels",
        least=1,
        most=10000,
    )

    def __post_init__(self) -> None:
        if not 0.1 <= self.aspect_ratio <= 10:
            raise OptionError(f"--aspect_ratio {self.aspect_ratio}: expected a factor between 0.1 and 10")


@dataclass(frozen=True)
class FigureOptions:
    """years gained"""

    age_estimator: Path | None = option(
        None,
        help="age estimator for the years shown under each face: a file that scripts/train_age_estimator.py wrote; "
        f"without the option, {DEFAULT_PATH} is used if it exists",
    )

    def load(self, device: torch.device) -> AgeEstimator | None:
        """Load the estimator; None if none is given and the default does not exist. Raises CheckpointError."""
        path = self.age_estimator or DEFAULT_PATH
        return load_estimator(path, device) if self.age_estimator or path.is_file() else None

    def describe(self, estimator: AgeEstimator, folder: RunFolder) -> str:
        """Return the estimator's path, with a warning if the run in `folder` was trained with this estimator."""
        saved = folder.read_options()
        is_teacher = any(saved[name] == estimator.sha256 for name in saved if name.endswith(SHA256))
        return f"{self.age_estimator or DEFAULT_PATH}" + (
            ", which this model was trained with, so that the years are overestimated" if is_teacher else ""
        )


@dataclass(frozen=True)
class TestOptions:
    """All options of a test, by component."""

    __test__ = False  # otherwise pytest collects this class as a test

    choice: ChoiceOptions
    run: RunOptions
    data: Any
    loading: LoaderOptions
    model: ModelOptions
    checkpoint: CheckpointChoice
    results: ResultOptions
    folder: RunFolder
    values: dict[str, Any]
    """all options, as a flat dictionary of plain values"""
    table: str
    """all options, as a table for people"""
    figures: FigureOptions = FigureOptions()
    direction: str = "AtoB"
    """AtoB if the model's domain A is young, otherwise BtoA: as typed, or as the run was trained"""

    @property
    def result_folder(self) -> Path:
        """Folder for the page and the images."""
        phase = self.values.get("phase", "test")
        return self.results.results_dir / self.run.name / f"{self.checkpoint.label}_{phase}"


def run_sections(choice: ChoiceOptions) -> Sections:
    """Return the sections of test.py's options."""
    return {
        "choice": ChoiceOptions,
        "run": RunOptions,
        "data": DATASETS[choice.dataset_mode].options_class,
        "loading": LoaderOptions,
        "model": MODELS[choice.model].options_class,
        "checkpoint": CheckpointChoice,
        "results": ResultOptions,
    }


def choose(values: Mapping[str, Any]) -> ChoiceOptions:
    """Return the model and dataset mode, given typed or saved values."""
    known = restore(ChoiceOptions, values)
    if known.get("model") == "test":
        known["dataset_mode"] = "single"
    return build(ChoiceOptions, known)


def _sections(choice: ChoiceOptions) -> Sections:
    return {**run_sections(choice), "figures": FigureOptions}


NO_DISCRIMINATORS = Ignored("test.py does not use discriminators")
NOT_DRAWN = Ignored("weights are loaded and not initialised")
IGNORED = {
    "eval": Ignored("networks are always in evaluation mode", False),
    **dict.fromkeys(("ndf", "netD", "n_layers_D"), NO_DISCRIMINATORS),
    **dict.fromkeys(("init_type", "init_gain"), NOT_DRAWN),
    "use_wandb": Ignored("results are shown on an HTML page; only train.py logs to Weights & Biases", False),
    "wandb_project_name": Ignored("results are shown on an HTML page; only train.py logs to Weights & Biases"),
}
"""Options of the public code base's test.py that have no effect here."""

DESCRIPTION = (
    "Translate photos with a trained model and show the results on an HTML page. By default, --phase is test, and "
    "--dataroot and all options that describe networks and preprocessing are those of the run. Without --name, the "
    f"project's own model, {SHIPPED_MODEL}, is used if there is no run of the default name."
)
COMMAND = Command(
    "test.py",
    DESCRIPTION,
    _sections,
    False,
    choose,
    IGNORED,
)


def parse_test_options(argv: Sequence[str] | None = None) -> TestOptions:
    """Parse the command line of test.py. Options of networks, preprocessing and domains that are not typed are those of
    the run.

    Raises OptionError for invalid combinations. On --help and on invalid options, prints a message and exits.
    """
    return read_run_options(COMMAND, argv)[0]


def read_run_options(
    command: Command, argv: Sequence[str] | None
) -> tuple[TestOptions, dict[str, Any], dict[str, Any]]:
    """Parse the options of a command that may have further sections. Returns test.py's options, instances of the
    further sections, and the options saved with the run."""
    gathered = gather(command, argv, wants_saved=lambda typed: True)
    built = build_all(gathered.sections, {**_defaults(gathered), **gathered.typed})
    offer_suffixes(built, gathered.folder)
    values = flatten_all(built, training=False)
    further = {name: built.pop(name) for name in set(built) - {field.name for field in fields(TestOptions)}}
    table = format_table(values, gathered.sections)
    direction = known_direction(values, gathered.saved)
    options = TestOptions(**built, folder=gathered.folder, values=values, table=table, direction=direction)
    return options, further, gathered.saved


def offer_suffixes(built: Mapping[str, Any], folder: RunFolder) -> None:
    """Raise OptionError if --model_suffix selects a network that the run lacks although it has others."""
    if built["choice"].model != "test":
        return
    label, suffix = built["checkpoint"].label, built["model"].model_suffix
    known = [each for each in ("", "_A", "_B") if folder.has_network(label, f"G{each}")]
    if suffix not in known and known:
        meanings = {"": "", "_A": " (young to old)", "_B": " (old to young)"}
        offers = " or ".join(f"--model_suffix {each or repr('')}{meanings[each]}" for each in known)
        raise OptionError(f"{folder.path} does not contain {label}_net_G{suffix}.pth: use {offers}")


def known_direction(*values: Mapping[str, Any]) -> str:
    """Return the first direction in the given options; AtoB if they contain none."""
    named = (each.get("direction") for each in values)
    return next((direction for direction in named if direction in ("AtoB", "BtoA")), "AtoB")


def _defaults(gathered: Gathered) -> dict[str, Any]:
    """Return the values of options that are not typed: the run's networks, and its photos without augmentation."""
    saved = restore_all(gathered.sections, gathered.saved)
    flags = [flag for section in gathered.sections.values() for _, flag in flags_of(section)]
    of_networks = {flag.name for flag in flags if flag.metadata["architecture"]}
    of_photos = {"preprocess", "load_size", "crop_size", "test_size", "direction"}
    if gathered.saved.get("dataset_mode") in DATASETS and "phase" in {flag.name for flag in flags}:
        of_photos.add("dataroot")
    values = {name: value for name, value in saved.items() if name in of_networks | of_photos}
    known = {**{flag.name: flag.default for flag in flags}, **values, **gathered.typed}
    size = known["load_size" if known["preprocess"] == "resize" else "crop_size"]  # there is no random crop
    if known["test_size"] and not {"load_size", "crop_size"} & gathered.typed.keys():
        size = known["test_size"]
    return {**values, "load_size": size, "crop_size": size, "phase": "test"}
