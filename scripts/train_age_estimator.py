"""Train an estimator of age and gender on prepared data sets, for measuring translations with evaluate.py.

    python scripts/prepare_dataset.py utkface --input UTKFace --output datasets/chips --young 16-39 --old 40-100
    python scripts/prepare_dataset.py wiki --input wiki_crop.tar --output datasets/frames --align --min_size 96
    python scripts/train_age_estimator.py --dataroot datasets/chips,datasets/frames --half second --seed 2

trains on the training folders, in both framings, and reports the errors on the people of the test folders. If the
command is stopped, the same command resumes from the last epoch. docs/evaluation.md describes the shipped estimators.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from models.age_estimator import AgeEstimator, load_estimator, save_estimator
from scripts.age_training.faces import Faces, half_of, load_pixels, read_faces, split_people
from scripts.age_training.scores import describe, estimate, score, score_framings
from scripts.age_training.training import Training, TrainingOptions, parse_path, size_kept
from util.arguments import OptionError, Parser, build, flatten, option, section, split_paths
from util.device import describe_device, keep_freed_memory, select_device
from util.errors import UserError, told_in_one_line

PROGRAM = "train_age_estimator.py"
OUTPUT = Path("checkpoints/age_estimator.safetensors")


@dataclass(frozen=True)
class CommandOptions:
    """data and output"""

    dataroot: tuple[Path, ...] | None = option(
        None, help="data sets with ages from scripts/prepare_dataset.py, separated by commas", parse=split_paths
    )
    output: Path = option(OUTPUT, help="file to write; a .safetensors file has 16-bit weights", parse=parse_path)
    measure: Path | None = option(None, help="measure this estimator on the test people, instead of training one")
    overwrite: bool = option(False, help="replace an existing file, and do not resume a stopped training")
    training: TrainingOptions = section(TrainingOptions)

    def __post_init__(self) -> None:
        if self.dataroot is None:
            raise OptionError("--dataroot is required: name a data set made by scripts/prepare_dataset.py")

    @property
    def state_path(self) -> Path:
        """The file of the training state, which exists until training is complete."""
        return self.output.with_name(self.output.name + ".training")


def main() -> None:
    """Train, measure, and write the estimator."""
    keep_freed_memory()
    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(CommandOptions)
    options = build(CommandOptions, parser.parse())
    device = select_device(options.training.gpu_ids)
    phases = read_faces(options.dataroot)
    if options.measure:
        estimator = load_estimator(options.measure, device)
        tell(measure(options, estimator, load_held_out({"test": phases["test"]}, estimator.shape.size), device))
        return
    refuse_collision(options)
    both = set(phases["train"].people) & set(phases["test"].people)
    if both:
        raise UserError(
            f"{len(both)} people of {', '.join(map(str, options.dataroot))} are in both training and test "
            "folders: prepare the data sets again with the same --seed and --test_fraction"
        )
    learnt = half_of(phases["train"], options.training.half)
    if options.training.others_than:
        learnt = learnt[~np.isin(learnt.people, known_people(Path(options.training.others_than)))]
    trained, validated = split_people(learnt, options.training.val_fraction, options.training.seed)
    print(f"training on {trained.describe()}", flush=True)
    held_out = load_held_out({"validation": validated, "test": phases["test"]}, options.training.size)
    loaded = load_pixels(trained, size_kept(options.training.size), "training faces")
    training = train(options, device, *loaded, held_out.get("validation"))
    scores = measure(options, training.estimator, held_out, device)
    save_estimator(with_notes(training.estimator, options, trained, scores), options.output)
    options.state_path.unlink(missing_ok=True)
    tell(scores)
    print(f"{options.output} is ready")


def known_people(path: Path) -> list[str]:
    """Return the hashes of the people that an estimator was trained on. Raises CheckpointError, UserError."""
    people = load_estimator(path, torch.device("cpu")).notes.get("people_trained")
    if not isinstance(people, list):
        raise UserError(f"{path} does not say on whom it was trained: --others_than cannot leave these people out")
    return [str(person) for person in people]


def load_held_out(held_out: Mapping[str, Faces], size: int) -> dict[str, tuple[Faces, Tensor]]:
    """The faces and pixels of each phase that has some, for an estimator with inputs of the given size."""
    return {
        phase: load_pixels(faces, size_kept(size), f"{phase} faces") for phase, faces in held_out.items() if len(faces)
    }


def measure(
    options: CommandOptions, estimator: AgeEstimator, held_out: Mapping[str, tuple[Faces, Tensor]], device: torch.device
) -> dict[str, dict[str, float]]:
    """Errors on held-out people by phase, data set and framing."""
    names = [path.name for path in options.dataroot or ()]
    made: dict[str, dict[str, float]] = {}
    for phase, (faces, pixels) in held_out.items():
        made |= score_framings(phase, names, faces, pixels, estimator, device)
    return made


def tell(scores: Mapping[str, Mapping[str, float]]) -> None:
    """Print the scores, one line each."""
    for name, values in scores.items():
        print(f"{name}: {describe(values)}")


def refuse_collision(options: CommandOptions) -> None:
    """Raise UserError if a finished estimator would be replaced. With --overwrite, delete the state of a stopped
    training."""
    if options.overwrite:
        options.state_path.unlink(missing_ok=True)
    elif options.output.exists():
        raise UserError(f"{options.output} exists: use --overwrite to replace it, or choose another --output")


def train(
    options: CommandOptions, device: torch.device, faces: Faces, pixels: Tensor, validation: tuple[Faces, Tensor] | None
) -> Training:
    """Train all epochs, or the remaining epochs of a stopped training."""
    data = fingerprint(faces)
    training = Training(options.training, device)
    if options.state_path.exists():
        training.restore(options.state_path, data)
        print(f"resuming after epoch {training.epoch}", flush=True)
    print(f"{describe_device(device)}, {training.precision}", flush=True)
    last = options.training.epochs
    while training.epoch < last:
        started = time.perf_counter()
        loss = training.train_epoch(faces, pixels)
        training.save(options.state_path, data)
        line = f"epoch {training.epoch}/{last}: loss {loss:.3f}, {time.perf_counter() - started:.1f} s"
        if validation is not None and (training.epoch % 5 == 0 or training.epoch == last):
            line += "; validation: " + describe(
                score(validation[0], estimate(training.estimator, validation[1], device))
            )
        print(line, flush=True)
    return training


def fingerprint(faces: Faces) -> str:
    """SHA-256 of the training faces and their labels."""
    digest = hashlib.sha256()
    for person, age, male, framing in zip(faces.people, faces.ages, faces.male, faces.framings, strict=True):
        digest.update(f"{person} {age:g} {male:g} {framing}\n".encode())
    return digest.hexdigest()


def with_notes(
    estimator: AgeEstimator, options: CommandOptions, trained: Faces, scores: Mapping[str, Mapping[str, float]]
) -> AgeEstimator:
    """Add notes to the estimator: the options and people of its training, and its errors."""
    notes: dict[str, Any] = {
        "options": flatten(options.training),
        "dataroot": ",".join(map(str, options.dataroot or ())),
        "trained": time.strftime("%Y-%m-%d"),
        "torch": str(torch.__version__),
        "faces": trained.describe(),
        "people_trained": sorted(set(map(str, trained.people))),
        "scores": {name: dict(values) for name, values in scores.items()},
    }
    estimator.notes = notes
    return estimator


if __name__ == "__main__":
    with told_in_one_line(PROGRAM):
        main()
