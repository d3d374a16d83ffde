"""evaluate.py on translations whose answer is known, and as users call it."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

import browser
import numpy as np
import pytest
import torch
from measured_faces import SIZE, face, instruments, write_estimator, write_images, write_manifest
from PIL import Image
from processes import ROOT, run
from selenium.webdriver.common.by import By
from small_runs import make_run

import evaluate
from evaluation.folder_source import FolderSource
from evaluation.instruments import Instruments
from evaluation.measuring import Measured, measure
from evaluation.pages import chosen_faces
from evaluation.people import People, person_hash
from evaluation.report import console_table, csv_table, per_photo_table
from evaluation.summary import summarize
from evaluation.tables import Summary
from faces.recognise import weights_path
from models.age_estimator import DEFAULT_PATH
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from util.errors import UserError
from util.files import sha256_of

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
YOUNG, OLD = range(40), range(40, 70)
Translate = Callable[[int], np.ndarray]


def age_of(person: int) -> float:
    """Twenties for those of A, fifties for those of B."""
    return 20 + person % 10 if person in YOUNG else 50 + person % 10


def write_results(folder: Path, older: Translate, younger: Translate | None = None) -> None:
    """Results of both directions under the public names: older and younger make the translation of a person's photo."""
    images = {}
    for person in YOUNG:
        images |= {f"p{person}_real_A": face(person, age_of(person)), f"p{person}_fake_B": older(person)}
    for person in OLD:
        images |= {f"p{person}_real_B": face(person, age_of(person))}
        images |= {f"p{person}_fake_A": younger(person)} if younger else {}
    write_images(folder, images)


def measured_folder(
    folder: Path, tools: Instruments, manifest: Path | None = None, direction: str = "AtoB"
) -> tuple[dict[str, Measured], Summary, FolderSource]:
    source = FolderSource(folder, direction, 7, torch.device("cpu"))
    people = People(manifest)
    measured = {key: measure(key, source.batches(key), tools, people, lambda count: None) for key in source.counts()}
    return measured, summarize(measured, list(tools.estimators), 200, seed=0), source


def test_nothing_done_is_0_years_and_the_same_person(tmp_path: Path) -> None:
    write_results(tmp_path, lambda person: face(person, age_of(person)), lambda person: face(person, age_of(person)))
    _, summary, _ = measured_folder(tmp_path, instruments(tmp_path))
    for direction in ("AtoB", "BtoA"):
        for images in ("translated", "untouched"):
            for metric in ("gain_mean", "gain_median", "gain_max", "gain_above_10", "gain_wrong", "change_l1"):
                assert summary.value(direction, metric, images).value == 0, metric
            assert summary.value(direction, "gain_from_30", images).value == 30
            assert summary.value(direction, "cosine", images).value == pytest.approx(1, abs=1e-6)
            assert summary.value(direction, "verified", images).value == 1
            assert summary.value(direction, "gender_kept", images).value == 1
            assert summary.value(direction, "sharpness", images).value == pytest.approx(1)
            assert summary.value(direction, "age_distance", images).value == pytest.approx(30, abs=1.5)


def test_real_old_faces_as_translations_give_the_true_gap(tmp_path: Path) -> None:
    """Within the estimator's own error, which the report tells, as it has the true ages."""
    write_results(
        tmp_path / "results", lambda person: face(person, age_of(person) + 30), lambda person: face(person, 25)
    )
    rows = [
        ("testA" if person in YOUNG else "testB", f"p{person}.png", age_of(person), str(person))
        for person in (*YOUNG, *OLD)
    ]
    write_manifest(tmp_path / "manifest.csv", rows)
    tools = instruments(tmp_path, 0.0, 2.5)
    _, summary, _ = measured_folder(tmp_path / "results", tools, tmp_path / "manifest.csv")
    error = summary.value("AtoB", "estimator_mae", "untouched")
    assert error.value < 0.2 and summary.value("BtoA", "estimator_mae", "untouched").value < 0.2
    assert summary.value("AtoB", "gain_mean").value == pytest.approx(30, abs=2 * error.value)
    assert summary.value("AtoB", "gain_above_20").value == 1 and summary.value("AtoB", "gain_wrong").value == 0
    assert summary.value("AtoB", "gain_from_30").value < 2 * error.value
    assert summary.value("BtoA", "gain_mean").value == pytest.approx(54.5 - 25, abs=0.3), "younger counts as gain"
    assert summary.value("AtoB", "gain_mean", "target").value == pytest.approx(30, abs=0.5)
    assert summary.value("AtoB", "true_gain", "target").value == pytest.approx(30, abs=0.5)
    assert summary.value("AtoB", "age_distance").value < 0.5
    assert (
        summary.value("AtoB", "kid_estimator").value < 0.1 * summary.value("AtoB", "kid_estimator", "untouched").value
    )
    biased = [row for row in summary.rows if row.metric == "estimator_bias@level1" and row.group == "all"]
    assert [round(row.estimate.value, 1) for row in biased] == [2.5, 2.5], "another estimator beside the first"
    assert summary.value("AtoB", "verified").value == 1
    assert summary.value("AtoB", "verified", "target").value < 0.1, "somebody else is somebody else"


def test_shuffled_people_fail_verification(tmp_path: Path) -> None:
    write_results(tmp_path, lambda person: face((person + 10) % 40, age_of(person) + 30))
    _, summary, _ = measured_folder(tmp_path, instruments(tmp_path))
    assert summary.value("AtoB", "gain_mean").value == pytest.approx(30, abs=0.3)
    assert summary.value("AtoB", "verified").value < 0.1
    assert abs(summary.value("AtoB", "cosine").value) < 0.2


def test_the_wrong_direction_and_another_gender_are_seen(tmp_path: Path) -> None:
    write_results(tmp_path, lambda person: face(person + 1, 10 if person < 10 else 45))
    _, summary, _ = measured_folder(tmp_path, instruments(tmp_path))
    assert summary.value("AtoB", "gain_wrong").value == pytest.approx(0.25)
    assert summary.value("AtoB", "gender_kept").value == 0
    assert summary.value("AtoB", "gender_kept", "target").value == 1, "stand-ins are of the photo's gender"


def test_numbers_of_women_and_men_are_of_them_alone(tmp_path: Path) -> None:
    write_results(tmp_path, lambda person: face(person, age_of(person) + (20 if person % 2 else 10)))
    _, summary, _ = measured_folder(tmp_path, instruments(tmp_path))
    gains = [summary.value("AtoB", "gain_mean", group=group).value for group in ("women", "men", "all")]
    assert gains == pytest.approx([10, 20, 15], abs=0.3)
    counts = {
        row.group: (row.n, row.people)
        for row in summary.rows
        if row.metric == "gain_mean" and row.images == "translated"
    }
    assert counts == {"all": (40, 40), "women": (20, 20), "men": (20, 20)}


def test_numbers_of_a_race_are_of_its_people_alone(tmp_path: Path) -> None:
    """Races with fewer than ten photos have no rows."""
    write_results(tmp_path / "results", lambda person: face(person, age_of(person) + (20 if person < 15 else 10)))
    races = {str(person): "asian" if person < 15 else "other" if person < 35 else "black" for person in YOUNG}
    rows = [("testA", f"p{person}.png", age_of(person), str(person)) for person in YOUNG]
    write_manifest(tmp_path / "manifest.csv", rows, races)
    measured, summary, _ = measured_folder(tmp_path / "results", instruments(tmp_path), tmp_path / "manifest.csv")
    assert summary.divisions["race"] == ("race: asian", "race: other")
    gains = [summary.value("AtoB", "gain_mean", group=f"race: {race}") for race in ("asian", "other")]
    assert [gain.value for gain in gains] == pytest.approx([20, 10], abs=0.3)
    assert all(gain.low <= gain.value <= gain.high for gain in gains)
    assert re.search(r"young to old, translated, by race +asian +other\n", console_table(summary))
    assert ",race: asian,translated,gain_mean," in csv_table(summary.rows)
    assert per_photo_table(measured, summary).splitlines()[1].startswith("AtoB,p0,female,asian,20.0,")


def test_intervals_are_of_people_rather_than_photos(tmp_path: Path) -> None:
    """Ten copies of each of five people say no more than five photos."""
    images, rows = {}, []
    for copy in range(10):
        for person in range(5):
            name = f"{person}_{copy}"
            images |= {f"{name}_real_A": face(person, 20), f"{name}_fake_B": face(person, 25 + 5 * person)}
            rows.append(("testA", f"{name}.jpg", 20.0, str(person)))
    write_images(tmp_path / "results", images)
    write_manifest(tmp_path / "manifest.csv", rows)
    by_people = measured_folder(tmp_path / "results", instruments(tmp_path), tmp_path / "manifest.csv")[1]
    by_photos = measured_folder(tmp_path / "results", instruments(tmp_path))[1]
    widths = [made.high - made.low for made in (each.value("AtoB", "gain_mean") for each in (by_people, by_photos))]
    assert widths[0] > 2 * widths[1]
    assert next(row for row in by_people.rows if row.metric == "gain_mean").people == 5


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_one_direction_under_the_public_codes_names(tmp_path: Path, direction: str) -> None:
    images = {}
    for person in YOUNG:
        images |= {f"p_real_{person}_real": face(person, 40), f"p_real_{person}_fake": face(person, 52)}
    write_images(tmp_path / "test_latest" / "images", images)
    _, summary, source = measured_folder(tmp_path / "test_latest", instruments(tmp_path), direction=direction)
    gain = summary.value(direction, "gain_mean")
    assert gain.value == pytest.approx(12 if direction == "AtoB" else -12, abs=0.3)
    assert source.notes == [] and np.isnan(summary.value(direction, "age_distance").value)
    assert "in the wrong direction" in console_table(summary)


def test_missing_damaged_and_mismatched_pairs_are_named_and_left_out(tmp_path: Path) -> None:
    write_results(tmp_path, lambda person: face(person, age_of(person) + 30), lambda person: face(person, 25))
    (tmp_path / "p3_real_A.png").unlink()
    (tmp_path / "p4_fake_B.png").unlink()
    Image.fromarray(face(5, 50)).resize((SIZE, 2 * SIZE)).save(tmp_path / "p5_fake_B.png")
    (tmp_path / "p6_fake_B.png").write_bytes(b"no image")
    (tmp_path / "p7_fake_B.png").unlink()
    Image.fromarray(face(7, 50)).save(tmp_path / "p7_fake_B.jpg", quality=100)
    whole = (tmp_path / "p7_fake_B.jpg").read_bytes()
    (tmp_path / "p7_fake_B.jpg").write_bytes(whole[:-200])
    for person in range(41, 49):
        (tmp_path / f"p{person}_real_B.png").unlink()
    _, summary, source = measured_folder(tmp_path, instruments(tmp_path))
    told = "\n".join(source.notes)
    assert "fake_B without real_A: 1 (p3)" in told and "real_A without fake_B: 1 (p4)" in told
    assert "real_A and fake_B differ in size: 1 (p5)" in told and "cannot be read: 1 (p6)" in told
    assert "damaged" in told and "(p7)" in told
    assert "fake_A without real_B: 8 (p41, p42, p43, p44, p45 and 3 more)" in told
    assert next(row for row in summary.rows if row.metric == "gain_mean").n == 35


def test_a_folder_without_pairs_says_what_was_expected(tmp_path: Path) -> None:
    write_images(tmp_path, {"1_fake_B": face(1, 30), "photo": face(2, 30)})
    with pytest.raises(UserError, match=r"STEM_real_A\.png with STEM_fake_B\.png.*fake_B without real_A: 1"):
        FolderSource(tmp_path, "AtoB", 4, torch.device("cpu"))


def test_the_best_the_median_and_the_worst_faces_are_shown() -> None:
    assert chosen_faces(np.array([5.0, 1, 9, 3, 7, 2, 8]), 2) == {"best": [2, 6], "median": [4, 0], "worst": [1, 5]}
    assert chosen_faces(np.array([5.0, 1, 9]), 2) == {"best": [2, 0], "median": [], "worst": [1]}
    assert chosen_faces(np.array([5.0]), 0) == {"best": [], "median": [], "worst": []}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of untrained generators, prepared photos with their manifest, an estimator, a recogniser."""
    folder = tmp_path_factory.mktemp("project")
    teacher = {"age_loss": "teacher.pth", "age_loss_sha256": sha256_of(write_estimator(folder / "teacher.pth", seed=7))}
    make_run(folder / "checkpoints", netG="resnet_1blocks", ngf=4, crop_size=32, **teacher)
    rows = []
    for domain, persons in (("A", range(12)), ("B", range(6, 18))):
        write_images(
            folder / "data" / f"test{domain}", {f"p{n}": face(n, 22 if domain == "A" else 55) for n in persons}
        )
        rows += [(f"test{domain}", f"p{n}.png", 22.0 if domain == "A" else 55.0, str(n)) for n in persons]
    write_manifest(folder / "data" / "manifest.csv", rows)
    write_estimator(folder / "age.pth")
    network = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 2, 6))
    torch.jit.trace(network, torch.zeros(1, 3, 16, 16)).save(str(folder / "faces.pt"))
    (folder / "faces.pt.json").write_text(json.dumps({"face_size": 16, "face_order": "BGR"}))
    return folder


def words_of(project: Path, *words: str | Path) -> list[str]:
    return [
        "--dataroot",
        str(project / "data"),
        "--name",
        "run",
        "--checkpoints_dir",
        str(project / "checkpoints"),
        *"--gpu_ids -1 --num_threads 0 --batch_size 5 --bootstrap 100".split(),
        "--results_dir",
        str(project / "results"),
        *map(str, words),
    ]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """evaluate.py in this process; returns what it printed."""

    def called(*words: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
        evaluate.main()
        return capsys.readouterr().out

    return called


@pytest.fixture(scope="module")
def evaluated(project: Path) -> Path:
    """The folder of a run's report."""
    output = run(
        "evaluate.py",
        *words_of(
            project, "--age_estimator", project / "age.pth", "--face_model", project / "faces.pt", "--examples", "2"
        ),
    )
    (project / "output.txt").write_text(output)
    return project / "results" / "run" / "latest_test" / "evaluation"


def metrics_of(folder: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """metrics.csv by direction, group, images, metric."""
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    return {tuple(row[name] for name in ("direction", "group", "images", "metric")): row for row in rows}


def test_a_run_is_measured_and_told_in_files(evaluated: Path, project: Path) -> None:
    output = (project / "output.txt").read_text()
    assert "young to old: 12 photos of 12 people" in output and "Traceback" not in output
    assert "FID and KID in Inception's features were not computed" in output and "--inception FILE" in output
    assert "pairs of different people reach, and" in output and "fewer than 10,000 pairs" in output
    assert f"report: {evaluated / 'report.html'}" in output
    rows = metrics_of(evaluated)
    for direction in ("AtoB", "BtoA"):
        for group in ("all", "women", "men"):
            for images in ("translated", "untouched", "target"):
                assert {"gain_mean", "gain_wrong", "cosine", "gender_kept", "kid_estimator", "age_distance"} <= {
                    key[3] for key in rows if key[:3] == (direction, group, images)
                }
    made = rows["AtoB", "all", "translated", "gain_mean"]
    assert float(made["low"]) <= float(made["value"]) <= float(made["high"]) and made["n"] == "12"
    assert float(rows["AtoB", "all", "untouched", "gain_mean"]["value"]) == 0
    assert float(rows["AtoB", "all", "translated", "cycle_l1"]["value"]) > 0
    assert float(rows["AtoB", "all", "translated", "cycle8_l1"]["value"]) > 0
    assert float(rows["AtoB", "all", "target", "true_gain"]["value"]) == 33
    record = json.loads((evaluated / "metrics.json").read_text())
    hashes = {entry["role"]: entry["sha256"] for entry in record["files"]}
    assert hashes["age estimator"] == sha256_of(project / "age.pth")
    assert hashes["face recogniser"] == sha256_of(project / "faces.pt")
    assert [entry["role"] for entry in record["files"]].count("generator") == 2
    assert record["options"]["name"] == "run" and len(record["metrics"]) == len(rows)
    photos = list(csv.DictReader((evaluated / "per_photo.csv").open()))
    assert len(photos) == 24 and {photo["gender"] for photo in photos} == {"female", "male"}
    gains = [float(photo["gain"]) for photo in photos if photo["direction"] == "AtoB"]
    assert np.mean(gains) == pytest.approx(float(made["value"]), abs=1e-4)
    assert not list(evaluated.rglob("*.tmp"))


def test_a_run_is_measured_with_what_comes_with_the_project(
    project: Path, call: Callable[..., str], tmp_path: Path
) -> None:
    call(*words_of(project, "--num_test", "4", "--output", tmp_path))
    record = json.loads((tmp_path / "metrics.json").read_text())
    hashes = {entry["role"]: entry["sha256"] for entry in record["files"]}
    assert hashes["age estimator"] == sha256_of(ROOT / DEFAULT_PATH)
    dlib = weights_path()
    assert hashes.get("face recogniser") == (sha256_of(dlib) if dlib else None)


def test_results_out_of_files_measure_the_same_as_the_run(
    evaluated: Path, project: Path, call: Callable[..., str]
) -> None:
    words = words_of(project)
    words[words.index("--bootstrap") : words.index("--bootstrap") + 2] = []
    run("test.py", *words)
    other = write_estimator(project / "other.pth", seed=3)
    output = call(
        "--results",
        project / "results" / "run" / "latest_test",
        "--manifest",
        project / "data" / "manifest.csv",
        "--age_estimator",
        f"{project / 'age.pth'},{other}",
        "--output",
        project / "again",
        *"--face_model none --gpu_ids -1 --bootstrap 100".split(),
    )
    assert "identity was not computed: install dlib's face recogniser (pip install" in output
    assert "make sure that none of these estimators was used" not in output, "test.py notes whose results these are"
    ours, theirs = metrics_of(project / "again"), metrics_of(evaluated)
    assert (
        ours["AtoB", "all", "translated", "gain_mean@other"]["value"] and "age gain, mean (years), by other" in output
    )
    compared = {key for key in ours if "@" not in key[3]}
    assert len(compared) > 100
    for key in compared:
        # The cycle back was rounded to 8 bits in the files, and networks differ a little with the batch's size.
        tolerance = 0.3 if key[3].startswith("cycle") else 2e-2
        assert float(ours[key]["value"]) == pytest.approx(float(theirs[key]["value"]), abs=tolerance, rel=2e-3), key


@pytest.mark.parametrize(("direction", "channels"), [("BtoA", (1, 3)), ("AtoB", (3, 1))])
def test_a_run_of_either_direction_and_its_results_measure_the_same(
    project: Path, tmp_path: Path, call: Callable[..., str], direction: str, channels: tuple[int, int]
) -> None:
    """A run trained BtoA calls the old faces A: its files real_A and fake_B are old to young."""
    folder, network = tmp_path / "checkpoints" / "turned", NetworkOptions(input_nc=channels[0], output_nc=channels[1])
    folder.mkdir(parents=True)
    torch.manual_seed(5)
    for name, kind in (("G_A", network), ("G_B", network.reversed())):
        generator = create_generator(kind, GeneratorOptions("resnet_1blocks", 4))
        torch.save(generator.state_dict(), folder / f"latest_net_{name}.pth")
    saved = {"netG": "resnet_1blocks", "ngf": 4, "load_size": 32, "crop_size": 32, "direction": direction}
    saved |= {"input_nc": channels[0], "output_nc": channels[1]}
    (folder / "opt.json").write_text(json.dumps(saved))
    words = [
        "--dataroot",
        project / "data",
        "--name",
        "turned",
        "--checkpoints_dir",
        tmp_path / "checkpoints",
        "--results_dir",
        tmp_path / "results",
        *"--gpu_ids -1 --num_threads 0".split(),
    ]
    measures = [
        "--age_estimator",
        project / "age.pth",
        *"--bootstrap 0 --examples 0 --gpu_ids -1 --face_model none".split(),
    ]
    run("test.py", *words)
    results = tmp_path / "results" / "turned" / "latest_test"
    page, order = (results / "index.html").read_text(), ("young to old", "old to young")
    titles = re.findall(r'<label for="show-([AB])">([^<]*) \(12\)<', page)
    assert titles == list(zip("AB", order if direction == "AtoB" else order[::-1], strict=True))
    call(*words, *measures, "--output", tmp_path / "of_run")
    manifest = ["--manifest", project / "data" / "manifest.csv"]
    call("--results", results, *measures, *manifest, "--output", tmp_path / "of_files")
    (results / "opt.json").unlink()
    call("--results", results, *measures, *manifest, "--output", tmp_path / "typed", "--direction", direction)
    ours = metrics_of(tmp_path / "of_run")
    assert float(ours["AtoB", "all", "target", "true_gain"]["value"]) == 33
    for other in (metrics_of(tmp_path / "of_files"), metrics_of(tmp_path / "typed")):
        for way in ("AtoB", "BtoA"):
            for name in ("gain_mean", "change_l1"):
                key = (way, "all", "translated", name)
                assert float(ours[key]["value"]) == pytest.approx(float(other[key]["value"]), abs=2e-2), key
            assert float(other[way, "all", "target", "true_gain"]["value"]) == 33
    gains = [float(ours[way, "all", "translated", "gain_mean"]["value"]) for way in ("AtoB", "BtoA")]
    assert abs(gains[0] - gains[1]) > 0.1, "the directions differ, so that an exchange would be seen"


@browser.needs_browser
@pytest.mark.parametrize("width", [1200, 400])
def test_the_report_shows_tables_pictures_and_faces(evaluated: Path, width: int) -> None:
    with browser.opened((evaluated / "report.html").as_uri(), width) as driver:
        assert browser.broken_images(driver) == [] and browser.script_errors(driver) == []
        assert not browser.overflows(driver)
        text = driver.find_element(By.TAG_NAME, "body").text
        for expected in (
            "young to old: 12 photos",
            "age gain, mean",
            "real target",
            "the worst faces by gain",
            "SHA-256",
        ):
            assert expected in text
        assert len(driver.find_elements(By.TAG_NAME, "img")) == 2 * 3 + 2 * 3 * 2 * 3  # pictures; faces of three images
        assert len(driver.find_elements(By.CSS_SELECTOR, "figure.card")) == 12


def test_the_estimator_that_a_run_was_trained_against_is_refused(
    project: Path, call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "copy.pth").write_bytes((project / "teacher.pth").read_bytes())
    with pytest.raises(UserError, match=r"copy\.pth was used to train this run \(--age_loss teacher"):
        call(*words_of(project, "--age_estimator", project / "copy.pth"))
    with pytest.raises(UserError, match="was used to train"):
        call(*words_of(project, "--age_estimator", f"{project / 'age.pth'},{project / 'teacher.pth'}"))
    monkeypatch.chdir(project)
    write_images(project / "somewhere" / "run" / "latest_test", {"1_real_A": face(1, 20), "1_fake_B": face(1, 30)})
    with pytest.raises(UserError, match="was used to train"):  # by the run of that name in checkpoints/
        call("--results", project / "somewhere" / "run" / "latest_test", "--age_estimator", project / "copy.pth")


def test_an_estimator_that_knows_the_test_people_is_told_of(
    project: Path, tmp_path: Path, call: Callable[..., str]
) -> None:
    notes = {"people_trained": [person_hash(str(person)) for person in (0, 1, 17, 99)]}
    estimator = write_estimator(tmp_path / "knows.pth", notes=notes)
    output = call(
        *words_of(
            project,
            "--age_estimator",
            estimator,
            "--output",
            tmp_path,
            *"--bootstrap 0 --num_test 12 --examples 0".split(),
        )
    )
    assert "WARNING: the estimator knows was trained on 3 of the 18 test people (17%)" in output
    assert "WARNING: the estimator knows" in (tmp_path / "report.html").read_text()
    assert metrics_of(tmp_path)["AtoB", "all", "translated", "gain_mean"]["low"] == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--age_estimator", "nowhere.pth"], "nowhere.pth"),
        ([], "--age_estimator FILE"),
        (["--age_estimator", "{project}/faces.pt"], "faces.pt"),
        (["--age_estimator", "{project}/age.pth", "--face_model", "no.onnx"], "no.onnx does not exist"),
        (["--age_estimator", "{project}/age.pth", "--inception", "no.pth"], "no.pth does not exist"),
        (["--age_estimator", "{project}/age.pth", "--manifest", "{project}/output.csv"], "output.csv"),
        (["--age_estimator", "{project}/age.pth", "--model", "test"], "--results"),
        (["--bootstrap", "-1"], "--bootstrap -1"),
    ],
)
def test_what_cannot_be_is_told(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., str],
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (project / "output.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError) as error:
        call(*words_of(project, *(word.format(project=project) for word in words)))
    assert told in str(error.value)


def test_options_that_a_folder_has_no_use_for_are_refused(tmp_path: Path, call: Callable[..., str]) -> None:
    with pytest.raises(SystemExit):
        call("--results", tmp_path, "--name", "run")


def test_the_csv_of_unknown_numbers_is_empty_rather_than_nan(tmp_path: Path) -> None:
    write_results(tmp_path, lambda person: face(person, 40))
    _, summary, _ = measured_folder(tmp_path, instruments(tmp_path))
    assert "nan" not in csv_table(summary.rows) and "inf" not in csv_table(summary.rows)


@pytest.mark.slow
def test_inception_features_from_a_local_file(
    project: Path, tmp_path: Path, call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="needs torch-fidelity")

    class Untrained(module.FeatureExtractorInceptionV3):  # type: ignore[name-defined, misc]
        def load_state_dict(self, *state: object) -> None:
            """Keeps the weights that it was drawn with."""

    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *words, **more: {})
    torch.manual_seed(0)
    torch.save(Untrained("untrained", ["2048"]).state_dict(), tmp_path / "inception.pth")
    monkeypatch.delattr(module, "load_state_dict_from_url")  # nothing may be fetched
    call(
        *words_of(
            project,
            "--age_estimator",
            project / "age.pth",
            "--inception",
            tmp_path / "inception.pth",
            "--output",
            tmp_path / "report",
            *"--num_test 6 --examples 0".split(),
        )
    )
    rows = metrics_of(tmp_path / "report")
    for images in ("translated", "untouched", "target"):
        assert float(rows["AtoB", "all", images, "fid_inception"]["value"]) >= 0
        assert rows["AtoB", "all", images, "kid_inception"]["value"]
    record = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert sha256_of(tmp_path / "inception.pth") in {entry["sha256"] for entry in record["files"]}


def test_packages_that_are_missing_are_named(
    project: Path, tmp_path: Path, call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_of(project, "--age_estimator", project / "age.pth", "--output", tmp_path, "--num_test", "2")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    call(*words, "--bootstrap", "0", "--examples", "0")
    assert "pip install matplotlib" in (tmp_path / "report.html").read_text()
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UserError, match="pip install torch-fidelity"):
        call(*words, "--inception", project / "age.pth")


def test_names_of_all_sorts_are_text(project: Path, tmp_path: Path, call: Callable[..., str]) -> None:
    names = ["<b>&amp;", "a\x1b[2J", os.fsdecode(b"caf\xe9"), "%41 #?", "-x"]
    for number, name in enumerate(names):
        write_images(tmp_path / "results", {f"{name}_real": face(number, 20), f"{name}_fake": face(number, 40)})
    output = call("--results", tmp_path / "results", "--age_estimator", project / "age.pth", "--gpu_ids", "-1")
    assert output.replace("\n", "").isprintable()
    page = (tmp_path / "results" / "evaluation" / "report.html").read_text()
    assert "<b>" not in page and "&lt;b&gt;&amp;amp;" in page and "\x1b" not in page
    for path in re.findall(r'<img[^>]*src="([^"]+)"', page):
        assert (tmp_path / "results" / "evaluation" / os.fsdecode(unquote_to_bytes(html.unescape(path)))).is_file()
    assert len(list(csv.DictReader((tmp_path / "results" / "evaluation" / "per_photo.csv").open()))) == 5


def test_a_model_that_diverged_is_told_of(project: Path, tmp_path: Path, call: Callable[..., str]) -> None:
    run_folder = tmp_path / "checkpoints" / "run"
    run_folder.mkdir(parents=True)
    for name in ("latest_net_G_A.pth", "latest_net_G_B.pth"):
        weights = torch.load(project / "checkpoints" / "run" / name, weights_only=True)
        torch.save({key: value * torch.nan for key, value in weights.items()}, run_folder / name)
    (run_folder / "opt.json").write_text((project / "checkpoints" / "run" / "opt.json").read_text())
    words = words_of(project, "--age_estimator", project / "age.pth", "--checkpoints_dir", tmp_path / "checkpoints")
    with pytest.raises(UserError, match=r"not finite.*--epoch"):
        call(*words)
