"""Options of evaluate.py: those of test.py for a run, a few for a folder of results, and those of the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.manifest import is_aligned
from models.age_estimator import DEFAULT_PATH
from models.face_embedder import FaceModelOptions
from options.base_options import ChoiceOptions, Command, RunOptions, Sections, flatten_all, format_table
from options.testing_options import TestOptions, choose, known_direction, read_run_options, run_sections
from util.arguments import OptionError, Parser, build, option, section, split_paths
from util.run.run_folder import RunFolder


@dataclass(frozen=True)
class MeasureOptions:
    """evaluation"""

    results: Path | None = option(
        None,
        help="evaluate this folder of results (STEM_real_A.png, STEM_fake_B.png, ..., also of the public code base) "
        "instead of a run; the other options are then --direction --batch_size --gpu_ids --seed",
    )
    age_estimator: tuple[Path, ...] = option(
        (DEFAULT_PATH,),
        help="comma-separated files that scripts/train_age_estimator.py wrote: the first is used for the metrics, the "
        "others show how much estimators differ",
        parse=split_paths,
    )
    inception: Path | None = option(None, help="Inception weights, which FID and KID with torch-fidelity need")
    manifest: Path | None = option(
        None, help="manifest.csv with ages, genders and identities; by default, the one in --dataroot if it exists"
    )
    bootstrap: int = option(
        2000, help="number of bootstrap replicates for confidence intervals; 0: no intervals", least=0, most=10**5
    )
    examples: int = option(
        4, help="number of best, median and worst faces to show in the report, each", least=0, most=100
    )
    output: Path | None = option(
        None, help="folder for the report; by default, evaluation/ in the folder of the results"
    )
    face: FaceModelOptions = section(FaceModelOptions)


@dataclass(frozen=True)
class FolderOptions:
    """evaluation of a folder of results"""

    direction: str | None = option(
        None,
        help="AtoB: domain A of the files is young, and STEM_real.png to STEM_fake.png is young to old; BtoA: the "
        "reverse; by default, as recorded by test.py in the folder, otherwise as the run of that name was trained, "
        "otherwise AtoB",
        choices=("AtoB", "BtoA"),
    )
    batch_size: int = option(8, help="number of pairs that are processed together", least=1, most=4096)
    gpu_ids: str = option(
        "auto",
        help="index of the GPU, mps (Apple), or -1 for the CPU; auto: the first GPU, or the CPU if there is none",
    )
    seed: int = option(0, help="seed of the bootstrap and of random pairs and halves", least=0, most=2**63 - 1)


@dataclass(frozen=True)
class EvaluateOptions:
    """All options of an evaluation, of a run or of a folder of results."""

    measures: MeasureOptions
    run: TestOptions | None
    folder: FolderOptions | None
    values: dict[str, Any]
    """all options, as a flat dictionary of plain values"""
    table: str
    """all options, as a table for people"""
    saved: dict[str, Any] = field(default_factory=dict)
    """the options that the run was trained with"""
    noted: dict[str, Any] = field(default_factory=dict)
    """the options that test.py saved in a folder of results"""

    @property
    def direction(self) -> str:
        """AtoB if domain A of the results' files is young, otherwise BtoA."""
        return known_direction({"direction": self.folder and self.folder.direction}, self.noted, self.saved)

    @property
    def one_way(self) -> str:
        """The direction of STEM_real.png to STEM_fake.png, whose names do not contain it."""
        is_reversed = self.noted.get("model_suffix") == "_B" and not (self.folder and self.folder.direction)
        return {"AtoB": "BtoA", "BtoA": "AtoB"}[self.direction] if is_reversed else self.direction

    @property
    def output(self) -> Path:
        """Folder for the report."""
        if self.measures.output:
            return self.measures.output
        results = self.run.result_folder if self.run else self.measures.results
        return (results or Path()) / "evaluation"

    @property
    def manifest(self) -> Path | None:
        """Path of the manifest: as given by --manifest, otherwise the one in --dataroot if it exists."""
        if self.measures.manifest or self.run is None:
            return self.measures.manifest
        beside: Path = self.run.data.dataroot / "manifest.csv"
        return beside if beside.is_file() else None

    @property
    def aligned(self) -> bool:
        """Whether the photos are known to be prepared with --align."""
        return self.manifest is not None and is_aligned(self.manifest.parent)


def _sections(choice: ChoiceOptions) -> Sections:
    return {**run_sections(choice), "measures": MeasureOptions}


def _choose(values: Mapping[str, Any]) -> ChoiceOptions:
    if values.get("model") == "test":
        raise OptionError(
            "--model test: evaluate.py evaluates both directions of a cycle_gan; for a single direction, translate "
            "photos with test.py, and pass its folder as --results"
        )
    return choose(values)


DESCRIPTION = (
    "Evaluate aging, identity, realism and cycle consistency of a run's translations, or of a folder of results "
    "(--results)."
)
COMMAND = Command("evaluate.py", DESCRIPTION, _sections, False, _choose)
FOLDER_SECTIONS: Sections = {"folder": FolderOptions, "measures": MeasureOptions}


def parse_evaluate_options(argv: Sequence[str] | None = None) -> EvaluateOptions:
    """Parse the command line of evaluate.py.

    Raises OptionError for invalid combinations. On --help and on invalid options, prints a message and exits.
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
    """Return the folder NAME/LABEL_PHASE of results, given itself or the folder `images` in it."""
    folder = folder.resolve()
    return folder.parent if folder.name == "images" else folder


def _noted_in(results: Path) -> dict[str, Any]:
    """Return the options that test.py saved in its results; empty if there are none, as in older versions."""
    folder = _results_of(results)
    return RunFolder(folder.parent, folder.name).read_options() if folder.is_dir() else {}


def _saved_of(results: Path, noted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the run of these results was trained with. The run is the one that test.py recorded, or
    the one named like the folder in NAME/LABEL_PHASE. Empty if there is no such run."""
    folders = [(str(noted.get("checkpoints_dir", "")), str(noted.get("name", "")))]
    folders += [(str(RunOptions.checkpoints_dir), _results_of(results).parent.name)]
    runs = [RunFolder(Path(checkpoints), name) for checkpoints, name in folders if name]
    return next((run.read_options() for run in runs if run.has_checkpoint), {})
