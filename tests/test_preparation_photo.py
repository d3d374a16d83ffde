"""One photo of a collection: what is refused, what is written, and which photos look alike."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raw_collections as raw
from PIL import Image, ImageEnhance, ImageOps

from scripts.preparation.photo import (
    CHECKED,
    PhotoTask,
    PhotoWork,
    colourfulness,
    crop_to,
    perceptual_hash,
    prepare_photo,
    square_around,
)
from scripts.preparation.reasons import Reason

WORK = PhotoWork(mode="crop", size=64, format="png", quality=95, min_size=50, min_colour=4.5)


def psnr(a: Image.Image, b: Image.Image) -> float:
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    return float(10 * np.log10(255**2 / max(1e-9, np.mean(difference**2))))


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(crop_to(image, (0, 0, *image.size), CHECKED, Image.Resampling.BOX), dtype=np.float32)


def test_the_middle_square_is_resized_well(tmp_path: Path) -> None:
    image = raw.picture(1, 300, 200)
    outcome = prepare_photo(WORK, PhotoTask(7, raw.encode(image, "PNG"), tmp_path / "out.png"))
    assert outcome[:4] == (7, "", 300, 200) and outcome.file_size == (tmp_path / "out.png").stat().st_size
    with Image.open(tmp_path / "out.png") as written:
        expected = image.crop((50, 0, 250, 200)).resize((64, 64), Image.Resampling.LANCZOS)
        assert (written.mode, written.size) == ("RGB", (64, 64)) and psnr(written, expected) > 50


def test_decoding_large_jpegs_at_a_fraction_of_their_size_costs_no_quality(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    detailed = Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)).resize((1200, 1200))
    content = raw.encode(detailed)
    prepare_photo(WORK, PhotoTask(0, content, tmp_path / "out.png"))
    with Image.open(io.BytesIO(content)) as whole, Image.open(tmp_path / "out.png") as written:
        assert psnr(written, whole.resize((64, 64), Image.Resampling.LANCZOS)) > 40


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    image = raw.picture(2, 120, 80)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image.save(buffer, "PNG", exif=exif)
    prepare_photo(WORK, PhotoTask(0, buffer.getvalue(), tmp_path / "out.png"))
    with Image.open(tmp_path / "out.png") as written:
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
        assert upright.size == (80, 120)
        assert psnr(written, upright.crop((0, 20, 80, 100)).resize((64, 64), Image.Resampling.LANCZOS)) > 45


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, Reason.MISSING),
        (b"", Reason.UNREADABLE),
        (b"GIF89a no more", Reason.UNREADABLE),
        (raw.photo(1)[:900], Reason.UNREADABLE),
        (raw.photo(1, 200, 49), Reason.TOO_SMALL),
        (raw.encode(raw.picture(1).convert("L")), Reason.GREY),
        (raw.encode(raw.picture(1).convert("L").convert("RGB")), Reason.GREY),
    ],
)
def test_unusable_photos_are_told_by_their_reason_and_not_written(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    outcome = prepare_photo(WORK, PhotoTask(3, content, tmp_path / "out.png"))
    assert (outcome.number, outcome.reason) == (3, reason)
    assert bool(outcome.detail) == (reason == Reason.UNREADABLE)
    assert list(tmp_path.iterdir()) == []


def toned(image: Image.Image, dark: str, light: str, middle: str | None = None) -> Image.Image:
    return ImageOps.colorize(image.convert("L"), dark, light, mid=middle)


def test_toned_photos_have_no_colour_and_faint_colours_are_colour() -> None:
    """Sepia, cyanotype and selenium tones against skin-like colours that are fainter than any of them."""
    for seed in range(5):
        image = raw.picture(seed)
        for tones in (("#1a0f00", "#ffe9c0", "#8a6a40"), ("#001030", "#e8f6ff", "#4080a0"), ("#200020", "#fff0f8")):
            copy = Image.open(io.BytesIO(raw.encode(toned(image, *tones), quality=70)))
            assert colourfulness(small(copy)) < 4.5
            assert np.ptp(np.asarray(copy, dtype=int), axis=2).mean() > 10, "the tone is strong"
        faint = ImageEnhance.Color(image).enhance(0.25)
        assert colourfulness(small(faint)) > 4.5
    assert colourfulness(small(raw.picture(0).convert("L").convert("RGB"))) < 1e-3


def bits_apart(a: Image.Image, b: Image.Image) -> int:
    first, second = (np.unpackbits(np.frombuffer(perceptual_hash(small(image)), np.uint8)) for image in (a, b))
    return int((first != second).sum())


def test_copies_of_a_photo_are_alike_and_others_are_not(demo_faces: Path) -> None:
    faces = [Image.open(path).convert("RGB") for path in sorted((demo_faces / "trainA").iterdir())[:12]]
    pictures = [raw.picture(seed) for seed in range(12)]
    for image in pictures:
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        compressed = Image.open(io.BytesIO(raw.encode(image, quality=70)))
        copies = [compressed, half, ImageEnhance.Contrast(image).enhance(0.9)]
        assert max(bits_apart(image, copy) for copy in copies) <= 20
    others = [bits_apart(a, b) for group in (faces, pictures) for i, a in enumerate(group) for b in group[:i]]
    assert min(others) > 20


def test_a_margin_round_the_face_continues_the_photo_where_it_ends(tmp_path: Path) -> None:
    image = raw.picture(4, 200, 160)
    work = replace(WORK, size=100)
    box = square_around((120, 20, 180, 60), 0.5)  # 120 wide, from (90, -20) to (210, 100)
    assert box == (90, -20, 210, 100)
    outcome = prepare_photo(work, PhotoTask(0, raw.encode(image, "PNG"), tmp_path / "out.png", box, needs_box=True))
    assert outcome.reason == ""
    padded = np.pad(np.asarray(image), [(20, 0), (0, 10), (0, 0)], mode="edge")
    expected = Image.fromarray(padded).crop((90, 0, 210, 120)).resize((100, 100), Image.Resampling.LANCZOS)
    with Image.open(tmp_path / "out.png") as written:
        assert psnr(written, expected) > 35


def test_face_boxes_that_cannot_be_are_refused_at_no_cost(tmp_path: Path) -> None:
    content = raw.encode(raw.picture(4), "PNG")
    for box in (None, (300.0, 300.0, 400.0, 400.0), (float("nan"),) * 4, (-9e9, -9e9, 9e8, 9e8)):
        outcome = prepare_photo(WORK, PhotoTask(0, content, tmp_path / "out.png", box, needs_box=True))
        assert outcome.reason == Reason.BOX
    # A box much larger than the photo, whose middle is in it: the result has the size that was asked for.
    huge = square_around((-1e7, -1e7, 1e7 + 200, 1e7 + 200), 4)
    outcome = prepare_photo(replace(WORK, min_colour=0), PhotoTask(0, content, tmp_path / "out.png", huge))
    with Image.open(tmp_path / "out.png") as written:
        assert written.size == (64, 64)


def test_copies_and_links_keep_every_byte(tmp_path: Path) -> None:
    source = tmp_path / "source.jpg"
    source.write_bytes(raw.photo(5))
    prepare_photo(replace(WORK, mode="copy"), PhotoTask(0, source, tmp_path / "copy.jpg"))
    prepare_photo(replace(WORK, mode="copy"), PhotoTask(0, source.read_bytes(), tmp_path / "bytes.jpg"))
    prepare_photo(replace(WORK, mode="link"), PhotoTask(0, source, tmp_path / "link.jpg"))
    prepare_photo(replace(WORK, mode="link"), PhotoTask(0, source.read_bytes(), tmp_path / "archived.jpg"))
    names = ("copy", "bytes", "link", "archived")
    assert all((tmp_path / f"{name}.jpg").read_bytes() == source.read_bytes() for name in names)
    assert os.path.samefile(tmp_path / "link.jpg", source) and not os.path.samefile(tmp_path / "copy.jpg", source)


def test_a_photo_that_cannot_be_written_is_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        prepare_photo(WORK, PhotoTask(0, raw.photo(1), tmp_path / "no folder" / "out.png"))
