"""Builds an argparse command line from frozen dataclasses in which each component declares its options.

    @dataclass(frozen=True)
    class PoolOptions:
        '''image pool'''                                           # the heading in --help
        pool_size: int = option(50, help="translated images kept", unit="images")

    parser = Parser(prog="train.py")
    parser.add_section(PoolOptions)
    pool = build(PoolOptions, parser.parse(["--pool_size", "10"]))

A section may contain other sections as fields (`section(PoolOptions)`); the flags stay flat. Default values are stored
only in the dataclasses: the parser returns only the options that were given on the command line, so that a caller can
insert other values (of a checkpoint or a preset) between the two.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from util.errors import UserError
from util.text import printable


class OptionError(UserError):
    """Raised for invalid option values or combinations; the message names the flags and says what to do."""


def option(
    default: Any,
    *,
    help: str,
    unit: str = "",
    choices: Collection[str] = (),
    parse: Callable[[str], Any] | None = None,
    aliases: Mapping[str, Any] | Sequence[str] = (),
    off_switch: bool = False,
    bare: str = "",
    train_only: bool = False,
    architecture: bool = False,
    adjustable: bool = False,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Declare one field of an options dataclass.

    unit: shown in the help text before the default. choices: the allowed values; may be a registry that still grows.
    parse: function from text to value that raises ArgumentTypeError; the field's annotation by default.
    aliases: older spellings; a mapping gives the value that an old switch stands for (`{"no_lsgan": "vanilla"}`) or a
    function that converts an old flag's text to the new value. off_switch: for a bool, whether --no_NAME turns it off.
    bare: the value used if the flag is given without one. train_only: whether test.py leaves the flag out.
    architecture: whether the option describes the networks, and so is fixed by a checkpoint. adjustable: whether the
    checkpoint's value is only a default, because any value fits the weights. least, most: the smallest and the largest
    accepted number.
    """
    metadata = {
        "help": help,
        "unit": unit,
        "choices": choices,
        "parse": parse,
        "aliases": aliases if isinstance(aliases, Mapping) else dict.fromkeys(aliases),
        "off_switch": off_switch,
        "bare": bare,
        "train_only": train_only,
        "architecture": architecture,
        "adjustable": adjustable,
        "least": least,
        "most": most,
    }
    return dataclasses.field(default=default, metadata=metadata)


def split_paths(text: str) -> tuple[Path, ...]:
    """Parse comma-separated paths such as `older.onnx,younger.onnx`. Raises ArgumentTypeError."""
    if not all(text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected paths separated by commas")
    return tuple(map(Path, text.split(",")))


def section(options_class: type, *, train_only: bool = False) -> Any:
    """Declare a field that is itself a dataclass of options."""
    return dataclasses.field(
        default_factory=options_class, metadata={"section": options_class, "train_only": train_only}
    )


@dataclasses.dataclass(frozen=True)
class Flag:
    """One option of a section, with its resolved type."""

    name: str
    type: Any
    default: Any
    metadata: Mapping[str, Any]

    def describe(self) -> str:
        """Return the help text with unit and default value, if there is one, appended: `... (images; default: 50)`."""
        notes = [self.metadata["unit"]] if self.metadata["unit"] else []
        if self.default not in (None, "") and (self.type is not bool or self.metadata["off_switch"]):
            notes.append(f"default: {format_value(self.default)}")
        closing = f" ({'; '.join(notes)})" if notes else ""
        return (self.metadata["help"] + closing).replace("%", "%%")


def format_value(value: Any) -> str:
    """Format a value as it would be typed on the command line."""
    if value is None:
        return "none"
    return (",".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def flags_of(options_class: type, *, training: bool = True) -> Iterator[tuple[type, Flag]]:
    """Yield all flags of a section and its nested sections in order, each with the class that declares it."""
    hints = typing.get_type_hints(options_class)
    for field in dataclasses.fields(options_class):
        if field.metadata.get("train_only") and not training:
            continue
        if "section" in field.metadata:
            yield from flags_of(field.metadata["section"], training=training)
        else:
            yield options_class, Flag(field.name, hints[field.name], field.default, field.metadata)


def build(options_class: type, values: Mapping[str, Any]) -> Any:
    """Create an instance of `options_class` from flat values. Options missing from `values` take their default.

    Raises OptionError if a value is out of bounds or the dataclass's own checks refuse the combination.
    """
    _check_bounds(options_class, values)
    arguments = {}
    for field in dataclasses.fields(options_class):
        if "section" in field.metadata:
            arguments[field.name] = build(field.metadata["section"], values)
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return options_class(**arguments)


def _check_bounds(options_class: type, values: Mapping[str, Any]) -> None:
    """Raise OptionError for NaN and for a number outside the option's bounds."""
    for field in dataclasses.fields(options_class):
        value, least, most = values.get(field.name), field.metadata.get("least"), field.metadata.get("most")
        if not isinstance(value, (int, float)):
            continue
        if isinstance(value, float) and math.isnan(value):
            raise OptionError(f"--{field.name} {value}: expected a number")
        if least is not None and value < least:
            raise OptionError(f"--{field.name} {value}: must be at least {least}")
        if most is not None and value > most:
            raise OptionError(f"--{field.name} {value}: must be at most {most}")


def flatten(options: Any) -> dict[str, Any]:
    """Convert an options dataclass to flat `{flag name: value}`, with paths as text: the inverse of `build`."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            values.update(flatten(value))
        else:
            values[field.name] = str(value) if isinstance(value, Path) else value
    return values


def restore(options_class: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the values of this section's flags from a saved JSON object, as if they were typed on the command line.

    Raises OptionError for a value that is invalid for its flag.
    """
    restored = {}
    for _, flag in flags_of(options_class):
        if flag.name in values:
            value = values[flag.name]
            try:
                restored[flag.name] = _read_saved(flag, value)
            except (ValueError, OverflowError, argparse.ArgumentTypeError) as error:
                raise OptionError(
                    f"the saved options contain the invalid value --{flag.name} {value!r}: restore or delete "
                    "the run's opt.json"
                ) from error
    return restored


def _read_saved(flag: Flag, value: Any) -> Any:
    """Convert a value from a JSON file as the parser would. Raises ValueError or ArgumentTypeError."""
    is_tuple = typing.get_origin(_base_type(flag.type)) is tuple
    if value is None and (flag.default is None or type(None) in typing.get_args(flag.type)):
        return None
    if isinstance(value, bool) and flag.type is bool:
        return value
    kinds = (str, int, float, list, tuple) if is_tuple else (str, int, float)
    if flag.type is bool or isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{value!r} has the wrong type")
    read = _parser_of(flag)(format_value(tuple(value) if isinstance(value, list) else value))
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError(f"{read} is not a finite number")
    if flag.metadata["choices"] and read not in flag.metadata["choices"]:
        raise ValueError(f"{read!r} is not one of the choices")
    return read


def _base_type(annotation: Any) -> Any:
    """Strip None from an annotation: `int` for `int | None`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation


class _OldSpelling(argparse.Action):
    """Accept a flag's old name and print its new one.

    `meaning` is None (the same value under another name), a function from text to value, or the value that the switch
    stands for.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, flag: Flag, meaning: Any, **kwargs: Any) -> None:
        is_switch = flag.type is bool if meaning is None else not callable(meaning)
        self.constant = (True if meaning is None else meaning) if is_switch else None
        self.read = None if is_switch else meaning or _parser_of(flag)
        self.known = flag.metadata["choices"]
        nargs: Any = 0 if is_switch else None
        super().__init__(option_strings, dest, nargs=nargs, **{**kwargs, "help": argparse.SUPPRESS})

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, text: Any, spelling: str | None = None
    ) -> None:
        try:
            value = self.read(text) if self.read else self.constant
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise argparse.ArgumentError(self, str(error)) from error
        if self.known and value not in self.known:
            raise argparse.ArgumentError(self, f"invalid choice: {text!r} (choose from {', '.join(self.known)})")
        today = f"--{self.dest}" if value is True else f"--{self.dest} {format_value(value)}"
        advice = f"omit --{self.dest} instead" if value is False else f"use {printable(today)} instead"
        if isinstance(parser, Parser):
            parser.notes.append(f"note: {spelling} is deprecated; {advice}")
        setattr(namespace, self.dest, value)


def _parser_of(flag: Flag) -> Callable[[str], Any]:
    return flag.metadata["parse"] or _base_type(flag.type)


class Ignored(NamedTuple):
    """An option that is accepted but has no effect: the reason to print, and whether the option takes a value."""

    meaning: str
    takes_value: bool = True


class _Ignore(argparse.Action):
    """Accept a flag and print why it has no effect."""

    def __init__(self, option_strings: Sequence[str], dest: str, ignored: Ignored, **common: Any) -> None:
        self.meaning = ignored.meaning
        super().__init__(option_strings, dest, nargs=None if ignored.takes_value else 0, **common)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, text: Any, spelling: str | None = None
    ) -> None:
        if isinstance(parser, Parser):
            parser.notes.append(f"note: {spelling} has no effect: {self.meaning}")


class Parser(argparse.ArgumentParser):
    """A strict parser that returns only the options given, and lists the known options if one is unknown."""

    def __init__(self, **kwargs: Any) -> None:
        width = {"formatter_class": lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110)}
        super().__init__(**{**width, **kwargs}, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        self.usage = "%(prog)s [options]   (--help lists them)"
        self.notes: list[str] = []
        """notes about deprecated and ignored options, which `parse` prints"""

    def add_section(self, options_class: type, *, training: bool = True) -> None:
        """Add the flags of a section. Each dataclass is a help group titled with the first line of its docstring."""
        groups: dict[type, Any] = {}
        for owner, flag in flags_of(options_class, training=training):
            if owner not in groups:
                groups[owner] = self.add_argument_group((owner.__doc__ or owner.__name__).splitlines()[0].rstrip("."))
            self._add_flag(groups[owner], flag)

    def _add_flag(self, group: Any, flag: Flag) -> None:
        metadata = flag.metadata
        common: dict[str, Any] = {"dest": flag.name, "help": flag.describe()}
        if flag.type is bool:
            group.add_argument(f"--{flag.name}", action="store_true", default=argparse.SUPPRESS, **common)
            if metadata["off_switch"]:
                off = {**common, "help": f"the opposite of --{flag.name}"}
                group.add_argument(f"--no_{flag.name}", action="store_false", default=argparse.SUPPRESS, **off)
        else:
            if metadata["bare"]:
                common |= {"nargs": "?", "const": metadata["bare"]}
            group.add_argument(
                f"--{flag.name}",
                type=_parser_of(flag),
                choices=metadata["choices"] or None,
                metavar=f"{{{'|'.join(metadata['choices'])}}}" if metadata["choices"] else flag.name.upper(),
                **common,
            )
        for old, meaning in metadata["aliases"].items():
            group.add_argument(f"--{old}", dest=flag.name, action=_OldSpelling, flag=flag, meaning=meaning)

    def add_ignored(self, name: str, ignored: Ignored) -> None:
        """Accept an option that has no effect."""
        self.add_argument(f"--{name}", action=_Ignore, dest=argparse.SUPPRESS, ignored=ignored, help=argparse.SUPPRESS)

    def parse(self, argv: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the options given, as `{flag name: value}`. On invalid input, prints a message and exits with
        status 2."""
        namespace, unknown = self.parse_known_args(argv)
        if unknown:
            self._refuse_unknown(unknown)
        print(*self.notes, sep="\n", end="\n" if self.notes else "", file=sys.stderr)
        return vars(namespace)

    def error(self, message: str) -> NoReturn:
        """Print the error message and exit with status 2."""
        super().error(printable(message, keep="\n"))

    def _refuse_unknown(self, unknown: Sequence[str]) -> NoReturn:
        known = sorted(
            name for action in self._actions if action.help != argparse.SUPPRESS for name in action.option_strings
        )
        lines = []
        for word in (word for word in unknown if word.startswith("-") or unknown[0] == word):
            close = difflib.get_close_matches(word.split("=")[0], known, n=1, cutoff=0.6)
            lines.append(f"unknown option {printable(word)}" + (f" (did you mean {close[0]}?)" if close else ""))
        self.error("; ".join(lines) + "\nknown options: " + " ".join(known))
