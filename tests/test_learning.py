"""A CycleGAN in small learns the demo's faces: it reconstructs them, and moves them towards the other age."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_age import DrawnAge
from drawn_hair import GreyHair
from drawn_people import Person, background_of, drawn, hair_of, person_in, sample_people
from PIL import Image
from processes import ROOT, run


@pytest.fixture(scope="module")
def grey_hair() -> GreyHair:
    return GreyHair()


@pytest.fixture(scope="module")
def drawn_age() -> DrawnAge:
    return DrawnAge()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    run("scripts/make_demo_faces.py", "--output", folder, "--size", "64", "--train", "60", "--test", "16")
    return folder


class Results:
    """The test faces of one domain and their translations, uint8 (N, size, size, 3), and the people in them."""

    def __init__(self, images: Path, domain: str) -> None:
        """Load the files of a folder that test.py wrote."""
        other = "B" if domain == "A" else "A"
        paths = sorted(images.glob(f"*_real_{domain}.png"))
        self.people = [person_in(domain, path.name.replace(f"_real_{domain}", "")) for path in paths]
        self.real = pictures(paths)
        self.fake = pictures([path.with_name(path.name.replace(f"real_{domain}", f"fake_{other}")) for path in paths])
        self.towards = 1 if domain == "A" else -1  # the sign of the change in age that is wanted

    def years(self, age: DrawnAge) -> np.ndarray:
        """Return the years that each face moved towards the other domain's age, by its wrinkles."""
        return self.towards * (age(self.fake) - age(self.real))

    def grey(self, grey_hair: GreyHair) -> np.ndarray:
        """Return by how much the grey share of the hair moved in each face, without faces that hide their hair."""
        hair = self.where(hair_of)
        moved = self.towards * (grey_hair(self.fake, hair) - grey_hair(self.real, hair))
        return moved[np.isfinite(moved)]

    def background(self) -> float:
        """Return the mean absolute change of the background, in [0, 255]: halos, bands and tints."""
        change = np.abs(self.real.astype(int) - self.fake)
        return float(change[self.where(background_of)].mean())

    def where(self, part_of: Callable[[Person, int], np.ndarray]) -> np.ndarray:
        return np.stack([part_of(person, self.real.shape[1]) for person in self.people])


def pictures(paths: list[Path]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def series(people: list[Person], size: int) -> np.ndarray:
    return np.stack([drawn(person, size) for person in people])


def older(person: Person, **heritage: float) -> Person:
    """The same person 30 years later, with some signs of age replaced."""
    face, age = person
    return replace(face, heritage=replace(face.heritage, **heritage)), age + 30


def laid_over(faces: np.ndarray, colour: tuple[int, int, int], where: np.ndarray) -> np.ndarray:
    """Mix faces with a colour in part of the pixels."""
    return np.where(where[..., None], 0.6 * faces + 0.4 * np.array(colour), faces).astype(np.uint8)


PEOPLE = sample_people(20, (20, 30), 5)
SMOOTH = dict.fromkeys(("receding", "wrinkling", "folding", "sagging", "thinning", "spotting"), 0.0)
PINK, FOG = (255, 80, 180), (255, 255, 255)


@pytest.mark.slow
def test_the_measure_of_age_sees_wrinkles_and_neither_hair_nor_colours(drawn_age: DrawnAge) -> None:
    size = drawn_age.size
    faces = series(PEOPLE, size)
    young, old = drawn_age(faces), drawn_age(series([older(person) for person in PEOPLE], size))
    assert (old[:, None] > young[None]).mean() > 0.95
    assert (old - young).mean() > 14

    def gained(others: np.ndarray) -> float:
        return float((drawn_age(others) - young).mean())

    assert gained(series([older(person, greying=0) for person in PEOPLE], size)) > 14
    assert abs(gained(series([older(person, **SMOOTH) for person in PEOPLE], size))) < 3
    everywhere = np.ones(faces.shape[:3], dtype=bool)
    assert gained(laid_over(faces, PINK, everywhere)) < 6
    assert gained(laid_over(faces, FOG, everywhere)) < 6


def test_the_measure_of_hair_sees_grey_and_neither_wrinkles_nor_dye(grey_hair: GreyHair) -> None:
    hair = np.stack([hair_of(person, 64) for person in PEOPLE])
    faces = series(PEOPLE, 64)
    young = grey_hair(faces, hair)
    visible = np.isfinite(young)
    assert visible.mean() > 0.9

    def gained(others: np.ndarray) -> np.ndarray:
        return (grey_hair(others, hair) - young)[visible]

    greyed = gained(series([older(person, **SMOOTH) for person in PEOPLE], 64))
    assert greyed.mean() > 0.4 and (greyed > 0.25).mean() > 0.9
    assert ((greyed + young[visible])[:, None] > young[visible][None]).mean() > 0.97
    assert np.abs(gained(series([older(person, greying=0) for person in PEOPLE], 64))).mean() < 0.05
    assert gained(laid_over(faces, PINK, hair)).mean() < 0.1


def demo_words() -> list[str]:
    """What the Makefile trains the demo with."""
    makefile = (ROOT / "Makefile").read_text()
    setting = makefile[makefile.index("DEMO_TRAINING := ") :].split("\n\n")[0]
    return setting.removeprefix("DEMO_TRAINING := ").replace("\\\n", " ").split()


@pytest.mark.slow
def test_the_demo_ages_its_faces(tmp_path: Path, drawn_age: DrawnAge, grey_hair: GreyHair) -> None:
    run("scripts/make_demo_faces.py", "--output", tmp_path / "faces", seconds=900)
    words = ["--dataroot", tmp_path / "faces", "--checkpoints_dir", tmp_path, "--no_visdom", *demo_words()]
    run("train.py", *words, seconds=3600)
    run("test.py", *words[:4], "--results_dir", tmp_path)
    for domain in "AB":
        seen = Results(tmp_path / "experiment_name" / "latest_test" / "images", domain)
        years, grey = seen.years(drawn_age), seen.grey(grey_hair)
        print(
            f"{domain}: {years.mean():.1f} years of wrinkles, {(years > 5).mean():.0%} above 5; share of grey "
            f"{grey.mean():.2f}, {(grey > 0.25).mean():.0%} above 0.25; background {seen.background():.1f}"
        )
        assert years.mean() > 6 and (years > 5).mean() > 0.6
        assert grey.mean() > 0.3 and (grey > 0.25).mean() > 0.75
        assert seen.background() < 8


def test_training_lowers_the_cycle_loss_and_greys_the_hair(faces: Path, tmp_path: Path, grey_hair: GreyHair) -> None:
    words = (
        "--load_size 36 --crop_size 32 --netG resnet_1blocks --ngf 16 --ndf 8 --batch_size 2 --lr 0.002 --gpu_ids -1"
    )
    words += " --n_epochs 2 --n_epochs_decay 2 --print_freq 2 --no_visdom --no_html --num_threads 0"
    run("train.py", "--dataroot", faces, "--checkpoints_dir", tmp_path, *words.split(), seconds=300)
    rows = list(csv.DictReader((tmp_path / "experiment_name" / "loss_log.csv").open()))
    cycle = [float(row["cycle_A"]) + float(row["cycle_B"]) for row in rows]
    print(f"cycle loss {np.mean(cycle[:2]):.2f} -> {np.mean(cycle[-20:]):.2f}")
    assert np.mean(cycle[-20:]) < 0.7 * np.mean(cycle[:2])

    run("test.py", "--dataroot", faces, "--checkpoints_dir", tmp_path, "--results_dir", tmp_path, "--gpu_ids", "-1")
    aged, made_younger = (
        Results(tmp_path / "experiment_name" / "latest_test" / "images", domain).grey(grey_hair) for domain in "AB"
    )
    print(f"grey hair: {aged.mean():.2f} more, {made_younger.mean():.2f} less")
    assert aged.mean() > 0.1 and made_younger.mean() > 0.1
