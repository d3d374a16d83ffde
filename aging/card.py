"""The card of a generator describes its input and output. Exported files contain it as metadata. Needs no torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from util.errors import UserError

METADATA_KEY = "face_aging"
"""The entry of an exported file's metadata that contains the card as JSON."""
DIRECTIONS = {"G_A": "older", "G_B": "younger"}
"""The direction of each generator of a run: A is young, B is old."""
OPPOSITE = {"older": "younger", "younger": "older"}
GREY_HAIR = "grey_hair"
"""What a network does that turns hair grey, in place of a direction. It is a part of making faces older."""


class CardError(UserError):
    """A file has no card or an unknown version of it; the message names the remedy."""


@dataclass(frozen=True)
class Card:
    """Describes the input and output of a generator.

    A generator maps images (N, input_channels, H, W), RGB or grey, float32 in [-1, 1], to images (N, output_channels,
    H, W) in the same range. The output is a whole image: output minus input is the predicted change.
    """

    name: str
    """name of the run"""
    network: str
    """name of the generator in the run: G_A or G_B; grey_hair, which belongs to G_A and has no weights of its own"""
    direction: str
    """older, younger or grey_hair"""
    size: int
    """height and width of the training images in pixels"""
    size_multiple: int
    """height and width of the input must be multiples of this number"""
    input_channels: int
    """3 for RGB, 1 for grey"""
    output_channels: int
    residual: bool
    """whether the network predicts the change internally and adds it to its input"""
    weights_bits: int
    """32 or 16"""
    source_sha256: str
    """SHA-256 of the checkpoint file that contains the weights"""
    eye_distance: float = 0.25
    """framing of faces/align.py: the distance between the eyes, which are level and symmetric about the image's middle,
    in units of its width"""
    eye_height: float = 0.45
    """framing: the position of the eyes from the top, in units of the image's height"""
    range: tuple[float, float] = (-1.0, 1.0)
    """smallest and largest pixel value of input and output"""
    output: str = "image"
    """the kind of output: a whole image"""

    def __post_init__(self) -> None:
        if (
            self.direction not in (*DIRECTIONS.values(), GREY_HAIR)
            or self.output != "image"
            or self.range != (-1.0, 1.0)
        ):
            raise ValueError(f"direction {self.direction!r}, output {self.output!r}, range {self.range}")
        channels = {self.input_channels, self.output_channels}
        if self.size < 1 or self.size_multiple < 1 or self.size % self.size_multiple or not channels <= {1, 3}:
            raise ValueError(f"size {self.size}, multiple {self.size_multiple}, channels {channels}")

    def to_metadata(self) -> dict[str, str]:
        """The card as metadata of a file."""
        return {METADATA_KEY: json.dumps(dataclasses.asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: object) -> Card:
        """Read the card from a file's metadata; `source` names the file in errors. Raises CardError."""
        if METADATA_KEY not in metadata:
            raise CardError(f"{source} does not describe its input images: create it with this project's export.py")
        try:
            values = json.loads(metadata[METADATA_KEY])
            return cls(**{**values, "range": tuple(values["range"])})
        except (ValueError, TypeError, KeyError) as error:
            raise CardError(
                f"{source} was exported by another version of this project ({error}): export it again"
            ) from error
