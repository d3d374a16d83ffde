"""Translate test photos with a trained model and show them on a page.

    python test.py --dataroot ./datasets/young2old --name aging_cyclegan --model cycle_gan

writes results/NAME/latest_test/index.html, with the images beside it. `python test.py --help` lists all options.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from util.terminal import CountedWork

DOMAIN_TITLES = {"A": "young to old (A to B)", "B": "old to young (B to A)"}


def main() -> None:
    """Translate every photo of every domain of the data."""
    options = parse_test_options()
    device = select_device(options.run.gpu_ids)
    print(options.table)
    channels = {"A": options.model.network.input_nc, "B": options.model.network.output_nc}
    model = create_model(options.choice.model, options.model, device, training=False)
    options.folder.load_networks(options.checkpoint.label, model.networks)
    loaders = create_test_loaders(options.choice.dataset_mode, options.data, options.loading, channels,
                                  options.results.num_test, pin_memory=device.type == "cuda")  # fmt: skip
    print(f"translating on {describe_device(device)}")
    page = Page(options.result_folder, f"{options.run.name}: {options.checkpoint.label} on {options.data.dataroot}",
                image_size=options.results.display_winsize)  # fmt: skip
    for domain, loader in loaders.items():
        if len(loaders) > 1:
            page.heading(DOMAIN_TITLES[domain])
        translate_folder(options, model, domain, loader, page)
    print(f"results: {page.write()}")


def translate_folder(options: TestOptions, model: BaseModel, domain: str, loader: Loader, page: Page) -> None:
    """Translate one domain's photos, write each image as a file and add a row for each photo to the page."""
    root = options.data.folders()[domain]
    stems = unique_stems(loader.dataset.files(domain), root)
    with CountedWork(root.name, len(loader), "photos") as line:
        for batch in loader.epoch():
            paths = batch[f"{domain}_paths"]
            for path, images in zip(paths, unbatch(model.translate(batch)), strict=True):
                names = {label: f"images/{stems[path]}_{label}.png" for label in images}
                for label, image in images.items():
                    save_png(page.folder / names[label], stretch(image, options.results.aspect_ratio))
                page.row(str(path.relative_to(root)), names)
            line.advance(len(paths))


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
