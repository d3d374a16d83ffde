"""Options of evaluate.py: those of test.py for a run, few for a folder of results, and what to measure by."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.manifest import is_aligned
from models.age_estimator import DEFAULT_PATH
from models.face_embedder import FaceModelOptions
from options.base_options import ChoiceOptions, Command, RunOptions, Sections, flatten_all, format_table
from options.testing_options import TestOptions, choose, known_direction, read_run_options, run_sections
from util.arguments import OptionError, Parser, build, option, section
from util.run.run_folder import RunFolder


def _paths(text: str) -> tuple[Path, ...]:
    """`a.pth,b.pth` as paths."""
    if not all(text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected files, separated by commas")
    return tuple(map(Path, text.split(",")))


@dataclass(frozen=True)
class MeasureOptions:
    """what to measure, and by what"""

    results: Path | None = option(
        None,
        help="measure this folder of results (STEM_real_A.png, STEM_fake_B.png, ..., the public code's too) "
        "instead of a run; further options then: --direction --batch_size --gpu_ids --seed",
    )
    age_estimator: tuple[Path, ...] = option(
        (DEFAULT_PATH,),
        help="files of scripts/train_age_estimator.py, separated by commas: the first measures, "
        "the others show how far estimators differ",
        parse=_paths,
    )
    inception: Path | None = option(None, help="weights file for FID and KID by torch-fidelity; none: left out")
    manifest: Path | None = option(
        None, help="manifest.csv with ages, genders and identities; none: that of --dataroot, where there is one"
    )
    bootstrap: int = option(
        2000, help="replicates behind each interval; 0: no intervals", unit="replicates", most=10**5
    )
    examples: int = option(4, help="faces shown of the best, the median and the worst each", unit="faces", most=100)
    output: Path | None = option(None, help="folder of the report; none: evaluation/ in the folder of the results")
    face: FaceModelOptions = section(FaceModelOptions)

    def __post_init__(self) -> None:
        for flag in ("bootstrap", "examples"):
            if getattr(self, flag) < 0:
                raise OptionError(f"--{flag} {getattr(self, flag)}: at least 0")


@dataclass(frozen=True)
class FolderOptions:
    """measuring a folder of results"""

    direction: str | None = option(
        None,
        help="AtoB: what the files call A is young, and STEM_real.png with STEM_fake.png is young to old; BtoA: the "
        "reverse; none: as test.py noted it beside them, or as the run of that name was trained, else AtoB",
        choices=("AtoB", "BtoA"),
    )
    batch_size: int = option(8, help="pairs that are looked at together", unit="pairs", most=4096)
    gpu_ids: str = option(
        "auto", help="GPU's number, mps (Apple), or -1 for the CPU; auto: the first GPU, if there is one"
    )
    seed: int = option(0, help="seed of the bootstrap, and of random pairs and halves", most=2**63 - 1)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"--batch_size {self.batch_size}: at least 1")
        if self.seed < 0:
            raise OptionError(f"--seed {self.seed}: must not be negative")


@dataclass(frozen=True)
class EvaluateOptions:
    """All options of an evaluation: of a run, or of a folder of results."""

    measures: MeasureOptions
    run: TestOptions | None
    folder: FolderOptions | None
    values: dict[str, Any]
    """all of them, flat and plain"""
    table: str
    """all of them, for people"""
    saved: dict[str, Any] = field(default_factory=dict)
    """what the run was trained with"""
    noted: dict[str, Any] = field(default_factory=dict)
    """of a folder of results, what test.py noted in it: its options"""

    @property
    def direction(self) -> str:
        """AtoB where what the results' files call A are the young faces, else BtoA."""
        return known_direction({"direction": self.folder and self.folder.direction}, self.noted, self.saved)

    @property
    def one_way(self) -> str:
        """What STEM_real.png and STEM_fake.png show, which do not say it themselves."""
        is_reversed = self.noted.get("model_suffix") == "_B" and not (self.folder and self.folder.direction)
        return {"AtoB": "BtoA", "BtoA": "AtoB"}[self.direction] if is_reversed else self.direction

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return self.run.run.seed if self.run else self.folder.seed if self.folder else 0

    @property
    def output(self) -> Path:
        """The folder of the report."""
        if self.measures.output:
            return self.measures.output
        results = self.run.result_folder if self.run else self.measures.results
        return (results or Path()) / "evaluation"

    @property
    def gpu_ids(self) -> str:
        """The device to compute on."""
        return self.run.run.gpu_ids if self.run else self.folder.gpu_ids if self.folder else "auto"

    @property
    def manifest(self) -> Path | None:
        """The file of ages, genders and identities: what was named, else that of the data, if there is one."""
        if self.measures.manifest or self.run is None:
            return self.measures.manifest
        beside: Path = self.run.data.dataroot / "manifest.csv"
        return beside if beside.is_file() else None

    @property
    def aligned(self) -> bool:
        """Whether the photos were prepared with --align, as far as can be told."""
        return self.manifest is not None and is_aligned(self.manifest.parent)


def _sections(choice: ChoiceOptions) -> Sections:
    return {**run_sections(choice), "measures": MeasureOptions}


def _choose(values: Mapping[str, Any]) -> ChoiceOptions:
    if values.get("model") == "test":
        raise OptionError(
            "--model test: evaluate.py measures both directions of a cycle_gan; for one, translate by "
            "test.py, and give its folder by --results"
        )
    return choose(values)


DESCRIPTION = "Measure aging, identity, realism, cycle of a run's translations, or of a folder of results (--results)."
COMMAND = Command("evaluate.py", DESCRIPTION, _sections, False, _choose)
FOLDER_SECTIONS: Sections = {"folder": FolderOptions, "measures": MeasureOptions}


def parse_evaluate_options(argv: Sequence[str] | None = None) -> EvaluateOptions:
    """Read the command line of evaluate.py.

    Raises OptionError for combinations that cannot be; prints help or a message and exits for what argparse refuses.
    """
    first = Parser(add_help=False)
    first.add_section(MeasureOptions)
    if "results" in vars(first.parse_known_args(argv)[0]):
        return _parse_folder(argv)
    run, further, saved = read_run_options(COMMAND, argv)
    return EvaluateOptions(further["measures"], run, None, run.values, run.table, saved)


def _parse_folder(argv: Sequence[str] | None) -> EvaluateOptions:
    parser = Parser(prog="evaluate.py", description=DESCRIPTION)
    for options_class in FOLDER_SECTIONS.values():
        parser.add_section(options_class)
    typed = parser.parse(argv)
    built = {name: build(options_class, typed) for name, options_class in FOLDER_SECTIONS.items()}
    values = flatten_all(built, training=False)
    table, noted = format_table(values, FOLDER_SECTIONS), _noted_in(built["measures"].results)
    saved = _saved_of(built["measures"].results, noted)
    return EvaluateOptions(built["measures"], None, built["folder"], values, table, saved, noted)


def _results_of(folder: Path) -> Path:
    """The folder NAME/LABEL_PHASE of results, for the folder `images` in it, too."""
    folder = folder.resolve()
    return folder.parent if folder.name == "images" else folder


def _noted_in(results: Path) -> dict[str, Any]:
    """What test.py wrote of itself beside its results; empty where it did not, as in older versions."""
    folder = _results_of(results)
    return RunFolder(folder.parent, folder.name).read_options() if folder.is_dir() else {}


def _saved_of(results: Path, noted: Mapping[str, Any]) -> dict[str, Any]:
    """What the run was trained with whose results these are, as noted beside them, or as they seem to be, as they lie
    in NAME/LABEL_PHASE; empty where there is no such run."""
    folders = [(str(noted.get("checkpoints_dir", "")), str(noted.get("name", "")))]
    folders += [(str(RunOptions.checkpoints_dir), _results_of(results).parent.name)]
    runs = [RunFolder(Path(checkpoints), name) for checkpoints, name in folders if name]
    return next((run.read_options() for run in runs if run.has_checkpoint), {})
