"""age_photo.py: any photo in, the same photo with other faces out; nothing else of it changed, no file lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.ExifTags import IFD, Base
from portrait import astronaut
from processes import ENVIRONMENT, ROOT, run
from small_runs import make_run

import age_photo
import export
from aging.aged_photo import AgedPhoto
from aging.aged_photo import age_photo as find_changes
from aging.generators import find_generators
from aging.photo_file import read_photo, write_photo
from aging.pictures import STRIP_STRENGTHS, strip

LEFT_HALF, FACE = (slice(None), slice(0, 512)), (slice(60, 180), slice(160, 290))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run "exported" with ONNX files, and a run "plain" without."""
    folder = tmp_path_factory.mktemp("checkpoints")
    make_run(folder, "exported", residual=True)
    shutil.copytree(folder / "exported", folder / "plain")
    export.main(["--name", "exported", "--checkpoints_dir", str(folder)])
    return folder


@pytest.fixture
def age(checkpoints: Path, tmp_path: Path) -> object:
    """Calls the command, with the exported run unless another is named; returns its exit status."""

    def call(*words: object, output: Path = tmp_path / "out", name: str = "exported") -> int:
        run = ["--checkpoints_dir", str(checkpoints), "--name", name, "--output", str(output)]
        return age_photo.main([*map(str, words), *run])

    return call


def saved(path: Path, image: Image.Image | None = None, **parameters: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or astronaut()).save(path, **parameters)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def change(before: Image.Image, path: Path) -> np.ndarray:
    return np.abs(pixels(path) - np.asarray(before.convert("RGB")).astype(int)).max(axis=2)


def test_a_photo_becomes_the_same_photo_with_another_face(age, tmp_path: Path, capsys) -> None:
    photo = saved(tmp_path / "me.png")
    assert age(photo, "--strip") == 0
    difference = change(astronaut(), tmp_path / "out" / "me_older.png")
    assert difference[FACE].mean() > 3
    assert difference[300:].max() == 0 and difference[:, 400:].max() == 0, "what is no face stays, bit for bit"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "me_older.png",
        "me_older_compare.jpg",
        "me_strip.jpg",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "me.png: 1 face made older" in lines[0] and "me_older.png" in lines[0]
    compare = Image.open(tmp_path / "out" / "me_older_compare.jpg")
    assert compare.width > 1.5 * compare.height, "before and after, side by side"


def test_strength_scales_the_change(age, tmp_path: Path) -> None:
    photo = saved(tmp_path / "me.png")
    means = {}
    for strength in ("0", "0.5", "1"):
        age(photo, "--strength", strength, output=tmp_path / strength)
        means[strength] = change(astronaut(), tmp_path / strength / "me_older.png")[FACE].mean()
    assert means["0"] == 0 and means["0.5"] == pytest.approx(means["1"] / 2, rel=0.1)


def test_younger_is_older_the_other_way_round(age, tmp_path: Path) -> None:
    photo = saved(tmp_path / "me.png")
    age(photo, "--direction", "younger")
    age(photo, "--strength=-1", output=tmp_path / "minus")
    made = pixels(tmp_path / "out" / "me_younger.png")
    assert np.array_equal(made, pixels(tmp_path / "minus" / "me_older.png"))
    age(photo)
    assert (made != pixels(tmp_path / "out" / "me_older.png")).any(), "each direction has a network of its own"


def test_onnxruntime_and_torch_make_the_same_pictures(age, tmp_path: Path) -> None:
    photo = saved(tmp_path / "me.png")
    for engine in ("onnx", "torch"):
        assert age(photo, "--engine", engine, output=tmp_path / engine) == 0
    first, second = (pixels(tmp_path / engine / "me_older.png") for engine in ("onnx", "torch"))
    difference = np.abs(first - second)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001, "roundings that fall to the other side"


def test_an_onnx_file_is_used_without_torch(checkpoints: Path, tmp_path: Path) -> None:
    saved(tmp_path / "me.jpg")
    code = (
        "import sys, age_photo; status = age_photo.main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(status)"
    )
    words = [tmp_path / "me.jpg", "--model", checkpoints / "exported" / "latest_younger.onnx", "--output", tmp_path]
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "False" and (tmp_path / "me_older.jpg").is_file()


def test_files_of_older_weights_are_not_used(checkpoints: Path, tmp_path: Path) -> None:
    make_run(tmp_path, "trained_on", residual=True, ngf=8)
    for direction in ("older", "younger"):
        shutil.copy(checkpoints / "exported" / f"latest_{direction}.onnx", tmp_path / "trained_on")
    sources = [generator.source.suffix for generator in find_generators(tmp_path / "trained_on").values()]
    assert sources == [".pth", ".pth"]
    sources = [generator.source.suffix for generator in find_generators(checkpoints / "exported").values()]
    assert sources == [".onnx", ".onnx"]


def test_a_photo_without_a_face_is_told_and_the_others_are_done(age, tmp_path: Path, capsys) -> None:
    nobody = saved(tmp_path / "sky.png", Image.linear_gradient("L").convert("RGB"))
    notes, empty, part = (tmp_path / name for name in ("notes.txt", "empty.png", "part.jpg"))
    notes.write_text("this is no photo")
    empty.touch()
    whole = saved(tmp_path / "whole" / "me.jpg").read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    assert age(nobody, notes, empty, part, saved(tmp_path / "me.png")) == 2
    told = capsys.readouterr()
    reasons = dict(line.split(": ", 1) for line in told.err.splitlines())
    assert reasons[str(nobody)].startswith("no face was found")
    assert reasons[str(notes)].startswith("it is no photo, or is damaged: use a photo in one of the formats JPEG, PNG,")
    assert reasons[str(empty)] == "it is empty: copy or download it again"
    assert reasons[str(part)].startswith("it is damaged or incomplete: copy or download it again (")
    assert len(reasons) == 4 and "Error" not in told.err and "me.png: 1 face made older" in told.out
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"me_older.png", "me_older_compare.jpg"}


def test_one_of_several_faces(age, tmp_path: Path, capsys) -> None:
    both = Image.new("RGB", (1024, 512))
    both.paste(astronaut(), (0, 0))
    both.paste(astronaut(), (512, 0))
    photo = saved(tmp_path / "both.png", both)
    assert age(photo, "--face", "2", "--strip") == 0
    difference = change(both, tmp_path / "out" / "both_older.png")
    assert difference[LEFT_HALF].max() == 0 < difference.max()
    assert "face 2 of 2" in capsys.readouterr().out
    age(photo)
    assert change(both, tmp_path / "out" / "both_older.png")[LEFT_HALF].max() > 0
    assert age(photo, "--face", "3") == 2 and "--face 3: only 2 faces were found" in capsys.readouterr().err


def test_a_photo_that_lies_on_its_side_comes_out_upright(age, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    photo = saved(tmp_path / "phone.png", astronaut().transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())
    assert age(photo, "--keep_metadata") == 0
    difference = change(astronaut(), tmp_path / "out" / "phone_older.png")
    assert difference[300:].max() == 0 < difference[FACE].mean()
    assert Image.open(tmp_path / "out" / "phone_older.png").getexif().get(Base.Orientation, 1) == 1


def test_metadata_are_kept_only_if_asked_for_and_the_place_only_if_that_is(
    age, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    exif = astronaut().getexif()
    exif[Base.Model], exif[Base.Orientation] = "Camera", 1
    exif.get_ifd(IFD.Exif).update({Base.DateTimeOriginal: "2020:01:02 03:04:05", Base.MakerNote: b"secret"})
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (48.0, 51.0, 29.0)})
    photo = saved(tmp_path / "me.jpg", exif=exif.tobytes(), quality=95)
    found = {}
    for flag in ("", "--keep_metadata", "--keep_location"):
        assert age(photo, *[flag] * bool(flag), output=tmp_path / f"out{flag}") == 0
        made = Image.open(tmp_path / f"out{flag}" / "me_older.jpg")
        found[flag] = made.getexif()
        assert b"secret" not in (tmp_path / f"out{flag}" / "me_older.jpg").read_bytes()
    assert not found[""]
    assert found["--keep_metadata"][Base.Model] == "Camera" and not found["--keep_metadata"].get_ifd(IFD.GPSInfo)
    assert found["--keep_metadata"].get_ifd(IFD.Exif)[Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert found["--keep_location"].get_ifd(IFD.GPSInfo)[1] == "N"
    short = saved(tmp_path / "short.jpg", exif=exif.tobytes()[:-12])
    assert age(short, "--keep_location") == 0 and Image.open(tmp_path / "out" / "short_older.jpg").getexif()
    assert not [each for each in recwarn if "Truncated" in str(each.message)], "of damage that is left out"


def test_what_a_format_has_no_room_for_is_told(tmp_path: Path) -> None:
    like = read_photo(saved(tmp_path / "small.webp"))
    with pytest.raises(OSError, match=r"WEBP cannot hold this photo: .*16383 pixels"):
        write_photo(tmp_path / "wide.webp", np.zeros((1, 16384, 3), np.uint8), like)
    assert not (tmp_path / "wide.webp").exists()


def test_transparent_grey_deep_and_rare_photos(age, tmp_path: Path) -> None:
    clear = astronaut().copy()
    clear.putalpha(Image.linear_gradient("L").resize((512, 512)))
    grey = astronaut().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    palette = astronaut().quantize(256)
    photos = [
        saved(tmp_path / "clear.png", clear),
        saved(tmp_path / "grey.jpg", grey),
        saved(tmp_path / "deep.tif", deep),
        saved(tmp_path / "print.jpg", astronaut().convert("CMYK")),
        saved(tmp_path / "animated.gif", palette),
        saved(tmp_path / "web.webp", astronaut()),
        saved(tmp_path / "phone.avif", quality=90),
        saved(tmp_path / "wrongly_named.png", astronaut(), format="JPEG"),
    ]
    assert age(*photos) == 0
    made = {path.stem.removesuffix("_older"): Image.open(path) for path in (tmp_path / "out").glob("*_older.*")}
    assert {name: (image.format, image.mode) for name, image in made.items()} == {
        "clear": ("PNG", "RGBA"),
        "grey": ("JPEG", "L"),
        "deep": ("PNG", "L"),
        "print": ("JPEG", "RGB"),
        "animated": ("PNG", "RGB"),
        "web": ("WEBP", "RGB"),
        "phone": ("JPEG", "RGB"),
        "wrongly_named": ("JPEG", "RGB"),
    }
    assert np.array_equal(np.asarray(made["clear"].getchannel("A")), np.asarray(clear.getchannel("A")))
    assert np.abs(np.asarray(made["deep"]).astype(int) - np.asarray(grey))[300:].max() == 0


def test_colour_profiles_stay(age, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    age(saved(tmp_path / "me.jpg", icc_profile=profile))
    assert Image.open(tmp_path / "out" / "me_older.jpg").info["icc_profile"] == profile


def test_folders_and_patterns(age, tmp_path: Path, capsys) -> None:
    for name in ("b.png", "a.JPG", "sub/a.png", "sub/notes.txt"):
        if name.endswith("txt"):
            (tmp_path / "photos" / name).write_text("no photo")
        else:
            saved(tmp_path / "photos" / name)
    assert age(tmp_path / "photos", tmp_path / "photos" / "sub" / "*.png") == 0
    results = {file.name for file in (tmp_path / "out").glob("*_older.*")}
    assert results == {"a_older.jpg", "b_older.png", "a_2_older.png"}, "photos of one name do not share a result"
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_cannot_be_is_told(tmp_path: Path, checkpoints: Path) -> None:
    photo = saved(tmp_path / "me.png")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "notes.txt").touch()
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    cases = {
        ("absent.png",): "absent.png: does not exist",
        (tmp_path / "nothing",): "contains no images (expected files ending in .jpg",
        (photo, "--name", "unknown"): "there is no model in",
        (photo, "--model", tmp_path / "bad.onnx"): "bad.onnx is damaged or not an ONNX file",
        (photo, "--model", "no.onnx"): "no.onnx does not exist",
        (photo, "--face", "0"): "faces are numbered from the left",
        (photo, "--strength", "100"): "between -3 and 3",
        (tmp_path, "--output", tmp_path, "--checkpoints_dir", checkpoints, "--name", "exported"): "choose another",
    }
    for words, reason in cases.items():
        printed = run("age_photo.py", *words, status=2)
        assert reason in printed and "Traceback" not in printed, printed


def test_no_photo_is_replaced(age, tmp_path: Path, capsys) -> None:
    first, second = saved(tmp_path / "me_older.png"), saved(tmp_path / "me.png")
    before = first.read_bytes(), second.read_bytes()
    assert age(second, first, output=tmp_path) == 2
    assert "me_older.png, which is one of the photos" in capsys.readouterr().err
    assert (first.read_bytes(), second.read_bytes()) == before


def test_an_interrupted_command_leaves_whole_files(checkpoints: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    large = astronaut().resize((2048, 2048))
    for number in range(4):
        saved(photos / f"{number}.png", large, compress_level=1)
    words = ["--checkpoints_dir", checkpoints, "--name", "exported", "--output", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "age_photo.py"), str(photos), *map(str, words)],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and "0.png: 1 face" in process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130 and "Traceback" not in errors and "stopped" in errors
    files = list((tmp_path / "out").iterdir())
    assert 2 <= len(files) < 8 and not [file for file in files if file.suffix == ".tmp"]
    for file in files:
        with Image.open(file) as image:
            image.load()


def test_fine_detail_stays_and_the_change_is_smooth(checkpoints: Path) -> None:
    generators = find_generators(checkpoints / "exported")
    large = astronaut().crop((130, 10, 330, 210)).resize((1600, 1600), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 12, (1600, 1600, 3))
    photo = Image.fromarray(np.uint8(np.clip(np.asarray(large) + grain, 20, 235)))
    aged = find_changes(photo, generators)
    # Of the aligned face's 64 pixels each is 20 of the photo's: a change from one to the next is spread over as many.
    added = AgedPhoto(np.full_like(aged.pixels, 128), aged.faces).at(0.5).astype(np.float32) - 128
    assert np.abs(added).max() > 20 and np.abs(np.diff(added, axis=1)).max() < np.abs(added).max() / 5, "no blocks"
    made, before = aged.at(0.5).astype(np.float32), aged.pixels.astype(np.float32)
    blurred = np.asarray(photo.filter(ImageFilter.GaussianBlur(2)), dtype=np.float32)
    grain_before = (before - blurred)[600:1000, 600:1000].std()
    smooth = np.asarray(Image.fromarray(made.astype(np.uint8)).filter(ImageFilter.GaussianBlur(2)), dtype=np.float32)
    grain_after = (made - smooth)[600:1000, 600:1000].std()
    assert grain_after == pytest.approx(grain_before, rel=0.1), "the photo's own grain is neither lost nor doubled"


def test_the_strip_goes_from_younger_to_older(checkpoints: Path) -> None:
    aged = find_changes(astronaut(), find_generators(checkpoints / "exported"))
    row = strip(aged)
    alone = strip(aged, strengths=[0.0])
    width = alone.shape[1]
    assert row.shape[0] == alone.shape[0]
    cells = [row[:, left : left + width] for left in range(0, row.shape[1], width + 6)]
    assert len(cells) == len(STRIP_STRENGTHS) == 6
    unchanged = cells[2][30:].astype(int)
    distances = [np.abs(cell[30:].astype(int) - unchanged).mean() for cell in cells]
    assert distances[2] == 0 and distances[0] > distances[1] > 0 and distances[5] > distances[4] > distances[3] > 0
