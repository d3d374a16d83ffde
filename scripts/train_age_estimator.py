"""Train an estimator of age and sex on the faces of a prepared set; evaluate.py measures translations with it.

    python scripts/prepare_dataset.py wiki --input wiki_crop.tar --output datasets/ages --min_size 100 --min_colour 0
    python scripts/train_age_estimator.py --dataroot datasets/ages --output checkpoints/age_estimator.pth

Learns from the training folders, and says how it does on the people of the testing ones. Stopped at any moment, the
same command goes on from the last epoch.
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

import torch
from torch import Tensor

from models.age_estimator import DEFAULT_PATH, AgeEstimator, save_estimator
from scripts.age_training.faces import Faces, load_pixels, read_faces, split_people
from scripts.age_training.scores import describe, estimate, score
from scripts.age_training.training import Training, TrainingOptions, parse_path, size_kept
from util.arguments import OptionError, Parser, build, flatten, option, section
from util.device import describe_device, keep_freed_memory, select_device
from util.errors import UserError, told_in_one_line

PROGRAM = "train_age_estimator.py"


@dataclass(frozen=True)
class CommandOptions:
    """all options"""

    dataroot: Path = option(None, help="set that scripts/prepare_dataset.py made, with ages")
    output: Path = option(DEFAULT_PATH, help="file to write", parse=parse_path)
    overwrite: bool = option(False, help="replace the file, and begin anew where a training was stopped")
    training: TrainingOptions = section(TrainingOptions)

    def __post_init__(self) -> None:
        if self.dataroot is None:
            raise OptionError("--dataroot is required: the folder that scripts/prepare_dataset.py made")

    @property
    def state_path(self) -> Path:
        """Where the training's state is kept until it is done."""
        return self.output.with_name(self.output.name + ".training")


def main() -> None:
    """Train, measure, and write the estimator."""
    keep_freed_memory()
    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(CommandOptions)
    options = build(CommandOptions, parser.parse())
    refuse_collision(options)
    device = select_device(options.training.gpu_ids)
    phases = read_faces(options.dataroot)
    trained, validated = split_people(phases["train"], options.training.val_fraction, options.training.seed)
    both = set(phases["train"].people) & set(phases["test"].people)
    if both:
        raise UserError(f"{len(both)} people of {options.dataroot} are in training and testing folders: prepare it "
                        "again, with --overwrite")  # fmt: skip
    print(f"training on {trained.describe()}", flush=True)
    size = size_kept(options.training)
    held_out = {"validation": validated, "test": phases["test"]}
    measured = {name: load_pixels(faces, size, f"{name} faces") for name, faces in held_out.items() if len(faces)}
    training = train(options, device, *load_pixels(trained, size, "training faces"), measured.get("validation"))
    scores = {name: score(faces, estimate(training.estimator, pixels, device))
              for name, (faces, pixels) in measured.items()}  # fmt: skip
    save_estimator(with_notes(training.estimator, options, trained, scores), options.output)
    options.state_path.unlink(missing_ok=True)
    for name, values in scores.items():
        print(f"{name}: {describe(values)}")
    print(f"{options.output} is ready")


def refuse_collision(options: CommandOptions) -> None:
    """Raise UserError where a finished estimator would be replaced; forget a stopped training where that is wanted."""
    if options.overwrite:
        options.state_path.unlink(missing_ok=True)
    elif options.output.exists():
        raise UserError(f"{options.output} exists: give --overwrite to replace it, or another --output")


def train(
    options: CommandOptions, device: torch.device, faces: Faces, pixels: Tensor, validation: tuple[Faces, Tensor] | None
) -> Training:
    """All epochs, or those that a stopped training still has to do."""
    data = fingerprint(faces)
    training = Training(options.training, device)
    if options.state_path.exists():
        training.restore(options.state_path, data)
        print(f"going on after epoch {training.epoch}", flush=True)
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
    """Of whom is trained on, and what is known of them."""
    digest = hashlib.sha256()
    for person, age, male in zip(faces.people, faces.ages, faces.male, strict=True):
        digest.update(f"{person} {age:g} {male:g}\n".encode())
    return digest.hexdigest()


def with_notes(
    estimator: AgeEstimator, options: CommandOptions, trained: Faces, scores: Mapping[str, Mapping[str, float]]
) -> AgeEstimator:
    """The estimator with what a reader must know of it: how and on whom it was trained, and its errors."""
    notes: dict[str, Any] = {
        "options": flatten(options.training),
        "dataroot": str(options.dataroot),
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
