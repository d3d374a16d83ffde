"""What train.py and test.py have in common: which run, which model, which data; composing and saving options."""

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

    model: str = option("cycle_gan", help="cycle_gan: both directions; test: one, on a plain folder", choices=MODELS)
    dataset_mode: str = option(
        "unaligned", help="unaligned: folders of two domains; single: one folder", choices=DATASETS
    )


SHIPPED_MODEL = "young2old"
"""The name of the run in checkpoints/ that comes with the project."""


@dataclass(frozen=True)
class RunOptions:
    """the run"""

    name: str = option("experiment_name", help="name of the run, and of its folders")
    suffix: str = option("", help="appended to the name; may use options: {model}_{netG}_size{load_size}")
    checkpoints_dir: Path = option(Path("checkpoints"), help="folder of all runs' checkpoints")
    gpu_ids: str = option(
        "auto", help="GPU's number, mps (Apple), or -1 for the CPU; auto: the first GPU, the CPU where there is none"
    )
    seed: int = option(0, help="seed of weights, orders, crops, flips and pools", most=2**63 - 1)
    verbose: bool = option(False, help="print the networks")

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if self.name.startswith("-"):
            raise OptionError(f"--name {self.name!r}: must not begin with a dash, as options do")
        if self.seed < 0:
            raise OptionError(f"--seed {self.seed}: must not be negative")


MOST_NAME_BYTES = 200
"""So long a name may be, that it can be a folder's or the beginning of a file's."""


def check_name(flag: str, name: str) -> None:
    """Raise OptionError for what is no plain name of a file or folder."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise OptionError(f"--{flag} {name!r}: must be a plain name, as of a file or folder")
    if len(os.fsencode(name)) > MOST_NAME_BYTES:
        raise OptionError(f"--{flag} {name[:20]!r}...: must be shorter than {MOST_NAME_BYTES} bytes")


@dataclass(frozen=True)
class CheckpointChoice:
    """which checkpoint"""

    epoch: str = option("latest", help="epoch to load: its number, or latest", aliases=["which_epoch"])
    load_iter: int = option(0, help="load what --save_by_iter saved after so many images; 0: by --epoch", unit="images")

    def __post_init__(self) -> None:
        check_name("epoch", self.epoch)
        if self.load_iter < 0:
            raise OptionError(f"--load_iter {self.load_iter}: at least 0")

    @property
    def label(self) -> str:
        """The first part of the checkpoint's file names."""
        return f"iter_{self.load_iter}" if self.load_iter > 0 else self.epoch


Sections = dict[str, type]
"""The dataclasses of a command's options, by the name of the field that holds each."""


@dataclass(frozen=True)
class Command:
    """One command's options. The model and the dataset mode, themselves options, decide what others there are."""

    program: str
    description: str
    sections: Callable[[ChoiceOptions], Sections]
    training: bool
    choose: Callable[[Mapping[str, Any]], ChoiceOptions]
    """from typed or saved values to model and dataset mode"""
    ignored: Mapping[str, Ignored] = field(default_factory=dict)
    """options of the public command that have no effect here, by name"""

    def parser(self, sections: Sections, *, add_help: bool) -> Parser:
        """A parser of all the sections' flags."""
        parser = Parser(prog=self.program, description=self.description, add_help=add_help)
        for options_class in sections.values():
            parser.add_section(options_class, training=self.training)
        for name, ignored in self.ignored.items():
            parser.add_ignored(name, ignored)
        return parser


@dataclass(frozen=True)
class Gathered:
    """What the command line and the run's folder say."""

    typed: dict[str, Any]
    """with model and dataset mode in any case, and the suffix made part of the name"""
    saved: dict[str, Any]
    sections: Sections
    folder: RunFolder


def gather(command: Command, argv: Sequence[str] | None, wants_saved: Callable[[Mapping[str, Any]], bool]) -> Gathered:
    """Read the command line and, where `wants_saved(typed values)`, the options saved with the run.

    Exits with a message on unknown options and bad values. Raises OptionError for a typed flag that contradicts what
    was saved about the networks, CheckpointError for a damaged opt.json.
    """
    # A first, lenient reading finds the run's folder, whose saved options may choose the model and so the flags there
    # are.
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
    """The typed values with `--suffix` made part of the name. Commands that use a trained model fall back on the one
    that comes with the project if no name is typed and there is no run of the default name."""
    values = _with_suffix(typed, sections)
    run: RunOptions = build(RunOptions, values)
    folders = run.checkpoints_dir / run.name, run.checkpoints_dir / SHIPPED_MODEL
    if "name" not in values and not command.training and not folders[0].exists() and folders[1].exists():
        values["name"] = SHIPPED_MODEL
    return values


def _with_suffix(typed: Mapping[str, Any], sections: Sections) -> dict[str, Any]:
    """The typed values with `--suffix`, its placeholders filled in, made part of the name."""
    values = dict(typed)
    suffix = values.pop("suffix", "")
    if suffix:
        known = {**_defaults(sections), **values}
        try:
            # Plain names alone: str.format would take attributes and widths, too, and gigabytes for some of them.
            filled = re.sub(r"\{(.*?)\}", lambda match: format_value(known[match[1]]), suffix)
        except KeyError as error:
            raise OptionError(f"--suffix {suffix!r}: {error} names no option") from error
        values["name"] = f"{known['name']}_{filled}"
    return values


def _defaults(sections: Sections) -> dict[str, Any]:
    return {flag.name: flag.default for section in sections.values() for _, flag in flags_of(section)}


def refuse_contradictions(typed: Mapping[str, Any], saved: Mapping[str, Any], sections: Sections, where: Path) -> None:
    """Raise OptionError where a typed flag says something else about the networks than what was saved in `where`."""
    for section in sections.values():
        for _, flag in flags_of(section):
            now, then = typed.get(flag.name), saved.get(flag.name)
            if flag.metadata["architecture"] and now is not None and then is not None and now != then:
                raise OptionError(
                    f"--{flag.name} {format_value(now)} contradicts the run in {where}, trained with "
                    f"--{flag.name} {format_value(then)}; leave the option out"
                )


def restore_all(sections: Sections, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The saved values of the sections' flags, as typed values are."""
    return {name: value for section in sections.values() for name, value in restore(section, saved).items()}


def build_all(sections: Sections, values: Mapping[str, Any]) -> dict[str, Any]:
    """An instance of each section. Raises OptionError where a value is missing or refused."""
    if values.get("dataroot") is None:
        raise OptionError("--dataroot is required: the folder of the photos")
    return {name: build(options_class, values) for name, options_class in sections.items()}


def flatten_all(built: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
    """All options that the command offers as one flat dictionary of plain values, to be saved as JSON."""
    return {
        name: value
        for options in built.values()
        for name, value in flatten(options).items()
        if name in {flag.name for _, flag in flags_of(type(options), training=training)}
    }


def format_table(values: Mapping[str, Any], sections: Sections) -> str:
    """The options for people, one a line, with the default behind those that differ from it."""
    defaults = _defaults(sections)
    lines = ["----------------- Options ---------------"]
    for name, value in sorted(values.items()):
        default = defaults[name]
        differs = default is not None and format_value(value) != format_value(default)
        note = f"[default: {format_value(default)}]" if differs else ""
        lines.append(f"{name:>25}: {printable(format_value(value)):<30} {note}".rstrip())
    return "\n".join([*lines, "----------------- End -------------------"])
