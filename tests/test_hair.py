"""Hair: where a photo shows it, what it looks like in grey, and the generators that turn it grey."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_people import drawn, hair_of, sample_people
from PIL import Image, ImageDraw
from portrait import LANDMARKS, astronaut
from safetensors.torch import save_file
from small_runs import make_run
from test_cycle_gan import photos, small_model

import export
from aging.aged_photo import AgedPhoto, age_photo
from aging.generators import find_generators, needed_for
from faces.align import aligned, alignment_of
from models.generators import Generator, GeneratorOptions, create_generator
from models.grey_hair import GreyHair
from models.hair_segmenter import DEFAULT_PATH, HairSegmenter, load_segmenter, save_segmenter
from models.layers import NetworkOptions
from models.one_direction_model import OneDirectionModel, OneDirectionOptions
from scripts.hair_training.labels import SIZE, label_hair, load_opencv
from scripts.train_hair_segmenter import SegmenterOptions, intersection_over_union, train, views
from util.arguments import OptionError, build
from util.errors import UserError
from util.images import image_to_tensor
from util.run.checkpoint import CheckpointError

DARK = (62, 44, 32)


def paper_face(
    hair: tuple[int, int, int] | None, height: int = 240, long: bool = False
) -> tuple[Image.Image, np.ndarray]:
    """A face of paper where faces/align.py would put one, and the person on it (H, W), in [0, 1]. Long hair lies on
    white shoulders."""
    image, person = Image.new("RGB", (height, height), (120, 160, 120)), Image.new("L", (height, height))

    def ellipse(centre: float, width: float, tall: float, colour: tuple[int, int, int]) -> None:
        box = [height * value for value in (0.5 - width, centre - tall, 0.5 + width, centre + tall)]
        ImageDraw.Draw(image).ellipse(box, colour)
        ImageDraw.Draw(person).ellipse(box, 255)

    if long and hair:
        for left, colour in ((0.17, (235, 235, 235)), (0.17, hair), (0.73, hair)):
            box = [height * value for value in (left, 0.5, 0.83 if colour != hair else left + 0.1, 1)]
            ImageDraw.Draw(image).rectangle(box, colour)
            ImageDraw.Draw(person).rectangle(box, 255)
    if hair:
        ellipse(0.46, 0.33, 0.38, hair)
    ellipse(0.56, 0.25, 0.30, (224, 172, 140))
    noise = np.random.default_rng(0).normal(0, 3, (height, height, 1))
    noisy = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    return noisy, np.asarray(person, np.float32) / 255


def has_opencv() -> bool:
    try:
        load_opencv()
    except UserError:
        return False
    return True


needs_opencv = pytest.mark.skipif(not has_opencv(), reason="needs OpenCV: pip install opencv-python-headless")


@needs_opencv
def test_hair_is_labelled_around_the_face_and_hats_and_bald_heads_are_left_out() -> None:
    face, person = paper_face(DARK)
    label = label_hair(face, lambda _: person)
    assert label is not None and label.shape == (SIZE, SIZE)
    is_dark = np.asarray(face.resize((SIZE, SIZE))).mean(2) < 80
    is_dark[int(0.8 * SIZE) :] = False
    assert (label & is_dark).sum() / (label | is_dark).sum() > 0.85
    for hair in ((40, 60, 200), None):
        face, person = paper_face(hair)
        assert label_hair(face, lambda _, person=person: person) is None


@needs_opencv
def test_long_hair_is_labelled_to_its_ends() -> None:
    face, person = paper_face(DARK, long=True)
    label = label_hair(face, lambda _: person)
    assert label is not None
    ends = np.zeros_like(label)
    ends[int(0.9 * SIZE) :, int(0.18 * SIZE) : int(0.26 * SIZE)] = True
    assert label[ends].mean() > 0.8 and label[ends[:, ::-1]].mean() > 0.8
    assert label[int(0.9 * SIZE) :, int(0.35 * SIZE) : int(0.65 * SIZE)].mean() < 0.1, "the shoulders"


@needs_opencv
def test_a_segmenter_learns_from_labels() -> None:
    colours = [(62, 44, 32), (20, 18, 16), (90, 60, 40), (45, 30, 30)]
    faces = [paper_face(colours[number % 4], 180 + number) for number in range(16)]
    labels = [label_hair(face, lambda _, person=person: person) for face, person in faces]
    assert all(label is not None for label in labels)
    images = torch.stack([torch.from_numpy(np.array(face.resize((SIZE, SIZE)))).permute(2, 0, 1) for face, _ in faces])
    hair = torch.stack([torch.from_numpy(label)[None] for label in labels if label is not None])
    torch.manual_seed(0)
    segmenter = train(images[4:], hair[4:], epochs=10, batch_size=6)
    assert intersection_over_union(segmenter, images[:4], hair[:4]) > 0.7


def test_views_move_labels_along_with_their_photos() -> None:
    torch.manual_seed(0)
    hair = torch.zeros(16, 1, SIZE, SIZE, dtype=torch.bool)
    hair[:, :, 20:90, 40:120] = True
    images, labels = views(torch.where(hair, 20, 230).expand(-1, 3, -1, -1).to(torch.uint8), hair)
    assert images.shape == (16, 3, 96, 96) and images.min() >= -1 and images.max() <= 1
    clear = (labels < 0.05) | (labels > 0.95)
    assert ((images.mean(1, keepdim=True) < 0) == (labels > 0.5))[clear].float().mean() > 0.999
    assert labels.flatten(1).mean(1).std() > 0.01, "no two views show the same part"


def test_the_shipped_segmenter_finds_hair_of_a_photo_and_of_drawings() -> None:
    assert DEFAULT_PATH.stat().st_size < 2e6
    face = aligned(astronaut(), alignment_of(LANDMARKS, 192))
    hair = GreyHair(1.0).parts(image_to_tensor(face)[None])[1][0, 0]
    assert hair.shape == (192, 192) and hair.min() >= 0 and hair.max() <= 1
    assert hair[30:40, 70:120].min() > 0.9, "above the forehead"
    assert hair[90:150, 70:120].max() < 0.1, "in the face"
    assert hair[150:, :].mean() < 0.1, "on the shoulders"
    for person in sample_people(4, (20, 30), 5):
        where = torch.from_numpy(hair_of(person, 192))[40:100]
        image = image_to_tensor(Image.fromarray(drawn(person, 192)))[None]
        found = GreyHair(1.0).parts(image)[1][0, 0, 40:100]
        assert found[where].mean() > found[~where].mean() + 0.3


def test_segmenters_are_written_and_read_again_and_other_files_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "hair.safetensors", tmp_path / "other.safetensors"
    segmenter = HairSegmenter({"photos": 3}).eval()
    save_segmenter(segmenter, path)
    state = torch.get_rng_state()
    loaded = load_segmenter(path, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state), "loading it must not change the training's random numbers"
    images = torch.rand(1, 3, 96, 96) * 2 - 1
    assert loaded.notes == {"photos": 3}
    whole = loaded(images)
    loaded.fold()
    assert not [module for module in loaded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    torch.testing.assert_close(loaded(images), whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(loaded(images), segmenter(images), atol=2e-2, rtol=0)
    save_file({"weight": torch.zeros(1)}, other)
    with pytest.raises(CheckpointError, match=r"other\.safetensors"):
        load_segmenter(other, torch.device("cpu"))


def test_grey_hair_is_lighter_the_lighter_it_was_and_keeps_its_strands() -> None:
    strands = torch.zeros(1, 1, 96, 96)
    strands[..., ::2] = 0.05
    layer = GreyHair(1.0)
    layer.segmenter = Everywhere()

    def grey(*colour: float) -> torch.Tensor:
        photo = (torch.tensor(colour).view(1, 3, 1, 1) + strands).expand(1, 3, 96, 96) * 2 - 1
        greyed = layer(photo)
        assert torch.allclose(greyed[:, 0], greyed[:, 2], atol=1e-3), "no colour is left"
        return (greyed + 1) / 2

    brown = grey(0.30, 0.18, 0.12)  # as bright as this where the face is, too: a dark photo
    assert brown.mean() == pytest.approx(0.30 * (0.2 + 0.025) / 0.5 + 0.62 * (0.2 + 0.025), abs=0.01)
    inner = brown[..., 20:60]
    assert 0.052 < (inner[..., ::2] - inner[..., 1::2]).mean() <= 0.15, "contrasts grow as the hair gets lighter"
    black, blond = grey(0.05, 0.05, 0.05), grey(0.8, 0.7, 0.5)
    assert black.mean() < brown.mean() < blond.mean() and black.min() >= 0 and blond.max() <= 1


@pytest.mark.parametrize(
    ("colour", "turns_grey"),
    [((0.85, 0.7, 0.45), True), ((0.6, 0.25, 0.1), True), ((1.0, 0.85, 0.0), False), ((0.1, 0.15, 0.4), False)],
    ids=["blond", "red", "yellow helmet", "blue cap"],
)
def test_what_has_no_colour_of_hair_is_left_as_it_is(colour: tuple[float, float, float], turns_grey: bool) -> None:
    layer = GreyHair(1.0)
    layer.segmenter = Everywhere()
    photo = torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 96, 96) * 2 - 1
    assert ((layer(photo) - photo).abs().max() > 0.2) == turns_grey


class Everywhere(torch.nn.Module):
    """Finds hair everywhere."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images[:, :1], 9.0)


def generator_with(share: float, **options: object) -> Generator:
    torch.manual_seed(0)
    shape = GeneratorOptions("resnet_1blocks", 4, residual=True, grey_hair=share, **options)  # type: ignore[arg-type]
    return create_generator(NetworkOptions(), shape)


def test_a_generator_turns_hair_grey_only_when_it_is_used() -> None:
    face = image_to_tensor(aligned(astronaut(), alignment_of(LANDMARKS, 192)))[None]
    plain, greying = generator_with(0.0), generator_with(0.8)
    assert greying.state_dict().keys() == plain.state_dict().keys(), "runs with and without it load each other"
    greying.load_state_dict(dict(plain.state_dict()))
    assert len(list(greying.parameters())) == len(list(plain.parameters()))
    assert torch.equal(greying(face), plain(face)), "in training, hair stays as it is"
    with torch.no_grad():
        before, after = plain.eval()(face), greying.eval()(face)
    moved = greying.to("meta")  # any other device than the processor
    assert {value.device.type for value in (*moved.parameters(), *moved.buffers())} == {"meta"}
    change = (after - before).abs()
    assert change[..., 30:50, 70:120].mean() > 0.1 and change[..., 90:150, 70:120].max() < 0.05
    saturation = (after.amax(1) - after.amin(1))[..., 30:40, 70:120].mean()
    assert saturation < 0.35 * (before.amax(1) - before.amin(1))[..., 30:40, 70:120].mean()


def test_only_the_generator_of_older_faces_turns_hair_grey() -> None:
    model = small_model(grey_hair=0.8)
    assert model.G_A.grey_hair is not None and model.G_B.grey_hair is None
    batch = photos(size=96)
    assert "grey_hair" not in str(model.optimize(batch).losses)
    options = {"netG": "resnet_1blocks", "ngf": 4, "grey_hair": 0.8}
    for suffix, expected in (("_A", True), ("_B", False)):
        chosen = build(OneDirectionOptions, {**options, "model_suffix": suffix})
        assert (OneDirectionModel(chosen, torch.device("cpu")).generator.grey_hair is not None) == expected


def test_options_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--grey_hair 0\.5"):
        small_model(grey_hair=0.5, input_nc=1, output_nc=1)
    with pytest.raises(OptionError, match="--person_model is required"):
        build(SegmenterOptions, {"output": tmp_path / "hair.safetensors"})
    (tmp_path / "hair.safetensors").touch()
    with pytest.raises(OptionError, match="--overwrite"):
        build(SegmenterOptions, {"output": tmp_path / "hair.safetensors", "person_model": tmp_path / "person.tflite"})


@pytest.fixture(scope="module")
def greying_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose generator of older faces turns hair grey, with ONNX files."""
    folder = make_run(tmp_path_factory.mktemp("checkpoints"), "grey", residual=True, grey_hair=0.8)
    export.main(["--name", "grey", "--checkpoints_dir", str(folder.parent)])
    return folder


def test_exported_files_turn_hair_grey_in_photos_beyond_the_aligned_face(greying_run: Path) -> None:
    exported, trained = find_generators(greying_run), find_generators(greying_run, engine="torch")
    assert exported.keys() == trained.keys() == {"older", "younger", "grey_hair"}
    assert [generator.source.suffix for generator in exported.values()] == [".onnx"] * 3
    aged = age_photo(astronaut(), exported)
    difference = aged.at(1.0).astype(int) - age_photo(astronaut(), trained).at(1.0).astype(int)
    assert np.abs(difference).max() <= 1
    (face,) = aged.faces
    nothing = {name: 0 * change for name, change in face.changes.items() if name != "grey_hair"}
    hair_alone = AgedPhoto(aged.pixels, [replace(face, changes={**face.changes, **nothing})])
    grey = hair_alone.at(1.0).astype(int)
    top, cheek = (slice(20, 30), slice(200, 240)), (slice(110, 135), slice(205, 240))

    def saturation(pixels: np.ndarray) -> float:
        return float(np.ptp(pixels[top].astype(int), axis=-1).mean())

    assert saturation(grey) < 0.5 * saturation(aged.pixels), "at the top of the head, which the aligned face cuts off"
    assert np.abs(grey - aged.pixels)[cheek].max() <= 8
    assert np.array_equal(hair_alone.at(1.5), hair_alone.at(1.0)), "grey is not exaggerated to blue"
    assert np.array_equal(hair_alone.at(-1.0), aged.pixels)
    half = hair_alone.at(0.5).astype(int) - aged.pixels
    assert np.abs(2 * half - (grey - aged.pixels)).max() <= 2


def test_a_file_that_only_turns_hair_grey_is_not_enough(greying_run: Path) -> None:
    hair, older = greying_run / "latest_grey_hair.onnx", greying_run / "latest_older.onnx"
    with pytest.raises(UserError, match="only turns hair grey"):
        find_generators(greying_run, [hair])
    assert find_generators(greying_run, [hair, older]).keys() == {"older", "grey_hair"}
    assert needed_for(-1.0, find_generators(greying_run)).keys() == {"younger"}
    assert needed_for(0.5, find_generators(greying_run)).keys() == {"older", "grey_hair"}


def test_an_export_without_grey_hair_leaves_no_file_of_an_earlier_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "grey", netG="resnet_1blocks", ngf=4, grey_hair=0.8)
    words = ["--name", "grey", "--checkpoints_dir", str(tmp_path), "--format", "torchscript"]
    for share, expected in (("0.8", True), ("0", False)):
        export.main([*words, "--grey_hair", share])
        assert (folder / "latest_grey_hair.torchscript").exists() == expected
        assert (folder / "latest_older.torchscript").exists()
