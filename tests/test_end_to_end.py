"""The user's commands as real processes, on demo faces."""

from __future__ import annotations

import csv
import json
import re
import signal
import sys
from pathlib import Path

import browser
import numpy as np
import pytest
import torch
from PIL import Image
from processes import TINY, run, start
from selenium.webdriver.common.by import By
from small_runs import reports, same, weights

import train
from util.run.interrupts import StopTogether

LABELS = {"A": ("real_A", "fake_B", "rec_A"), "B": ("real_B", "fake_A", "rec_B")}


def train_words(faces: Path, folder: Path, *words: str) -> list[str | Path]:
    return ["--dataroot", faces, "--name", "run", "--checkpoints_dir", folder, *TINY.split(), *words]


@pytest.fixture(scope="module")
def trained(demo_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, then continued for a third, then tested; the folder of checkpoints and results."""
    folder = tmp_path_factory.mktemp("end_to_end")
    words = train_words(
        demo_faces,
        folder,
        *(
            "--batch_size 4 --print_freq 8 --save_epoch_freq 1 --n_epochs 2 --n_epochs_decay 0 --update_html_freq 20"
        ).split(),
    )
    run("train.py", *words)
    output = run("train.py", "--name", "run", "--checkpoints_dir", folder, "--continue_train", "--n_epochs_decay", "1")
    assert "at epoch 3, image 0" in output
    (folder / "test_output.txt").write_text(
        run(
            "test.py",
            "--dataroot",
            demo_faces,
            *"--name run --model cycle_gan".split(),
            "--checkpoints_dir",
            folder,
            "--results_dir",
            folder / "results",
            "--batch_size",
            "5",
        )
    )
    return folder


def test_training_leaves_what_users_look_for(trained: Path) -> None:
    names = {path.name for path in (trained / "run").iterdir()}
    networks = {f"{label}_net_{net}.pth" for label in ("1", "2", "3", "latest") for net in ("G_A", "G_B", "D_A", "D_B")}
    assert names == {
        *networks,
        "latest_state.pth",
        "opt.txt",
        "opt.json",
        "loss_log.txt",
        "loss_log.csv",
        "web",
        "snapshots",
        ".lock",
    }


def test_the_log_has_the_public_format(trained: Path) -> None:
    lines = (trained / "run" / "loss_log.txt").read_text().splitlines()
    assert sum(line.startswith("================ Training Loss (") for line in lines) == 2
    names = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")
    position = r"\(epoch: (\d+), iters: (\d+), time: \d+\.\d{3}, data: \d+\.\d{3}\)"
    pattern = re.compile(position + "".join(rf" {name}: -?\d+\.\d{{3}}" for name in names))
    positions = [match.groups() for line in lines if (match := pattern.fullmatch(line))]
    assert positions == [(str(epoch), str(images)) for epoch in (1, 2, 3) for images in (8, 16, 24, 32, 40)]


def test_test_writes_every_image_of_every_face_once(trained: Path, demo_faces: Path) -> None:
    images = trained / "results" / "run" / "latest_test" / "images"
    expected = {f"{number:04d}_{label}.png" for number in range(12) for labels in LABELS.values() for label in labels}
    assert {path.name for path in images.iterdir()} == expected
    for path in images.iterdir():
        with Image.open(path) as image:
            assert image.size == (32, 32) and image.mode == "RGB"
    with Image.open(images / "0003_real_A.png") as shown, Image.open(demo_faces / "testA" / "0003.png") as photo:
        small = photo.resize((32, 32), Image.Resampling.BICUBIC)
        assert shown.tobytes() == small.tobytes()
    assert "results: " in (trained / "test_output.txt").read_text()


def test_the_checkpoint_makes_the_images_shown(trained: Path) -> None:
    """The PNG files are what the saved generator makes of the photo, computed here without test.py."""
    from models.generators import GeneratorOptions, create_generator
    from models.layers import NetworkOptions
    from util.images import image_to_tensor, tensor_to_uint8

    generator = create_generator(NetworkOptions(), GeneratorOptions("resnet_1blocks", 4))
    generator.load_state_dict(torch.load(trained / "run" / "latest_net_G_A.pth", weights_only=True))
    images = trained / "results" / "run" / "latest_test" / "images"
    with (
        torch.no_grad(),
        Image.open(images / "0005_real_A.png") as real,
        Image.open(images / "0005_fake_B.png") as fake,
    ):
        made = tensor_to_uint8(generator(image_to_tensor(real)[None]))[0].astype(int)
        shown = tensor_to_uint8(image_to_tensor(fake)).astype(int)
    assert abs(made - shown).max() <= 1


@browser.needs_browser
@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("page", ["run/web/index.html", "results/run/latest_test/index.html"])
def test_every_image_of_the_pages_exists_and_loads(trained: Path, page: str, width: int) -> None:
    with browser.opened((trained / page).as_uri(), width) as driver:
        count = len(driver.find_elements(By.TAG_NAME, "img"))
        assert count == (33 if "web" in page else 72)  # 8 faces: photo and 3 epochs; the curves; 24 faces of 3
        assert browser.broken_images(driver) == []
        assert browser.script_errors(driver) == []
        assert not browser.overflows(driver)


@browser.needs_browser
def test_the_result_page_sums_up(trained: Path) -> None:
    page = trained / "results" / "run" / "latest_test" / "index.html"
    with browser.opened(page.as_uri(), 400) as driver:
        text = driver.find_element(By.TAG_NAME, "body").text
        assert "young to old\n12 photos" in text.replace(" 12", "\n12") and "photos/s" in text and "resnet" not in text
        driver.find_element(By.TAG_NAME, "summary").click()
        assert "resnet_1blocks" in driver.find_element(By.TAG_NAME, "details").text
        assert driver.find_elements(By.ID, "order"), "sorted by the years that the shipped estimator sees"
        card = driver.find_element(By.CSS_SELECTOR, "figure.card")
        before, after = card.find_elements(By.CSS_SELECTOR, ".images:not(.more) img")
        assert before.get_attribute("src").endswith("_real_A.png")
        assert after.get_attribute("src").endswith("_fake_B.png")
        assert before.rect["y"] == after.rect["y"] and before.rect["width"] == after.rect["width"] > 150


@browser.needs_browser
def test_the_training_page_shows_fixed_faces_by_epoch(trained: Path) -> None:
    with browser.opened((trained / "run" / "web" / "index.html").as_uri(), 400) as driver:
        text = driver.find_element(By.TAG_NAME, "body").text
        assert "epoch 3 of 3" in text and "last checkpoint:" in text and "(epoch 4, image 0)" in text
        strip = driver.find_element(By.CSS_SELECTOR, ".strip")
        assert [cell.text for cell in strip.find_elements(By.TAG_NAME, "th")] == [
            "photo",
            "epoch 3",
            "epoch 2",
            "epoch 1",
        ]
    images, results = trained / "run" / "web" / "images", trained / "results" / "run" / "latest_test" / "images"
    assert (images / "photo_A0.png").read_bytes() == (results / "0000_real_A.png").read_bytes()
    difference = pixels(images / "epoch003_B2.png") - pixels(results / "0002_fake_A.png")
    assert abs(difference).max() <= 4, "not of the networks that were saved, but for rounding"
    assert (images / "epoch003_B2.png").read_bytes() != (images / "epoch002_B2.png").read_bytes()


def test_one_direction_on_a_plain_folder_of_any_sizes(trained: Path, demo_faces: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with Image.open(demo_faces / "testA" / "0000.png") as face:
        face.resize((41, 67)).save(tmp_path / "photos" / "odd.png")
        face.resize((64, 32)).save(tmp_path / "photos" / "wide <b>&.jpg")
        face.convert("L").save(tmp_path / "photos" / "grey.png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    words = [
        "--model",
        "test",
        "--dataroot",
        tmp_path / "photos",
        "--name",
        "run",
        "--checkpoints_dir",
        trained,
        "--results_dir",
        tmp_path,
        *"--preprocess none --model_suffix _A --batch_size 3".split(),
    ]
    output = run("test.py", *words)
    folder = tmp_path / "run" / "latest_test"
    sizes = {path.name: Image.open(path).size for path in (folder / "images").iterdir()}
    assert sizes == {
        f"{stem}_{label}.png": size
        for stem, size in {"odd": (40, 68), "wide <b>&": (64, 32), "grey": (72, 72)}.items()
        for label in ("real", "fake")
    }
    assert output.count("skipped") == 1 and "broken.jpg" in output
    if browser.CHROMIUM and browser.DRIVER:
        with browser.opened((folder / "index.html").as_uri()) as driver:
            assert browser.broken_images(driver) == []
            assert "wide <b>&.jpg" in driver.find_element(By.TAG_NAME, "body").text


def test_missing_generators_name_what_there_is(trained: Path, demo_faces: Path) -> None:
    words = ["--dataroot", demo_faces / "testA", "--name", "run", "--checkpoints_dir", trained]
    output = run("test.py", "--model", "test", *words, status=2)
    assert "does not contain latest_net_G.pth" in output and "--model_suffix _A (young to old)" in output
    output = run("test.py", "--epoch", "9", *words[2:], status=2)
    assert "9_net_G_A.pth does not exist" in output
    assert "Traceback" not in output


def test_a_finished_run_is_not_overwritten_by_the_same_command(trained: Path, demo_faces: Path) -> None:
    before = (trained / "run" / "latest_net_G_A.pth").read_bytes()
    output = run("train.py", *train_words(demo_faces, trained), status=2)
    assert "--continue_train" in output and "--overwrite" in output
    assert (trained / "run" / "latest_net_G_A.pth").read_bytes() == before


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


LONG = ("--n_epochs", "1", "--n_epochs_decay", "2", "--print_freq", "4", "--seed", "3", "--dropout", "--pool_size", "5")
LONG += ("--max_dataset_size", "12")


@pytest.fixture(scope="module")
def uninterrupted(demo_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    run("train.py", *train_words(demo_faces, folder, *LONG))
    return folder / "run"


def assert_equal_runs(ours: Path, theirs: Path) -> None:
    assert reports(ours / "loss_log.csv") == reports(theirs / "loss_log.csv")
    assert same(weights(ours), weights(theirs))


def test_the_same_seed_gives_the_same_run_with_0_and_2_workers(
    demo_faces: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    words = train_words(demo_faces, tmp_path, *LONG, "--num_threads", "2")
    process = start("train.py", *words)  # not forked: its random numbers are its own until it seeds them
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert_equal_runs(tmp_path / "run", uninterrupted)
    other = tmp_path / "other"
    run("train.py", *train_words(demo_faces, other, *LONG, "--seed", "4", "--n_epochs_decay", "0"))
    assert reports(other / "run" / "loss_log.csv")[0] != reports(uninterrupted / "loss_log.csv")[0]


def test_a_stop_after_an_epochs_last_step_loses_nothing(
    demo_faces: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopAfterTheFirstEpoch(StopTogether):
        """As if a signal came during the 12th step, on the epoch's last photo."""

        steps = 0

        def now(self) -> bool:
            self.steps += 1
            self.signal_number = signal.SIGTERM if self.steps >= 12 else None
            return super().now()

    words = [str(word) for word in train_words(demo_faces, tmp_path, *LONG)]
    monkeypatch.setattr(train, "StopTogether", StopAfterTheFirstEpoch)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    train.main()
    state = torch.load(tmp_path / "run" / "latest_state.pth", weights_only=True)
    assert state["progress"] == {"epoch": 1, "epoch_images": 12, "total_images": 12, "restarts": 0}
    run("train.py", *words, "--continue_train")
    assert_equal_runs(tmp_path / "run", uninterrupted)


def test_public_weights_without_options_or_state_can_be_tested_and_continued(
    trained: Path, demo_faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    for name in ("G_A", "G_B", "D_A", "D_B"):
        state = torch.load(trained / "run" / f"latest_net_{name}.pth", weights_only=True)
        prefixed = {f"module.{key}": value for key, value in state.items()}
        torch.save(prefixed, tmp_path / "run" / f"latest_net_{name}.pth")
    words = [
        "--dataroot",
        demo_faces,
        "--name",
        "run",
        "--checkpoints_dir",
        tmp_path,
        *"--ngf 4 --netG resnet_1blocks".split(),
    ]
    run("test.py", *words, "--crop_size", "32", "--num_test", "2", "--results_dir", tmp_path / "results")
    assert len(list((tmp_path / "results" / "run" / "latest_test" / "images").iterdir())) == 12
    late = ("--continue_train", "--epoch_count", "7", "--n_epochs", "7", "--n_epochs_decay", "0")
    output = run("train.py", *train_words(demo_faces, tmp_path, *late, "--max_dataset_size", "4"))
    assert "at epoch 7, with new optimizers" in output
    assert json.loads((tmp_path / "run" / "opt.json").read_text())["epoch_count"] == 7


def test_bad_data_is_told_in_one_line(demo_faces: Path, tmp_path: Path) -> None:
    output = run("train.py", *train_words(tmp_path / "nowhere", tmp_path), status=2)
    assert "nowhere/trainA is not a folder" in output and "Traceback" not in output
    assert not (tmp_path / "run").exists(), "nothing is made for a run that cannot start"
    output = run("train.py", *train_words(demo_faces, tmp_path, "--gpu_ids", "77"), status=2)
    assert "--gpu_ids" in output and "Traceback" not in output
    output = run("train.py", *train_words(demo_faces, tmp_path, "--netG", "unet_128"), status=2)
    assert "multiples of 128" in output and "--crop_size" in output and "Traceback" not in output


def test_commands_can_be_started_from_another_folder(demo_faces: Path, tmp_path: Path) -> None:
    words = train_words(demo_faces, Path("here"), "--n_epochs", "1", "--n_epochs_decay", "0", "--max_dataset_size", "2")
    process = start("train.py", *words, cwd=tmp_path)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert (tmp_path / "here" / "run" / "latest_net_G_A.pth").is_file()


def test_networks_of_an_epoch_train_on_at_that_epochs_rate_and_nothing_logged_is_lost(
    demo_faces: Path, tmp_path: Path
) -> None:
    words = train_words(
        demo_faces,
        tmp_path,
        *(
            "--max_dataset_size 2 --print_freq 2 --n_epochs 1 --n_epochs_decay 3 --save_epoch_freq 1 --no_html "
            "--save_latest_freq 4 --save_by_iter"
        ).split(),
    )
    again = ["--name", "run", "--checkpoints_dir", tmp_path, "--continue_train"]
    log = tmp_path / "run" / "loss_log.csv"

    def rates(restart: int) -> dict[int, float]:
        rows = csv.DictReader(log.open())
        return {int(row["epoch"]): float(row["learning_rate"]) for row in rows if row["restart"] == str(restart)}

    run("train.py", *words)
    whole = rates(0)
    assert whole == pytest.approx({1: 2e-4, 2: 1.5e-4, 3: 1e-4, 4: 5e-5})
    assert "(2) at epoch 3, with new optimizers" in run("train.py", *again, "--epoch", "2")
    assert rates(0) == whole and rates(1) == pytest.approx({3: 1e-4, 4: 5e-5})
    run("train.py", *again, "--epoch", "2", "--epoch_count", "1", "--lr_policy", "cosine")
    assert list(rates(2)) == [1, 2, 3, 4] and rates(2)[1] == 2e-4, "a typed --epoch_count wins, 1 as well"
    run("train.py", *again, "--load_iter", "4", "--lr_policy", "linear")
    assert rates(3) == pytest.approx({3: 1e-4, 4: 5e-5}), "what was saved after 2 of 4 epochs"
    told = run("train.py", *again, "--epoch_count", "4")
    assert "--epoch_count 4 is used, although the run was saved at epoch 5, image 0" in told
    assert rates(4) == pytest.approx({4: 5e-5}) and rates(0) == whole
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.*") if path.name != ".lock"}
    told = run("train.py", *again, "--n_epochs_decay", "0")
    assert "is already at epoch 4" in told and "increase --n_epochs or --n_epochs_decay" in told
    assert {path: path.read_bytes() for path in before} == before, "a run that is over stays as it was"
    text = (tmp_path / "run" / "loss_log.txt").read_text()
    assert text.count("D_A: ") == 4 + 2 + 4 + 2 + 1 and len(re.findall("= Restart [1-4] at", text)) == 4
