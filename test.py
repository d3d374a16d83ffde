"""Translate test photos with a trained model and show them on a page.

    python test.py --dataroot ./datasets/young2old --name aging_cyclegan --model cycle_gan

writes results/NAME/latest_test/index.html, with the images beside it. `python test.py --help` lists all options.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from data import Loader, create_test_loaders
from data.image_folder import unique_stems
from models import BaseModel, create_model
from options import TestOptions, parse_test_options
from util.device import describe_device, select_device
from util.errors import told_in_one_line
from util.html import Page
from util.images import save_png, tensor_to_uint8
from util.terminal import CountedWork, format_duration

DOMAIN_TITLES = {"A": "young to old (A to B)", "B": "old to young (B to A)"}
ROWS_PER_PAGE = 200


class Row(NamedTuple):
    """One photo's results."""

    title: str
    images: dict[str, str]
    """label to path relative to the page: the photo, its translation, and further ones"""


def main() -> None:
    """Translate every photo of every domain of the data."""
    options = parse_test_options()
    device = select_device(options.run.gpu_ids)
    print(options.table)
    channels = options.model.channels
    model = create_model(options.choice.model, options.model, device, training=False)
    options.folder.load_networks(options.checkpoint.label, model.networks)
    loaders = create_test_loaders(options.choice.dataset_mode, options.data, options.loading, channels,
                                  options.results.num_test, pin_memory=device.type == "cuda")  # fmt: skip
    print(f"translating on {describe_device(device)}")
    started = time.perf_counter()
    rows = {domain: translate_folder(options, model, domain, loader) for domain, loader in loaders.items()}
    page = write_pages(options, rows, time.perf_counter() - started)
    print(f"results: {page}")


def translate_folder(options: TestOptions, model: BaseModel, domain: str, loader: Loader) -> list[Row]:
    """Translate one domain's photos and write each image as a file."""
    root, folder = options.data.folders()[domain], options.result_folder
    stems = unique_stems(loader.dataset.files(domain), root)
    rows = []
    with CountedWork(root.name, len(loader), "photos") as line:
        for batch in loader.epoch():
            paths = batch[f"{domain}_paths"]
            for path, images in zip(paths, unbatch(model.translate(batch)), strict=True):
                names = {label: f"images/{stems[path]}_{label}.png" for label in images}
                for label, image in images.items():
                    save_png(folder / names[label], stretch(image, options.results.aspect_ratio))
                rows.append(Row(str(path.relative_to(root)), names))
            line.advance(len(paths))
    return rows


def write_pages(options: TestOptions, rows: Mapping[str, Sequence[Row]], seconds: float) -> Path:
    """Write index.html and, where there are many photos, further pages; returns the first."""
    titled = [(domain, row) for domain in rows for row in rows[domain]]
    names = ["index.html", *(f"page_{number:03d}.html" for number in range(2, -(-len(titled) // ROWS_PER_PAGE) + 1))]
    title = f"{options.run.name}: {options.checkpoint.label} on {options.data.dataroot}"
    for number, name in enumerate(names):
        page = Page(options.result_folder, title, image_size=options.results.display_winsize)
        around = {"previous": number - 1, "next": number + 1}
        links = {text: names[place] for text, place in around.items() if 0 <= place < len(names)}
        if number == 0:
            page.table(summarize(options, rows, seconds))
            page.folded_table("options", options.values)
        page.links(links)
        shown = ""
        for domain, row in titled[number * ROWS_PER_PAGE : (number + 1) * ROWS_PER_PAGE]:
            if len(rows) > 1 and domain != shown:
                page.heading(DOMAIN_TITLES[domain])
                shown = domain
            before, after = list(row.images)[:2]
            page.row(row.title, row.images, compare=(before, after))
        page.links(links)
        page.write(name)
    return options.result_folder / names[0]


def summarize(options: TestOptions, rows: Mapping[str, Sequence[Row]], seconds: float) -> dict[str, str]:
    """What was translated, by what, and how fast."""
    count = sum(map(len, rows.values()))
    counts = {DOMAIN_TITLES[domain] if len(rows) > 1 else "photos": f"{len(rows[domain])} photos" for domain in rows}
    return {
        "model": f"{options.run.name}, {options.checkpoint.label} ({options.folder.path})",
        **counts,
        "translated and saved in": f"{format_duration(seconds)} ({count / max(seconds, 1e-9):.1f} photos/s)",
        "on": time.strftime("%Y-%m-%d %H:%M"),
    }


def unbatch(images: Mapping[str, Tensor]) -> list[dict[str, np.ndarray]]:
    """Named batches (N, C, H, W) in [-1, 1] to N dictionaries of named uint8 images (H, W, C)."""
    arrays = {label: tensor_to_uint8(batch) for label, batch in images.items()}
    return [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]


def stretch(image: np.ndarray, aspect_ratio: float) -> np.ndarray:
    """A uint8 image (H, W, C) with its width multiplied by `aspect_ratio`."""
    if aspect_ratio == 1.0:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * aspect_ratio)), height)
    stretched = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).resize(
        size, Image.Resampling.BICUBIC
    )
    return np.asarray(stretched).reshape(size[1], size[0], image.shape[2])


if __name__ == "__main__":
    with told_in_one_line("test.py"):
        main()
