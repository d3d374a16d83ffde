"""prepare_dataset.py as its users meet it: real processes, killed ones too, on collections in their true formats."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import raw_collections as raw
from browser import broken_images, needs_browser, opened, overflows, script_errors
from PIL import Image
from processes import run, start, tree, wait_until

from util.workers import usable_cores

SCRIPT = "scripts/prepare_dataset.py"
FOLDERS = ("trainA", "trainB", "testA", "testB")
QUICK = ("--size", "32", "--processes", "1", "--test_fraction", "0.3")
SLOW = ("--size", "256", "--format", "png", "--processes", "2")


def prepare(source: str, *words: str | Path, status: int = 0) -> str:
    output = run(SCRIPT, source, *words, status=status)
    assert "Traceback" not in output
    return output


def manifest(output: Path) -> list[dict[str, str]]:
    with (output / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_training_set(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people(30, 20))
    printed = prepare("wiki", "--input", source, "--output", tmp_path / "out", *QUICK)
    rows = manifest(tmp_path / "out")
    assert len(rows) == 50 and {row["reason"] for row in rows} == {"kept"}
    counts = {name: len(list((tmp_path / "out" / name).iterdir())) for name in FOLDERS}
    assert counts["trainA"] + counts["testA"] == 30 and counts["trainB"] + counts["testB"] == 20
    assert all(counts.values())
    for row in rows:
        with Image.open(tmp_path / "out" / row["folder"] / row["file"]) as image:
            assert image.size == (32, 32) and image.format == "JPEG"
        assert row["folder"][-1] == ("A" if row["age"] == "25" else "B")
        assert (row["width"], row["height"]) == ("200", "200")
    assert "kept                                       50" in printed and f"{counts['trainA']:>9}" in printed
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert record["folders"]["trainA"]["photos"] == counts["trainA"] and record["reasons"] == {"kept": 50}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*FOLDERS, "dataset.json", "manifest.csv", "report.html"]
    )
    before = tree(tmp_path / "out")
    assert "is up to date" in prepare("wiki", "--input", source, "--output", tmp_path / "out", *QUICK)
    assert tree(tmp_path / "out") == before


def test_archives_of_every_kind_give_the_same_set_as_the_folder(tmp_path: Path) -> None:
    files = raw.wiki_people()
    expected = None
    for kind in ("folder", "tar", "tar.gz", "tar.xz", "zip"):
        make = raw.as_folder if kind == "folder" else raw.as_zip if kind == "zip" else raw.as_tar
        source = make(tmp_path / f"wiki_crop.{kind}", files)
        processes = "2" if kind == "folder" else "1"
        prepare("wiki", "--input", source, "--output", tmp_path / kind, *QUICK, "--processes", processes)
        made = tree(tmp_path / kind)
        expected = expected or made
        assert made == expected and len(made) == 20 + 3


def test_every_reason_is_counted_and_nothing_stops_the_preparation(tmp_path: Path) -> None:
    good = raw.photo(1)
    rows = [
        {"path": "01/1_a.jpg", "born": 1980, "taken": 2005, "picture": good},
        {"path": "01/2_b.jpg", "born": 1950, "taken": 2005, "picture": raw.photo(2)},
        {"path": "01/3_copy.jpg", "born": 1980, "taken": 2005, "picture": raw.encode(raw.picture(1), quality=80)},
        {"path": "01/4_half.jpg", "born": 1980, "taken": 2005, "picture": raw.photo(3)[:1500]},
        {"path": "01/5_text.jpg", "born": 1980, "taken": 2005, "picture": b"no photo"},
        {"path": "01/6_small.jpg", "born": 1980, "taken": 2005, "picture": raw.photo(4, 200, 179)},
        {"path": "01/7_grey.jpg", "born": 1980, "taken": 2005, "picture": raw.encode(raw.picture(5).convert("L"))},
        {"path": "01/8_none.jpg", "born": 1980, "taken": 2005},
        {"path": "01/9_old.jpg", "born": 1920, "taken": 2005, "picture": good},
        {"path": "01/10_date.jpg", "dob": 0, "taken": 2005, "picture": good},
        {"path": "01/11_year.jpg", "born": 1980, "taken": 0, "picture": good},
        {"path": "01/12_unborn.jpg", "born": 2010, "taken": 2005, "picture": good},
        {"path": "01/13_no_face.jpg", "born": 1980, "taken": 2005, "face_score": -np.inf, "picture": good},
        {"path": "01/14_score.jpg", "born": 1980, "taken": 2005, "face_score": np.nan, "picture": good},
        {"path": "01/15_low.jpg", "born": 1980, "taken": 2005, "face_score": 0.5, "picture": good},
        {"path": "01/16_two.jpg", "born": 1980, "taken": 2005, "second_face_score": 1.5, "picture": good},
        {"path": "../../../evil.jpg", "born": 1980, "taken": 2005},
        {"path": "/etc/hostname.jpg", "born": 1980, "taken": 2005},
        {"path": "01/1_a.jpg", "born": 1980, "taken": 2005},
        {"path": "01/1_elsewhen.jpg", "born": 1950, "taken": 2005, "picture": raw.photo(6)},
        {"path": "01/1_again.jpg", "born": 1980, "taken": 2005, "picture": raw.photo(7)},
    ]
    source = raw.as_folder(tmp_path / "wiki", raw.imdb_wiki("wiki", rows))
    prepare("wiki", "--input", source, "--output", tmp_path / "out", *QUICK, "--test_fraction", "0")
    reasons = {row["path"]: row["reason"] for row in manifest(tmp_path / "out")}
    assert reasons["01/9_old.jpg"] == "neither young nor old" and reasons["../../../evil.jpg"].startswith("path that")
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())["reasons"]
    assert record == {
        "kept": 3,
        "near-duplicate": 1,
        "photo unreadable": 2,
        "photo too small": 1,
        "grey or toned": 1,
        "photo missing": 1,
        "neither young nor old": 1,
        "impossible date": 2,
        "impossible age": 1,
        "no face found": 2,
        "face score too low": 1,
        "second face": 1,
        "path that leads elsewhere": 2,
        "listed twice": 1,
        "person kept at the other age": 1,
    }
    details = {row["path"]: row["detail"] for row in manifest(tmp_path / "out")}
    assert "truncated" in details["01/4_half.jpg"]
    assert not list(tmp_path.rglob("evil*"))


def test_celeba_cacd_utkface_and_own_photos_from_end_to_end(tmp_path: Path) -> None:
    celeba = [{"attributes": {"Young"} if n < 6 else set(), "person": n, "partition": n % 3} for n in range(12)]
    people = [{"age": 25 if n < 6 else 55, "identity": n, "person": f"Some_Body{n}"} for n in range(12)]
    utk = {f"UTKFace/{25 if n < 6 else 55}_{n % 2}_0_201701161745251{n:02d}.jpg": raw.photo(n) for n in range(12)}
    own = {f"{'young' if n < 6 else 'old'}/{n}.png": raw.encode(raw.picture(n), "PNG") for n in range(12)}
    table = "path,age,gender\n" + "".join(f"{'ab'[n % 2]}/{n}.jpg,{25 if n < 6 else 55},f\n" for n in range(12))
    listed = {"faces.csv": table.encode(), **{f"{'ab'[n % 2]}/{n}.jpg": raw.photo(n) for n in range(12)}}
    cases = {"celeba": raw.celeba(celeba), "cacd": raw.cacd(people), "utkface": utk, "folder": own, "folder 2": listed}
    for name, files in cases.items():
        source, out = raw.as_folder(tmp_path / "raw" / name, files), tmp_path / "out" / name
        words = ["--official_split"] if name == "celeba" else []
        prepare(name.split()[0], "--input", source, "--output", out, *QUICK, *words)
        record = json.loads((out / "dataset.json").read_text())
        assert record["reasons"] == {"kept": 12}, name
        assert sum(record["folders"][f][("photos")] for f in ("trainA", "testA")) == 6
        if name == "celeba":
            assert [record["folders"][folder]["photos"] for folder in FOLDERS] == [4, 4, 2, 2]
    two = ["--young_dir", tmp_path / "raw/folder/young", "--old_dir", tmp_path / "raw/folder/old"]
    prepare("folder", *two, "--output", tmp_path / "out" / "two", *QUICK)
    same = {"trainA", "trainB", "testA", "testB"}
    assert {n: c for n, c in tree(tmp_path / "out" / "two").items() if n.split("/")[0] in same} == {
        n: c for n, c in tree(tmp_path / "out" / "folder").items() if n.split("/")[0] in same
    }


def test_limits_look_at_no_more_photos_than_needed(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people(120, 120))
    out = tmp_path / "out"
    prepare("wiki", "--input", source, "--output", out, *QUICK, "--max_per_class", "10", "--balance_gender")
    rows = manifest(out)
    by_folder = {folder: [row["gender"] for row in rows if row["folder"] == folder] for folder in FOLDERS}
    assert all(genders.count("female") == genders.count("male") for genders in by_folder.values())
    assert 6 <= len(by_folder["trainA"] + by_folder["testA"]) <= 10
    seen = sum(row["width"] != "" for row in rows)
    assert seen < 120, "photos were looked at that could not be kept"
    assert sum(row["reason"] == "beyond --max_per_class" for row in rows) >= 220


def test_names_that_clash_or_are_odd_become_files_of_their_own(tmp_path: Path) -> None:
    names = [
        "a/1.jpg",
        "b/1.jpg",
        "B/1.JPG",
        "c/.-x.jpg",
        "c/<b>&'.jpg",
        "c/ü日本.jpg",
        f"c/{'n' * 240}.jpg",
        f"c/{'日' * 80}.jpg",
    ]
    table = "path,age\n" + "".join(f'"{name}",{25 + 30 * (number % 2)}\n' for number, name in enumerate(names))
    files = {name: raw.photo(number) for number, name in enumerate(names)}
    source = raw.as_folder(tmp_path / "own", {"faces.csv": table.encode(), **files})
    prepare("folder", "--input", source, "--output", tmp_path / "out", *QUICK, "--test_fraction", "0")
    rows = manifest(tmp_path / "out")
    assert [row["reason"] for row in rows].count("kept") == 8
    made = {row["file"].lower() for row in rows if row["file"]}
    assert len(made) == 8 and not any(name.startswith((".", "-")) for name in made)
    assert all((tmp_path / "out" / r["folder"] / r["file"]).is_file() for r in rows if r["file"])


def test_other_settings_are_refused_with_both_values_and_overwrite_replaces(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people())
    words = ["--input", source, "--output", tmp_path / "out", *QUICK]
    prepare("wiki", *words)
    before = tree(tmp_path / "out")
    assert "size: 32 there, 48 now" in prepare("wiki", *words, "--size", "48", status=2)
    assert tree(tmp_path / "out") == before
    prepare("wiki", *words, "--size", "48", "--overwrite")
    with Image.open(next((tmp_path / "out" / "trainA").iterdir())) as image:
        assert image.size == (48, 48)
    assert len(tree(tmp_path / "out")) == len(before)


def test_folders_of_another_origin_are_never_touched(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people())
    (tmp_path / "out" / "trainA").mkdir(parents=True)
    (tmp_path / "out" / "trainA" / "mine.jpg").write_bytes(b"mine")
    for words in ([], ["--overwrite"]):
        printed = prepare("wiki", "--input", source, "--output", tmp_path / "out", *QUICK, *words, status=2)
        assert "contains trainA, which this command did not make" in printed
    assert tree(tmp_path / "out") == {"trainA/mine.jpg": b"mine"}


def journal_lines(output: Path) -> int:
    journal = output / ".preparing" / "journal.csv"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.fixture(scope="module")
def large_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many large photos that a preparation of them takes some seconds."""
    folder = tmp_path_factory.mktemp("large")
    rows = []
    for number in range(72):
        young = number % 2
        rows.append(
            {
                "path": f"{number % 100:02d}/{number}_x.jpg",
                "born": 1980 if young else 1950,
                "taken": 2005,
                "picture": raw.photo(number, 700, 700),
            }
        )
    return raw.as_tar(folder / "wiki_crop.tar", raw.imdb_wiki("wiki", rows))


def test_killed_at_any_moment_it_goes_on_to_the_same_set(tmp_path: Path, large_tar: Path) -> None:
    words = ["--input", large_tar, "--size", "256", "--format", "png", "--test_fraction", "0.2", "--processes", "2"]
    prepare("wiki", *words, "--output", tmp_path / "whole")
    expected = tree(tmp_path / "whole")
    out = tmp_path / "killed"
    kills = 0
    for lines in (0, 20, 45):
        process = start(SCRIPT, "wiki", *words, "--output", out)
        wait_until(lambda goal=lines, p=process: journal_lines(out) > goal or p.poll() is not None)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=240)
        assert not (out / "dataset.json").exists() or tree(out) == expected
    assert kills >= 2
    prepare("wiki", *words, "--output", out)
    assert tree(out) == expected


def test_interrupted_while_publishing_it_completes_the_set(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people())
    words = ["--input", source, "--output", tmp_path / "out", *QUICK]
    prepare("wiki", *words)
    expected = tree(tmp_path / "out")
    # What a kill between two renames leaves: some of it moved, the rest still where it was made.
    for moved in (0, 2, 5, 6):
        work = tmp_path / "out" / ".preparing"
        work.mkdir()
        for name in ("trainA", "trainB", "testA", "testB", "manifest.csv", "report.html", "dataset.json")[moved:]:
            os.replace(tmp_path / "out" / name, work / name)
        assert "is up to date" in prepare("wiki", *words)
        assert tree(tmp_path / "out") == expected


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_told_and_leaves_no_process(tmp_path: Path, large_tar: Path, stop: signal.Signals) -> None:
    process = start(SCRIPT, "wiki", "--input", large_tar, "--output", tmp_path / "out", *SLOW)
    wait_until(lambda: journal_lines(tmp_path / "out") > 5)
    children = descendants(process.pid)
    assert len(children) >= 2 or usable_cores() == 1
    process.send_signal(stop)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + stop and "interrupted; run the same command again" in printed
    assert "Traceback" not in printed
    wait_until(lambda: not any(is_alive(child) for child in children))


@pytest.mark.skipif(usable_cores() == 1, reason="on one core photos are read by the process itself, without workers")
def test_workers_end_with_a_killed_parent(tmp_path: Path, large_tar: Path) -> None:
    process = start(SCRIPT, "wiki", "--input", large_tar, "--output", tmp_path / "out", *SLOW)
    wait_until(lambda: journal_lines(tmp_path / "out") > 5)
    children = descendants(process.pid)
    assert len(children) >= 2
    process.kill()
    process.communicate(timeout=240)
    wait_until(lambda: not any(is_alive(child) for child in children))


def descendants(pid: int) -> list[int]:
    """All processes below a process, as /proc tells."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_preparations_of_one_folder_do_not_mix(tmp_path: Path, large_tar: Path) -> None:
    words = ["--input", large_tar, "--output", tmp_path / "out", *SLOW]
    first = start(SCRIPT, "wiki", *words)
    wait_until(lambda: journal_lines(tmp_path / "out") > 0)
    assert "another preparation is writing to" in prepare("wiki", *words, status=2)
    first.kill()
    first.communicate(timeout=240)


def test_a_full_disk_is_told_and_the_preparation_goes_on_where_there_is_room(tmp_path: Path, large_tar: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs more rights than this user has")
    try:
        words = ["--input", large_tar, "--output", disk / "out", "--format", "png", "--size", "128", "--processes", "2"]
        printed = prepare("wiki", *words, status=2)
        assert "No space left on device" in printed and "the same command" in printed
        assert not (disk / "out" / "trainA").exists()
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        prepare("wiki", *words)
        prepare("wiki", *words[:2], "--output", tmp_path / "whole", *words[4:])
        assert tree(disk / "out") == tree(tmp_path / "whole")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_read_only_output_is_told(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people())
    (tmp_path / "file").write_text("x")
    assert "--output" in prepare("wiki", "--input", source, "--output", tmp_path / "file" / "out", *QUICK, status=2)


def test_a_truncated_archive_is_told_and_what_was_done_is_kept(tmp_path: Path) -> None:
    whole = raw.as_tar(tmp_path / "wiki.tar.gz", raw.wiki_people(40, 40)).read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) * 3 // 4])
    printed = prepare("wiki", "--input", tmp_path / "half.tar.gz", "--output", tmp_path / "out", *QUICK, status=2)
    assert "half.tar.gz cannot be read as an archive" in printed and not (tmp_path / "out" / "trainA").exists()


def test_a_set_without_old_people_says_so_and_shows_why(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people(10, 0))
    printed = prepare("wiki", "--input", source, "--output", tmp_path / "out", *QUICK, status=2)
    assert "no photos are left for trainB" in printed and (tmp_path / "out" / "report.html").exists()


def test_links_share_the_photos_and_cannot_be_made_of_archives(tmp_path: Path) -> None:
    source = raw.as_folder(tmp_path / "wiki", raw.wiki_people())
    prepare("wiki", "--input", source, "--output", tmp_path / "out", "--mode", "link", *QUICK[2:])
    row = manifest(tmp_path / "out")[0]
    assert os.path.samefile(tmp_path / "out" / row["folder"] / row["file"], source / "wiki_crop" / row["path"])
    archive = raw.as_zip(tmp_path / "wiki.zip", raw.wiki_people())
    printed = prepare("wiki", "--input", archive, "--output", tmp_path / "2", "--mode", "link", status=2)
    assert "--mode link" in printed and "--mode copy" in printed


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["wiki"], "give --input"),
        (["wiki", "--input", "/nowhere"], "/nowhere does not exist"),
        (["lfw", "--input", "x"], "invalid choice: 'lfw'"),
        ([], "required: SOURCE"),
        (["wiki", "--input", "x", "--yuong", "1-2"], "did you mean --young?"),
        (["wiki", "--input", "x", "--young", "young"], "not a range of ages such as 20-29"),
        (["wiki", "--young_dir", "x", "--old_dir", "y"], "are for your own photos"),
    ],
)
def test_bad_commands_are_told(words: list[str], complaint: str) -> None:
    assert complaint in prepare(*words, status=2) if words else complaint in run(SCRIPT, status=2)


@needs_browser
def test_the_report_shows_all_and_escapes_names(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "a&b", "plain"]
    files = {
        f"{folder}/{name.replace('/', '_')}{n}.jpg": raw.photo(n + 10 * len(folder))
        for folder in ("young", "old")
        for n, name in enumerate(names)
    }
    source = raw.as_folder(tmp_path / "own", files)
    prepare("folder", "--input", source, "--output", tmp_path / "out", *QUICK, "--test_fraction", "0", "--mode", "copy")
    page = (tmp_path / "out" / "report.html").as_uri()
    for width in (1200, 500):
        with opened(page, width=width) as driver:
            assert broken_images(driver) == [] and script_errors(driver) == [] and not overflows(driver)
            assert len(driver.find_elements("css selector", ".sheet img")) == 6
            text = driver.find_element("tag name", "body").text
            assert "kept" in text and "trainA: young people for training" in text
