"""Train the hair segmenter that `--grey_hair` uses.

    python scripts/train_hair_segmenter.py --dataroot datasets/young2old --person_model selfie_segmentation.tflite

The photos must be aligned (`scripts/prepare_dataset.py --align`). The person model is MediaPipe's selfie segmentation
(npm package @mediapipe/selfie_segmentation, Apache License 2.0). It helps to make the labels
(scripts/hair_training/labels.py); the segmenter does not need it any more. The command reports how far the segmenter
agrees with the labels of the test folders.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from data.image_folder import list_images
from data.manifest import is_aligned
from models.grey_hair import resized
from models.hair_segmenter import DEFAULT_PATH, SIZE, HairSegmenter, save_segmenter
from scripts.hair_training import labels
from scripts.hair_training.labels import PersonModel, label_hair, load_person_model
from util.arguments import OptionError, Parser, build, option
from util.errors import UserError, told_in_one_line
from util.photos import read_image
from util.terminal import CountedWork

PROGRAM = "train_hair_segmenter.py"


@dataclass(frozen=True)
class SegmenterOptions:
    """data and training"""

    dataroot: Path = option(Path("datasets/young2old"), help="data set made by scripts/prepare_dataset.py --align")
    person_model: Path | None = option(None, help="TensorFlow Lite file of MediaPipe's selfie segmentation")
    output: Path = option(DEFAULT_PATH, help="file to write")
    overwrite: bool = option(False, help="replace an existing file")
    epochs: int = option(14, help="number of epochs", least=1)
    batch_size: int = option(32, help="batch size", unit="photos", least=2)
    seed: int = option(0, help="seed of the initial weights and of the augmentation")

    def __post_init__(self) -> None:
        if self.person_model is None:
            raise OptionError("--person_model is required: name the file selfie_segmentation.tflite of MediaPipe")
        if self.output.exists() and not self.overwrite:
            raise OptionError(f"--output {self.output} exists: use --overwrite to replace it, or choose another file")


def main() -> None:
    """Label the photos, train, measure, and write the segmenter."""
    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(SegmenterOptions)
    options = build(SegmenterOptions, parser.parse())
    if not is_aligned(options.dataroot):
        raise UserError(f"the photos of {options.dataroot} are not aligned: prepare them with --align")
    person_model = load_person_model(options.person_model)
    photos, hair = load_labelled([options.dataroot / "trainA", options.dataroot / "trainB"], person_model)
    held_out = load_labelled([options.dataroot / "testA", options.dataroot / "testB"], person_model)
    torch.manual_seed(options.seed)
    segmenter = train(photos, hair, options.epochs, options.batch_size)
    agreement = intersection_over_union(segmenter, *held_out)
    segmenter.notes = {
        "trained": time.strftime("%Y-%m-%d"),
        "torch": str(torch.__version__),
        "photos": len(photos),
        "intersection_over_union": agreement,
    }
    save_segmenter(segmenter, options.output)
    print(f"{len(held_out[0])} test photos: intersection over union with their labels {agreement:.2f}")
    print(f"{options.output} is ready")


def load_labelled(folders: list[Path], person_model: PersonModel) -> tuple[Tensor, Tensor]:
    """Return the photos with a label, uint8 (N, 3, S, S), and their labels, bool (N, 1, S, S), where S is the labels'
    size. Raises UserError if there are none."""
    photos, found = [], []
    for folder in folders:
        paths = list_images(folder)
        with CountedWork(f"labels of {folder.name}", len(paths), "photos") as progress:
            for path in paths:
                photo = read_image(path)
                hair = label_hair(photo, person_model)
                if hair is not None:
                    small = photo.resize((labels.SIZE, labels.SIZE), Image.Resampling.BICUBIC)
                    photos.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
                    found.append(torch.from_numpy(hair)[None])
                progress.advance()
    if not photos:
        raise UserError(f"no hair was found on the photos of {', '.join(map(str, folders))}")
    return torch.stack(photos), torch.stack(found)


def train(photos: Tensor, hair: Tensor, epochs: int, batch_size: int) -> HairSegmenter:
    """Train a segmenter with torch's global generator. The arguments are those that `load_labelled` returns."""
    segmenter = HairSegmenter()
    batches = max(1, len(photos) // batch_size)
    optimizer = torch.optim.AdamW(segmenter.parameters(), weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        for chosen in torch.randperm(len(photos))[: batches * batch_size].chunk(batches):
            images, wanted = views(photos[chosen], hair[chosen])
            logits = segmenter(images)
            if epoch >= epochs // 3:
                # Labels are wrong in places, which the network's own verdict corrects (Reed et al. 2014,
                # arXiv:1412.6596, "hard bootstrapping").
                wanted = 0.7 * wanted + 0.3 * (logits.detach() > 0)
            loss = F.binary_cross_entropy_with_logits(logits, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += loss.item()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}/{epochs}: loss {total / batches:.3f}, {seconds:.1f} s", flush=True)
    return segmenter.eval()


def views(photos: Tensor, hair: Tensor) -> tuple[Tensor, Tensor]:
    """Return random views of photos, in [-1, 1], and of their labels, in [0, 1], both of the segmenter's size: turned
    by up to 9 degrees, mirrored, from two thirds of the width, as a tight chip, to 1.6 times the width, as the head
    with its surroundings; with other contrasts and colours."""
    count = len(photos)

    def spread(least: float, most: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(least, most)

    scale, angle = spread(0.65, 1.6), spread(-0.15, 0.15)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    room = (1 - scale).abs().clamp(min=0.05)
    rows = [cosine * mirror, -sine, room * spread(-1, 1)], [sine * mirror, cosine, room * spread(-1, 1)]
    maps = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = F.affine_grid(maps, [count, 3, SIZE, SIZE], align_corners=False)
    both = torch.cat([photos.float() / 255, hair.float()], dim=1)
    both = F.grid_sample(both, grid, mode="bilinear", padding_mode="border", align_corners=False)
    images = both[:, :3].clamp(min=1e-3) ** spread(-0.4, 0.4, 1, 1, 1).exp()
    grey = images.mean(dim=1, keepdim=True)
    images = (grey + (images - grey) * spread(0.2, 1.4, 1, 1, 1)) * spread(0.9, 1.1, 3, 1, 1)
    return images.clamp(0, 1) * 2 - 1, both[:, 3:]


@torch.no_grad()
def intersection_over_union(segmenter: HairSegmenter, photos: Tensor, hair: Tensor) -> float:
    """Return the mean over photos of the segmenter's agreement with their labels; 1 is complete agreement."""
    shares = []
    for photo, wanted in zip(photos, hair, strict=True):
        small = resized(photo[None].float() / 127.5 - 1, [SIZE, SIZE])
        found = resized(segmenter(small), wanted.shape[1:])[0] > 0
        shares.append((found & wanted).sum().item() / (found | wanted).sum().item())
    return float(np.mean(shares))


if __name__ == "__main__":
    with told_in_one_line(PROGRAM):
        main()
