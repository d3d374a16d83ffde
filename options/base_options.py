"""Options that train.py and test.py share, and functions to compose, restore and print options."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import DATASETS
from models import MODELS
from util.arguments import Ignored, OptionError, Parser, build, flags_of, flatten, format_value, option, restore
from util.run.run_folder import RunFolder
from util.text import printable


@dataclass(frozen=True)
class ChoiceOptions:
    """model and data"""

    model: str = option(
        "cycle_gan",
        help="cycle_gan: translates in both directions; test: translates in one direction, only for test.py",
        choices=MODELS,
    )
    dataset_mode: str = option(
        "unaligned",
        help="unaligned: a folder for each of two domains; single: one folder, only for --model test",
        choices=DATASETS,
    )


SHIPPED_MODEL = "young2old"
"""Name of the run in checkpoints/ that is part of the project."""


@dataclass(frozen=True)
class RunOptions:
    """run"""

    name: str = option("experiment_name", help="name of the run and of its folders")
    suffix: str = option("", help="suffix of the name; may contain options, as in {model}_{netG}_size{load_size}")
    checkpoints_dir: Path = option(Path("checkpoints"), help="folder for the checkpoints of all runs")
    gpu_ids: str = option(
        "auto",
        help="index of the GPU, mps (Apple), or -1 for the CPU; auto: the first GPU, or the CPU if there is none",
    )
    seed: int = option(
        0, help="seed of initial weights, shuffling, crops, flips and image pools", least=0, most=2**63 - 1
    )
    verbose: bool = option(False, help="print the layers of the networks")

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if self.name.startswith("-"):
            raise OptionError(f"--name {self.name!r}: must not begin with a dash")


MOST_NAME_BYTES = 200
"""Maximum length of a name, which is used for folders and as the beginning of file names."""


def check_name(flag: str, name: str) -> None:
    """Raise OptionError if `name` is not a plain name of a file or folder."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise OptionError(f"--{flag} {name!r}: must be the plain name of a file or folder, without a path")
    if len(os.fsencode(name)) > MOST_NAME_BYTES:
        raise OptionError(f"--{flag} {name[:20]!r}...: must not be longer than {MOST_NAME_BYTES} bytes")


@dataclass(frozen=True)
class CheckpointChoice:
    """checkpoint"""

    epoch: str = option(
        "latest", help="checkpoint to load: the number of an epoch, latest or best", aliases=["which_epoch"]
    )
    load_iter: int = option(
        0,
        help="load the networks that --save_by_iter saved after this number of images; 0: use --epoch",
        unit="images",
        least=0,
    )

    def __post_init__(self) -> None:
        check_name("epoch", self.epoch)

    @property
    def label(self) -> str:
        """The label at the beginning of the checkpoint's file names."""
        return f"iter_{self.load_iter}" if self.load_iter > 0 else self.epoch


Sections = dict[str, type]
"""The option dataclasses of a command, by the field that contains each."""


@dataclass(frozen=True)
class Command:
    """The options of a command. The model and the dataset mode, which are options, determine which others exist."""

    program: str
    description: str
    sections: Callable[[ChoiceOptions], Sections]
    training: bool
    choose: Callable[[Mapping[str, Any]], ChoiceOptions]
    """returns the model and the dataset mode, given typed or saved values"""
    ignored: Mapping[str, Ignored] = field(default_factory=dict)
    """options of the public code base's command that have no effect here, by name"""

    def parser(self, sections: Sections, *, add_help: bool) -> Parser:
        """Create a parser with the flags of all sections."""
        parser = Parser(prog=self.program, description=self.description, add_help=add_help)
        for options_class in sections.values():
            parser.add_section(options_class, training=self.training)
        for name, ignored in self.ignored.items():
            parser.add_ignored(name, ignored)
        return parser


@dataclass(frozen=True)
class Gathered:
    """The options from the command line and from the run's folder."""

    typed: dict[str, Any]
    """options from the command line; always with model and dataset mode, and with the suffix appended to the name"""
    saved: dict[str, Any]
    sections: Sections
    folder: RunFolder


def gather(command: Command, argv: Sequence[str] | None, wants_saved: Callable[[Mapping[str, Any]], bool]) -> Gathered:
    """Read the command line and, if `wants_saved(typed values)`, the options saved with the run.

    Exits with a message for unknown options and invalid values. Raises OptionError if a typed option contradicts the
    saved options of the networks, and CheckpointError for a damaged opt.json.
    """
    # A first, lenient pass finds the run's folder. The options saved there may select the model, and so which flags
    # exist.
    first = _read_choice(argv)
    sections = command.sections(command.choose(first))
    peeked, _ = command.parser(sections, add_help=False).parse_known_args(argv)
    folder = _folder_of(command, vars(peeked), sections)
    saved = folder.read_options() if wants_saved(vars(peeked)) else {}
    choice = command.choose({**saved, **first})
    sections = command.sections(choice)
    typed = command.parser(sections, add_help=True).parse(argv)
    refuse_contradictions(typed, saved, sections, folder.path)
    return Gathered({**flatten(choice), **_with_name(command, typed, sections)}, saved, sections, folder)


def _read_choice(argv: Sequence[str] | None) -> dict[str, Any]:
    parser = Parser(add_help=False)
    parser.add_section(ChoiceOptions)
    return vars(parser.parse_known_args(argv)[0])


def _folder_of(command: Command, typed: Mapping[str, Any], sections: Sections) -> RunFolder:
    run = build(RunOptions, _with_name(command, typed, sections))
    return RunFolder(run.checkpoints_dir, run.name)


def _with_name(command: Command, typed: Mapping[str, Any], sections: Sections) -> dict[str, Any]:
    """Append `--suffix` to the name in the typed values. Commands that use a trained model use the project's own model
    if no name was typed and there is no run of the default name."""
    values = _with_suffix(typed, sections)
    run: RunOptions = build(RunOptions, values)
    folders = run.checkpoints_dir / run.name, run.checkpoints_dir / SHIPPED_MODEL
    if "name" not in values and not command.training and not folders[0].exists() and folders[1].exists():
        values["name"] = SHIPPED_MODEL
    return values


def _with_suffix(typed: Mapping[str, Any], sections: Sections) -> dict[str, Any]:
    """Fill in the placeholders of `--suffix`, and append it to the name in the typed values."""
    values = dict(typed)
    suffix = values.pop("suffix", "")
    if suffix:
        known = {**_defaults(sections), **values}
        try:
            # str.format is not used, because it also accepts attributes and widths, which can take gigabytes.
            filled = re.sub(r"\{(.*?)\}", lambda match: format_value(known[match[1]]), suffix)
        except KeyError as error:
            raise OptionError(f"--suffix {suffix!r}: {error} is not an option") from error
        values["name"] = f"{known['name']}_{filled}"
    return values


def _defaults(sections: Sections) -> dict[str, Any]:
    return {flag.name: flag.default for section in sections.values() for _, flag in flags_of(section)}


def refuse_contradictions(typed: Mapping[str, Any], saved: Mapping[str, Any], sections: Sections, where: Path) -> None:
    """Raise OptionError if a typed option contradicts the saved options of the networks in `where`."""
    for section in sections.values():
        for _, flag in flags_of(section):
            now, then = typed.get(flag.name), saved.get(flag.name)
            fixed = flag.metadata["architecture"] and not flag.metadata["adjustable"]
            if fixed and now is not None and then is not None and now != then:
                raise OptionError(
                    f"--{flag.name} {format_value(now)} contradicts the run in {where}, which was trained with "
                    f"--{flag.name} {format_value(then)}; omit the option"
                )


def restore_all(sections: Sections, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the saved values of the sections' flags to the form of typed values."""
    return {name: value for section in sections.values() for name, value in restore(section, saved).items()}


def build_all(sections: Sections, values: Mapping[str, Any]) -> dict[str, Any]:
    """Create an instance of each section. Raises OptionError if a value is missing or invalid."""
    if values.get("dataroot") is None:
        raise OptionError("--dataroot is required: the folder of the photos")
    return {name: build(options_class, values) for name, options_class in sections.items()}


def flatten_all(built: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
    """Return all options of the command as a flat dictionary of plain values, which can be saved as JSON."""
    return {
        name: value
        for options in built.values()
        for name, value in flatten(options).items()
        if name in {flag.name for _, flag in flags_of(type(options), training=training)}
    }


def format_table(values: Mapping[str, Any], sections: Sections) -> str:
    """Format the options as a table with one option per line, and the default for options that differ from it."""
    defaults = _defaults(sections)
    lines = ["----------------- Options ---------------"]
    for name, value in sorted(values.items()):
        default = defaults[name]
        differs = default is not None and format_value(value) != format_value(default)
        note = f"[default: {format_value(default)}]" if differs else ""
        lines.append(f"{name:>25}: {printable(format_value(value)):<30} {note}".rstrip())
    return "\n".join([*lines, "----------------- End -------------------"])
