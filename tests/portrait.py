"""A face that tests may show: NASA's portrait of an astronaut, in the public domain, out of scikit-image's package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

EYES = np.array([(203, 101), (246, 104)])
"""The middles of the pupils, read off the photo, to within two pixels."""
LANDMARKS = np.array([(203, 101), (246, 104), (222, 125), (205, 144), (240, 146)])
"""Eyes, nose, corners of the mouth, as well as the eye can tell."""


@cache
def astronaut() -> Image.Image:
    """512 x 512 pixels, with one face."""
    import skimage

    return Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")
