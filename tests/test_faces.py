"""faces/: what is found, how it is aligned, and that putting it back changes only the face."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from portrait import EYES, astronaut

from faces.align import CHIP_WINDOW, EYE_DISTANCE, EYE_HEIGHT, TEMPLATE, Alignment, aligned, alignment_of
from faces.detect import find_faces
from faces.landmarks import USUAL, fitted_similarity, is_plausible, transformed
from faces.paste import paste_change


def pasted(photo: Image.Image, face: np.ndarray, alignment: Alignment, strength: float = 1.0) -> np.ndarray:
    """The photo with a changed version of its aligned face."""
    framing = alignment.resized(len(face))
    before = np.asarray(aligned(photo, framing), dtype=np.float32)
    return paste_change(photo, np.float32(strength) * (face.astype(np.float32) - before), framing)


def turned(points: np.ndarray, degrees: float, scale: float, place: tuple[float, float]) -> np.ndarray:
    """Points turned, scaled, and moved by `place`."""
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ (scale * rotation).T + place


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A photo in which every pixel counts."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest distance of two sets of points, in units of the distance between the first set's eyes."""
    return float(np.hypot(*(one - other).T).max() / np.hypot(*(one[1] - one[0])))


def test_the_landmarks_are_where_a_person_sees_them() -> None:
    (face,) = find_faces(astronaut())
    assert np.abs(face.landmarks[:2] - EYES).max() < 4
    left, top, right, bottom = face.box
    assert (left < face.landmarks[:, 0]).all() and (face.landmarks[:, 0] < right).all()
    assert top < face.landmarks[:2, 1].min() and face.landmarks[3:, 1].max() < bottom
    assert face.score > 0.8


@pytest.mark.parametrize("degrees", [-30, 20, 180])
def test_turned_heads_are_found_and_set_upright(degrees: int) -> None:
    upright = aligned(astronaut(), alignment_of(find_faces(astronaut())[0].landmarks, 128))
    photo = astronaut().rotate(degrees, Image.Resampling.BICUBIC, center=(225, 115))
    again = aligned(photo, alignment_of(find_faces(photo)[0].landmarks, 128))
    middle = (32, 32, 96, 120)  # free of what turning cut away
    difference = np.asarray(upright.crop(middle), dtype=float) - np.asarray(again.crop(middle), dtype=float)
    assert np.abs(difference).mean() < 8


def test_faces_of_all_sizes_are_found_and_the_largest_comes_first() -> None:
    photo = Image.new("RGB", (1600, 1200), (120, 130, 125))
    head = astronaut().crop((130, 20, 320, 210))
    places = [(760, (700, 300)), (250, (100, 100)), (50, (200, 800))]
    for size, place in places:
        photo.paste(head.resize((size, size), Image.Resampling.LANCZOS), place)
    middles = [face.landmarks.mean(axis=0).tolist() for face in find_faces(photo)]
    for (x, y), (size, (left, top)) in zip(middles, places, strict=True):
        assert left + 0.4 * size < x < left + 0.6 * size and top + 0.4 * size < y < top + 0.8 * size


def test_landmarks_do_not_depend_on_the_size_of_the_photo() -> None:
    face = find_faces(astronaut())[0].landmarks
    for size in (180, 2000):
        other = find_faces(astronaut().resize((size, size), Image.Resampling.LANCZOS))[0].landmarks
        assert distance(face, other * (512 / size)) < 0.1


def test_a_grey_photo_and_an_array_are_photos_too() -> None:
    assert len(find_faces(astronaut().convert("L"))) == 1
    assert len(find_faces(np.asarray(astronaut()))) == 1


def test_transparent_photos_are_aligned_and_pasted_into() -> None:
    alignment = alignment_of(TEMPLATE * 100 + (70, 90), 100)
    photo = noise(300, 300)
    transparent = photo.convert("RGBA")
    assert np.array_equal(np.asarray(aligned(transparent, alignment)), np.asarray(aligned(photo, alignment)))
    assert np.array_equal(pasted(transparent, np.asarray(aligned(photo, alignment)), alignment), np.asarray(photo))


def drawing() -> Image.Image:
    """A face as a child draws it: a circle, two dots, a line."""
    image = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((50, 50, 250, 250), outline="black", width=4)
    for x in (110, 190):
        draw.ellipse((x - 8, 112, x + 8, 128), fill="black")
    draw.line((110, 200, 190, 200), fill="black", width=4)
    return image


@pytest.mark.parametrize(
    "photo",
    [Image.new("RGB", (1, 1)), Image.new("RGB", (5000, 3)), Image.new("RGB", (640, 480)), noise(400, 300), drawing()],
    ids=["one pixel", "a line", "black", "noise", "a drawing"],
)
def test_where_no_face_is_none_is_found(photo: Image.Image) -> None:
    assert find_faces(photo) == []


def test_a_photo_of_100_megapixels_is_searched() -> None:
    photo = Image.new("RGB", (12500, 8000), (90, 100, 110))
    photo.paste(astronaut().resize((4000, 4000)), (3000, 2000))
    (face,) = find_faces(photo)
    assert np.abs(face.landmarks[:2] - (EYES * (4000 / 512) + (3000, 2000))).max() < 40


BOX = (-1.0, -0.9, 1.0, 1.9)
"""of USUAL"""


@pytest.mark.parametrize(
    "points",
    [
        USUAL[[1, 0, 2, 3, 4]],
        USUAL[[0, 1, 2, 4, 3]],
        USUAL * (1, -1) + (0, 1),
        USUAL + np.array([(0, 0), (0, 0), (0, 0), (0, 1.5), (0, 1.5)]),
        USUAL * (0.05, 1),
        USUAL * 0,
        USUAL * np.nan,
    ],
    ids=["eyes changed", "mouth changed", "mirrored", "outside", "eyes too close", "one point", "no numbers"],
)
def test_landmarks_that_cannot_be_right_make_no_face(points: np.ndarray) -> None:
    assert is_plausible(USUAL, BOX)
    assert not is_plausible(points, BOX)


def test_a_similarity_is_found_again() -> None:
    matrix = fitted_similarity(USUAL, turned(USUAL, 33, 70, (120, 95)))
    assert np.allclose(transformed(matrix, USUAL), turned(USUAL, 33, 70, (120, 95)))
    mirrored = fitted_similarity(USUAL, USUAL * (-1, 1))
    assert np.linalg.det(mirrored[:, :2]) >= 0  # mirrored faces are not mirrored back


def test_the_eyes_come_to_the_stated_places() -> None:
    alignment = alignment_of(turned(USUAL, -25, 60, (300, 200)), 256)
    eyes = transformed(np.array(alignment.matrix), turned(USUAL[:2], -25, 60, (300, 200)))
    assert np.allclose(eyes[:, 1], EYE_HEIGHT * 256)
    assert np.allclose(eyes[:, 0], [128 - EYE_DISTANCE * 128, 128 + EYE_DISTANCE * 128])
    assert alignment.scale == pytest.approx(EYE_DISTANCE * 256 / 60)
    back = transformed(np.array(alignment.inverse), eyes)
    assert np.allclose(back, turned(USUAL[:2], -25, 60, (300, 200)))


def test_the_chip_window_is_where_utkfaces_eyes_say() -> None:
    left, top, right, bottom = CHIP_WINDOW
    eyes = np.array([(65, 55), (132, 55)]) / 200 * (right - left, bottom - top) + (left, top)
    assert np.abs(eyes - TEMPLATE[:2]).max() < 0.01


def test_an_alignment_without_a_change_of_scale_copies_pixels() -> None:
    photo = noise(300, 300)
    landmarks = TEMPLATE * 100 + (70, 90)
    face = np.asarray(aligned(photo, alignment_of(landmarks, 100)))
    assert np.array_equal(face, np.asarray(photo)[90:190, 70:170])


def test_aligned_faces_are_antialiased() -> None:
    photo = noise(1200, 1200)
    face = np.asarray(aligned(photo, alignment_of(turned(USUAL, 10, 250, (600, 500)), 64)), dtype=float)
    assert np.abs(face - 127.5).mean() < 10  # a photo sampled at points would keep its 64


def test_where_the_photo_ends_its_border_goes_on_softly() -> None:
    pixels = np.full((200, 200, 3), (200, 100, 50), dtype=np.uint8)
    face = np.asarray(aligned(Image.fromarray(pixels), alignment_of(TEMPLATE * 200 + (120, -60), 128)))
    assert np.abs(face - (200.0, 100.0, 50.0)).max() <= 1
    striped = np.asarray(noise(200, 200))
    face = np.asarray(aligned(Image.fromarray(striped), alignment_of(TEMPLATE * 200 + (100, 0), 200)), dtype=float)
    assert face[:, 170:].std(axis=0).mean() < 0.3 * face[:, :90].std(axis=0).mean()


def test_an_alignment_beside_the_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="does not overlap the photo of 50 x 40 pixels"):
        aligned(Image.new("RGB", (50, 40)), alignment_of(TEMPLATE * 100 + (5000, 5000), 64))
    with pytest.raises(ValueError, match="the same point"):
        alignment_of(np.ones((5, 2)), 64)


PLACES = {
    "upright": (600, 500, 0, 90, (300, 200)),
    "rotated": (600, 500, 37, 90, (300, 200)),
    "upside down": (600, 500, 180, 90, (300, 250)),
    "tiny": (300, 200, -12, 8, (150, 90)),
    "cut off": (400, 300, 15, 120, (10, 290)),
    "4,000 pixels": (4200, 4600, 8, 1650, (2100, 1800)),
}
"""width and height of a photo, degrees and distance between the eyes of its face, the point between them"""


@pytest.mark.parametrize("place", PLACES)
def test_an_untouched_face_changes_nothing_when_it_is_pasted(place: str) -> None:
    width, height, degrees, eyes, middle = PLACES[place]
    photo = noise(width, height)
    alignment = alignment_of(turned(USUAL, degrees, eyes, middle), 128)
    assert np.array_equal(pasted(photo, np.asarray(aligned(photo, alignment)), alignment), np.asarray(photo))


@pytest.mark.parametrize("place", PLACES)
def test_a_change_arrives_whole_in_the_face_and_nowhere_else(place: str) -> None:
    width, height, degrees, eyes, middle = PLACES[place]
    photo = Image.new("RGB", (width, height), (100, 100, 100))
    landmarks = turned(USUAL, degrees, eyes, middle)
    alignment = alignment_of(landmarks, 128)
    made = paste_change(photo, np.full((128, 128, 3), 30.0, dtype=np.float32), alignment)
    for x, y in landmarks:
        if 0 <= x < width and 0 <= y < height:
            assert (made[int(y), int(x)] == 130).all()
    rows, columns = 5 * np.stack(np.nonzero(made[::5, ::5, 0] != 100))
    seen = transformed(np.array(alignment.matrix), np.stack([columns + 0.5, rows + 0.5], axis=1)) / 128
    assert len(seen) and seen.min() > 0 and seen.max() < 1
    assert made.min() >= 100 and made.max() == 130


def test_a_large_photo_keeps_its_own_detail() -> None:
    photo = noise(1000, 1000)
    alignment = alignment_of(turned(USUAL, 5, 220, (500, 450)), 96)
    face = np.asarray(aligned(photo, alignment), dtype=int)
    brighter = np.clip(face + 20, 0, 255).astype(np.uint8)
    made = pasted(photo, brighter, alignment)
    middle = np.s_[400:560, 420:580]
    gained = made[middle].astype(int) - np.asarray(photo)[middle]
    unclipped = np.asarray(photo)[middle] < 230
    assert np.abs(gained[unclipped] - 20).max() <= 3


def test_the_photo_then_shows_the_pasted_face() -> None:
    alignment = alignment_of(find_faces(astronaut())[0].landmarks, 128)
    before = np.asarray(aligned(astronaut(), alignment), dtype=float)
    wanted = np.clip(before * (0.8, 1.0, 1.1) + 10, 0, 255).astype(np.uint8)
    again = np.asarray(aligned(pasted(astronaut(), wanted, alignment), alignment), dtype=float)
    inner = np.s_[30:110, 30:98]
    assert np.abs(again[inner] - wanted[inner]).mean() < 2.5
    half = np.asarray(aligned(pasted(astronaut(), wanted, alignment, strength=0.5), alignment))
    assert np.abs(half[inner] - (before + wanted)[inner] / 2).mean() < 2.5


def test_a_face_of_another_size_than_the_alignment_is_taken() -> None:
    alignment = alignment_of(find_faces(astronaut())[0].landmarks, 128)
    face = np.asarray(aligned(astronaut(), alignment.resized(64)))
    assert np.array_equal(pasted(astronaut(), face, alignment), np.asarray(astronaut()))
    with pytest.raises(ValueError, match="shape"):
        paste_change(astronaut(), np.zeros((3, 64, 64), dtype=np.float32), alignment)
