"""The estimator of age and gender: what it computes, its files, its training by the command."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import ROOT, fork, run, wait_until

from evaluation.people import person_hash
from models.age_estimator import (
    DEFAULT_PATH,
    AgeEstimator,
    EstimatorShape,
    expected_age,
    load_estimator,
    save_estimator,
)
from models.age_trunks import TRUNKS
from models.lite_trunk import LiteNet
from scripts.age_training.faces import SPREAD, WIDE_SPREAD, Faces, half_of, load_pixels, read_faces, split_people
from scripts.age_training.scores import area_under_curve, score
from scripts.age_training.training import Training, TrainingOptions, loss_of, order_of, years_around
from scripts.train_age_estimator import CommandOptions, known_people, refuse_collision
from util.arguments import OptionError
from util.errors import UserError
from util.files import sha256_of
from util.run.checkpoint import CheckpointError

CPU = torch.device("cpu")
SMALL = "--size 32 --epochs 2 --batch_size 32 --gpu_ids -1 --precision float32 --val_fraction 0.2".split()


def small_estimator(**notes: object) -> AgeEstimator:
    torch.manual_seed(0)
    return AgeEstimator(EstimatorShape("resnet18", 32), notes).eval()


def test_the_age_is_the_expectation_over_years() -> None:
    logits = torch.full((2, 101), -50.0)
    logits[0, 37] = 0.0
    logits[1, [20, 60]] = 0.0
    assert expected_age(logits).tolist() == pytest.approx([37.0, 40.0], abs=1e-4)


def test_only_the_middle_is_seen() -> None:
    torch.manual_seed(0)
    estimator = AgeEstimator(EstimatorShape("resnet18", 32, seen=0.5)).eval()
    images = torch.rand(1, 3, 64, 64)
    framed = images.clone()
    framed[..., :16, :], framed[..., :, 48:] = 0, 1
    assert torch.equal(estimator(images).ages, estimator(framed).ages)
    middle = images[..., 16:48, 16:48]
    features = (estimator.trunk(middle) + estimator.trunk(middle.flip(3))) / 2
    assert torch.allclose(estimator(images).features, features, atol=1e-6)


def test_a_face_and_its_mirror_image_are_of_one_age() -> None:
    estimator, images = small_estimator(), torch.rand(2, 3, 32, 32)
    for ours, mirrored in zip(estimator(images), estimator(images.flip(3)), strict=True):
        assert torch.allclose(ours, mirrored, atol=1e-5)


def test_a_file_gives_the_same_estimates_and_names_itself(tmp_path: Path) -> None:
    estimator, path = small_estimator(people_trained=["ab"], scores={"test": {"bias": 0.5}}), tmp_path / "ages.pth"
    save_estimator(estimator, path)
    loaded = load_estimator(path, CPU)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images).ages, estimator(images).ages)
    assert loaded.sha256 == sha256_of(path) and loaded.notes == estimator.notes
    assert not loaded.training and not any(value.requires_grad for value in loaded.parameters())


@pytest.mark.parametrize("trunk", list(TRUNKS))
def test_every_trunk_has_maps_at_strides_of_2_to_16(trunk: str) -> None:
    estimator = AgeEstimator(EstimatorShape(trunk, 32)).eval()
    images = torch.rand(2, 3, 48, 64, requires_grad=True)
    maps = estimator.features(images)
    assert [tuple(map_.shape) for map_ in maps] == [
        (2, channels, 48 // stride, 64 // stride)
        for channels, stride in zip(estimator.feature_channels, (2, 4, 8, 16), strict=True)
    ]
    for levels in (1, 3):
        fewer = estimator.features(images, levels)
        assert len(fewer) == levels and all(torch.equal(some, all_) for some, all_ in zip(fewer, maps, strict=False))
    made = estimator(images)
    assert made.ages.shape == made.male.shape == (2,) and made.features.shape == (2, estimator.trunk.width)
    assert ((made.ages > 0) & (made.ages < 100)).all() and ((made.male > 0) & (made.male < 1)).all()
    sum(map_.sum() for map_ in maps).backward()  # type: ignore[union-attr]
    assert images.grad is not None and images.grad.abs().sum() > 0


def imagenet_weights(scale: float = 0.05) -> dict[str, torch.Tensor]:
    """Like those of an EfficientNet-Lite0: drawn, under names of its package, with layers that LiteNet leaves out."""
    own = {name: value for name, value in LiteNet().state_dict().items() if not name.startswith("fc.")}
    drawn = {f"_layer.{name}": torch.rand(value.shape) * scale + scale for name, value in own.items()}
    return drawn | {"_blocks.14._bn2.bias": torch.zeros(192), "_fc.weight": torch.zeros(1000, 1280)}


def test_a_training_from_imagenet_keeps_its_first_layers(prepared: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = imagenet_weights()
    torch.save(weights, path := tmp_path / "imagenet.pth")
    options = TrainingOptions(trunk="lite", trunk_weights=str(path), size=32, epochs=1, batch_size=8, gpu_ids="-1")
    training = Training(options, CPU)
    faces, pixels = load_pixels(read_faces([prepared])["train"], 44, "faces")
    training.train_epoch(faces, pixels)
    training.save(tmp_path / "state", "")
    trained = training.estimator.trunk.state_dict()
    for number, name in ((0, "stem.0.weight"), (3, "stem.1.running_mean")):
        assert torch.equal(trained[name], list(weights.values())[number])
    assert not torch.equal(trained["blocks.5.layers.0.0.weight"], weights["_layer.blocks.5.layers.0.0.weight"])
    resumed = Training(options, CPU)
    resumed.restore(tmp_path / "state", "")
    assert resumed.epoch == 1

    torch.save(dict(list(weights.items())[5:]), path)
    with pytest.raises(CheckpointError, match="does not hold the weights of an EfficientNet-Lite0"):
        Training(options, CPU)
    with pytest.raises(OptionError, match="are for --trunk lite"):
        TrainingOptions(trunk_weights=str(path))


def test_people_whom_another_estimator_knows_are_left_out(prepared: Path, tmp_path: Path) -> None:
    learnt = read_faces([prepared])["train"]
    known = sorted(map(str, set(learnt.people)))[:20]
    save_estimator(small_estimator(people_trained=known), tmp_path / "teacher.pth")
    words = ["--dataroot", str(prepared), "--others_than", str(tmp_path / "teacher.pth"), "--epochs", "1"]
    run("scripts/train_age_estimator.py", *SMALL, *words, "--val_fraction", "0", "--output", tmp_path / "ages.pth")
    people = load_estimator(tmp_path / "ages.pth", CPU).notes["people_trained"]
    assert set(people) == set(learnt.people) - set(known)
    save_estimator(small_estimator(), tmp_path / "unknown.pth")
    with pytest.raises(UserError, match="does not say on whom it was trained"):
        known_people(tmp_path / "unknown.pth")


def test_a_safetensors_file_holds_16_bits_a_weight_and_says_the_same(tmp_path: Path) -> None:
    estimator = AgeEstimator(EstimatorShape("small", 32), {"people_trained": ["ab"]}).eval()
    save_estimator(estimator, tmp_path / "full.pth")
    save_estimator(estimator, path := tmp_path / "half.safetensors")
    loaded, images = load_estimator(path, CPU), torch.rand(4, 3, 40, 40) * 2 - 1
    assert loaded.shape == estimator.shape and loaded.notes == estimator.notes
    assert path.stat().st_size < 0.55 * (tmp_path / "full.pth").stat().st_size
    assert torch.allclose(loaded(images).ages, estimator(images).ages, atol=0.1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"half\.safetensors is damaged"):
        load_estimator(path, CPU)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_estimator(tmp_path / "none.safetensors", CPU)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(small_estimator().state_dict(), path)
    with pytest.raises(CheckpointError, match="is not an age estimator: train one with"):
        load_estimator(path, CPU)
    for shape in ({"trunk": "vgg"}, {"size": 10**9}, {"dropout": "much"}, {"seen": 0.0}, {"depth": 3}, None):
        torch.save({"kind": "age estimator", "shape": shape, "state_dict": {}}, path)
        with pytest.raises(CheckpointError, match=r"other\.pth is"):
            load_estimator(path, CPU)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"other\.pth is damaged"):
        load_estimator(path, CPU)


def faces_of(ages: list[float], male: list[float], people: list[str] | None = None) -> Faces:
    names = people or [person_hash(str(number)) for number in range(len(ages))]
    values = np.array(ages, np.float32)
    files, zeros = tuple(Path(f"{n}.jpg") for n in range(len(ages))), np.zeros(len(ages), int)
    return Faces(
        files,
        values,
        np.array(male, np.float32),
        values > 40,
        np.array(names),
        framings=zeros,
        spreads=np.full(len(ages), SPREAD),
        sets=zeros,
    )


def test_scores_with_known_answers() -> None:
    faces = faces_of([20, 30, 50, 60], [1, 0, -1, 1])
    made = score(faces, {"ages": np.array([22.0, 30.0, 56.0, 52.0]), "male": np.array([0.9, 0.8, 0.1, 0.7])})
    assert made["mean_absolute_error"] == pytest.approx(4.0) and made["bias"] == pytest.approx(0.0)
    assert made["young_old_auc"] == 1.0 and made["gender_accuracy"] == pytest.approx(2 / 3)
    assert made["young_old_auc_men"] == 1.0 and "young_old_auc_women" not in made, "of a single young woman"
    scores, positive = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    assert area_under_curve(scores, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(area_under_curve(scores, np.zeros(4, bool)))


def test_people_are_never_on_both_sides() -> None:
    people = [person_hash(f"person {number % 50}") for number in range(200)]
    faces = faces_of([25.0] * 200, [1.0] * 200, people)
    ours, theirs = split_people(faces, 0.3, seed=1)
    assert len(ours) + len(theirs) == 200 and not set(ours.people) & set(theirs.people)
    assert 20 < len(theirs) < 110
    assert split_people(faces, 0.3, seed=1)[1].files == theirs.files != split_people(faces, 0.3, seed=2)[1].files


def test_sets_without_middle_ages_claim_them_less_firmly_and_small_sets_are_repeated(prepared: Path) -> None:
    assert set(read_faces([prepared])["train"].spreads) == {WIDE_SPREAD}, "22 to 28, and 52 to 58"
    order = order_of(np.array([0] * 100 + [2] * 10), torch.Generator().manual_seed(0))
    counts = np.bincount(order.numpy(), minlength=110)
    assert (counts[:100] == 1).all() and (counts[100:] == 5).all()
    halves = [set(half_of(read_faces([prepared])["train"], half).people) for half in ("first", "second", "all")]
    assert halves[0] | halves[1] == halves[2] and not halves[0] & halves[1] and all(halves)


def test_the_loss_is_least_at_the_truth_and_unknown_sexes_do_not_count() -> None:
    years = years_around(torch.tensor([25.0]), torch.tensor([SPREAD]))
    assert years.sum().item() == pytest.approx(1.0) and years.argmax().item() == 25
    wrong_years = years_around(torch.tensor([55.0]), torch.tensor([SPREAD]))
    right, wrong = years.clamp_min(1e-9).log(), wrong_years.clamp_min(1e-9).log()
    male = torch.tensor([1.0])
    assert loss_of((right, torch.tensor([9.0])), years, male) < loss_of((wrong, torch.tensor([9.0])), years, male) - 5
    assert loss_of((right, torch.tensor([9.0])), years, male) < loss_of((right, torch.tensor([-9.0])), years, male) - 5
    unknown = [loss_of((right, torch.tensor([logit])), years, torch.tensor([-1.0])).item() for logit in (-9.0, 9.0)]
    assert unknown[0] == unknown[1]


@pytest.fixture(scope="module")
def prepared(demo_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces with ages, prepared as photos of one's own are."""
    folder, output = tmp_path_factory.mktemp("ages"), tmp_path_factory.mktemp("sets") / "young2old"
    photos = sorted(path for name in ("trainA", "trainB", "testA", "testB") for path in (demo_faces / name).iterdir())
    with (folder / "faces.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "age", "gender", "identity"])
        for number, photo in enumerate(photos):
            name = f"{photo.parent.name}_{photo.name}"
            (folder / name).hardlink_to(photo)
            age = (22 if photo.parent.name.endswith("A") else 52) + number % 7
            rows.writerow([name, age, ("female", "male", "")[number % 3], f"person {number}"])
    run(
        "scripts/prepare_dataset.py",
        "folder",
        "--input",
        folder,
        "--output",
        output,
        *"--size 48 --min_size 32 --min_colour 0 --duplicate_distance -1 --test_fraction 0.25".split(),
    )
    return output


def test_faces_come_from_the_manifest(prepared: Path, tmp_path: Path) -> None:
    phases = read_faces([prepared])
    assert sum(map(len, phases.values())) == 104
    for faces in phases.values():
        assert all(path.is_file() for path in faces.files)
        assert ((faces.ages >= 50) == faces.old).all() and set(faces.male) == {-1.0, 0.0, 1.0}
    assert not set(phases["train"].people) & set(phases["test"].people)
    with pytest.raises(UserError, match=r"must be a data set made by scripts/prepare_dataset\.py"):
        read_faces([tmp_path])
    manifest = (prepared / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text(
        "\n".join(line.replace("testA", "otherA").replace("testB", "otherB") for line in manifest)
    )
    with pytest.raises(UserError, match="both are needed"):
        read_faces([tmp_path])
    for age, name, message in ((25, "../../x.jpg", "outside its folders"), ("old", "x.jpg", "an age that is not")):
        row = f"a.jpg,trainA,{name},{age},male,\n"
        (tmp_path / "manifest.csv").write_text("path,folder,file,age,gender,identity\n" + row)
        with pytest.raises(UserError, match=message):
            read_faces([tmp_path])
    (tmp_path / "manifest.csv").write_text("path,folder\na,b\n")
    with pytest.raises(UserError, match="lacks the columns file, age, gender, identity"):
        read_faces([tmp_path])


def test_a_training_killed_and_gone_on_with_is_as_if_in_one_go(prepared: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.pth", tmp_path / "broken.pth"
    printed = run("scripts/train_age_estimator.py", "--dataroot", prepared, "--output", whole, *SMALL)
    assert "test: mean absolute error" in printed and not list(tmp_path.glob("*.training"))
    words = ["scripts/train_age_estimator.py", "--dataroot", prepared, "--output", broken]
    output = tmp_path / "output.txt"
    output.touch()
    process = fork(output, *words, *SMALL)
    wait_until(lambda: "epoch 1/2" in output.read_text() or process.poll() is not None)
    process.kill()
    process.wait()
    assert not broken.exists() and broken.with_name("broken.pth.training").exists()
    other = Training(TrainingOptions(size=32, epochs=2, batch_size=32, lr=0.5, val_fraction=0.2), CPU)
    with pytest.raises(CheckpointError, match=r"belongs to another training \(--lr 0.002, not 0.5, other faces\)"):
        other.restore(broken.with_name("broken.pth.training"), "others")
    assert "resuming after epoch" in run(*words, *SMALL)
    ours, theirs = load_estimator(broken, CPU), load_estimator(whole, CPU)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert ours.notes["scores"] == theirs.notes["scores"]
    assert len(ours.notes["people_trained"]) < len(read_faces([prepared])["train"])
    measured = run(*words[:3], "--measure", broken)
    error = re.search(r"test: mean absolute error ([\d.]+) years", measured)
    assert error and float(error[1]) == pytest.approx(theirs.notes["scores"]["test"]["mean_absolute_error"], abs=0.02)
    with pytest.raises(UserError, match=r"broken\.pth exists: use --overwrite to replace it"):
        refuse_collision(CommandOptions(dataroot=(prepared,), output=broken))


@pytest.mark.slow
def test_it_learns_to_tell_young_from_old(prepared: Path, tmp_path: Path) -> None:
    """Of drawn faces of people who were not trained on."""
    path = tmp_path / "ages.pth"
    run(
        "scripts/train_age_estimator.py",
        "--dataroot",
        prepared,
        "--output",
        path,
        *SMALL,
        *"--epochs 14 --size 48 --batch_size 16".split(),
    )
    scores = load_estimator(path, CPU).notes["scores"]["test"]
    assert scores["young_old_auc"] > 0.75  # 14 epochs on 60 faces; chance is 0.5


def test_the_two_that_come_with_the_project_have_little_in_common() -> None:
    paths = [ROOT / DEFAULT_PATH, ROOT / DEFAULT_PATH.with_name("teacher.safetensors")]
    instrument, teacher = (load_estimator(path, CPU) for path in paths)
    assert all(path.stat().st_size <= 8e6 for path in paths)
    assert instrument.shape.trunk != teacher.shape.trunk and instrument.notes["seed"] != teacher.notes["seed"]
    people = [set(estimator.notes["people_trained"]) for estimator in (instrument, teacher)]
    assert min(map(len, people)) > 9000 and not people[0] & people[1]
    assert all(float(scores["young_old_auc"]) > 0.9 for scores in instrument.notes["scores"].values())
