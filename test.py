"""Translate test photos with a trained model and show them on an HTML page.

    python test.py --dataroot ./datasets/young2old --name aging_cyclegan --model cycle_gan

writes results/NAME/latest_test/index.html with the images, and opt.json with the options. The results of an earlier
test in that folder are replaced when the new ones are complete. `python test.py --help` lists all options.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from data import Loader, create_test_loaders
from data.image_folder import root_of, unique_stems
from models import BaseModel, create_model
from models.age_estimator import AgeEstimator
from options import TestOptions, parse_test_options
from util.device import describe_device, select_device
from util.errors import told_in_one_line
from util.files import write_text
from util.gallery import OLDER, Card, Section, add_gallery, direction_titles
from util.html import Page
from util.images import in_colour, save_png, tensor_to_uint8
from util.staging import staged
from util.terminal import CountedWork, format_duration

RESULTS = ("index.html", "page_*.html", "opt.json", "images")
"""Files that a test, also of older versions, writes to its folder and that the next test replaces."""


def main() -> None:
    """Translate all photos that the command line describes."""
    options = parse_test_options()
    device = select_device(options.run.gpu_ids)
    print(options.table)
    model = create_model(options.choice.model, options.model, device, training=False)
    options.folder.load_networks(options.checkpoint.label, model.networks)
    estimator = options.figures.load(device)
    mode, channels, limit = options.choice.dataset_mode, options.model.channels, options.results.num_test
    loaders = create_test_loaders(mode, options.data, options.loading, channels, limit, device)
    print(f"translating on {describe_device(device)}")
    started = time.perf_counter()
    with staged(options.result_folder, RESULTS) as folder:
        cards = {
            domain: translate_folder(options, model, domain, loader, estimator, folder)
            for domain, loader in loaders.items()
        }
        sections = {domain: Section(titles(options)[domain], cards[domain]) for domain in cards}
        write_page(options, sections, estimator, time.perf_counter() - started, folder)
        write_text(folder / "opt.json", json.dumps({**options.values, "direction": options.direction}, indent=2) + "\n")
    print(f"results: {options.result_folder / 'index.html'}")


def translate_folder(
    options: TestOptions, model: BaseModel, domain: str, loader: Loader, estimator: AgeEstimator | None, folder: Path
) -> list[Card]:
    """Translate the photos of one domain, write the images below `folder`, and estimate the years gained."""
    root = root_of(options.data.folders()[domain])
    stems = unique_stems(loader.dataset.files(domain), root)
    older, cards = titles(options)[domain] == OLDER, []
    with CountedWork(root.name, len(loader), "photos") as line:
        for batch in loader.epoch():
            paths, images = batch[f"{domain}_paths"], model.translate(batch)
            gained = years_gained(images, estimator, older=older)
            for path, row, years in zip(paths, unbatch(images), gained, strict=True):
                names = {label: f"images/{stems[path]}_{label}.png" for label in row}
                shown = {label: stretch(image, options.results.aspect_ratio) for label, image in row.items()}
                for label, image in shown.items():
                    save_png(folder / names[label], image)
                height, width = next(iter(shown.values())).shape[:2]
                cards.append(Card(str(path.relative_to(root)), names, (width, height), older, years))
            line.advance(len(paths))
    return cards


def titles(options: TestOptions) -> dict[str, str]:
    """Return the titles of the translations of domains "A" and "B"."""
    makes_A = options.values.get("model_suffix") == "_B"  # a single network's photos are called A, also those for G_B
    return direction_titles(is_reversed=(options.direction == "BtoA") != makes_A)


def years_gained(images: Mapping[str, Tensor], estimator: AgeEstimator | None, *, older: bool) -> list[float | None]:
    """Estimate by how many years each translation looks older than its photo (younger, unless `older` is set). Returns
    a number for each photo; None without an estimator.

    images: named batches (N, C, H, W) in [-1, 1], first the photos and second their translations.
    """
    photos, translated = (batch.float() for batch in list(images.values())[:2])
    if estimator is None:
        return [None] * len(photos)
    ages = [estimator(in_colour(batch.clamp(-1, 1))).ages for batch in (photos, translated)]
    return ((ages[1] - ages[0]) * (1 if older else -1)).tolist()


def write_page(
    options: TestOptions, sections: Mapping[str, Section], estimator: AgeEstimator | None, seconds: float, folder: Path
) -> None:
    """Write index.html into `folder`."""
    title = f"{options.run.name}: {options.checkpoint.label} on {options.data.dataroot}"
    page = Page(folder, title, image_size=options.results.display_winsize)
    add_gallery(page, sections)
    page.heading("About these results")
    page.table(summarize(options, sections, estimator, seconds))
    page.folded_table("options", options.values)
    page.write()


def summarize(
    options: TestOptions, sections: Mapping[str, Section], estimator: AgeEstimator | None, seconds: float
) -> dict[str, str]:
    """Describe the model, the numbers of photos, the speed, and the years gained for the page."""
    count = sum(len(section.cards) for section in sections.values())
    years = {f"years gained, {section.title}": describe_gain(section) for section in sections.values()}
    return {
        "model": f"{options.run.name}, {options.checkpoint.label} ({options.folder.path})",
        **{section.title: f"{len(section.cards)} photos" for section in sections.values()},
        "translated and saved in": f"{format_duration(seconds)} ({count / max(seconds, 1e-9):.1f} photos/s)",
        "on": time.strftime("%Y-%m-%d %H:%M"),
        **(years | {"estimated by": options.figures.describe(estimator, options.folder)} if estimator else {}),
    }


def describe_gain(section: Section) -> str:
    """Format the mean of the years gained, and the share of faces that changed in the wrong direction."""
    years = np.array([card.years for card in section.cards], dtype=float)
    return f"{years.mean():.1f} on average; {np.mean(years < 0):.0%} in the wrong direction" if len(years) else "none"


def unbatch(images: Mapping[str, Tensor]) -> list[dict[str, np.ndarray]]:
    """Convert named batches (N, C, H, W) in [-1, 1] to N dictionaries of named uint8 images (H, W, C)."""
    arrays = {label: tensor_to_uint8(batch) for label, batch in images.items()}
    return [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]


def stretch(image: np.ndarray, aspect_ratio: float) -> np.ndarray:
    """Multiply the width of a uint8 image (H, W, C) by `aspect_ratio`."""
    if aspect_ratio == 1.0:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * aspect_ratio)), height)
    stretched = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).resize(
        size, Image.Resampling.BICUBIC
    )
    return np.asarray(stretched).reshape(size[1], size[0], image.shape[2])


if __name__ == "__main__":
    with told_in_one_line("test.py", interrupted="the results of an earlier test were not changed"):
        main()
