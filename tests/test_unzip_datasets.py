"""unzip_datasets.sh: archives of every kind into the four folders, and nothing anywhere else."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from processes import ROOT, tree
from raw_collections import as_tar, as_zip


def unzip(*words: str | Path, status: int = 0) -> str:
    result = subprocess.run(
        [ROOT / "scripts" / "unzip_datasets.sh", *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == status, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


PHOTOS = {
    f"{folder}/{number}.jpg": f"{folder}{number}".encode()
    for folder in ("trainA", "trainB", "testA", "testB")
    for number in range(2)
}


@pytest.mark.parametrize("name", ["faces.zip", "faces.tar", "faces.tar.gz", "faces.tgz", "faces.tar.xz"])
@pytest.mark.parametrize("prefix", ["", "young2old/deep/"])
def test_photos_are_unpacked_from_any_depth_and_again_changes_nothing(tmp_path: Path, name: str, prefix: str) -> None:
    members = {prefix + member: data for member, data in PHOTOS.items()} | {prefix + "notes.txt": b"x"}
    archive = (as_zip if name.endswith("zip") else as_tar)(tmp_path / name, members)
    output = unzip(archive, "--output", tmp_path / "out")
    assert tree(tmp_path / "out") == PHOTOS
    assert "photos unpacked: 8" in output and "other files skipped: 1" in output
    assert "existed already: 8" in unzip(archive, "--output", tmp_path / "out")
    assert tree(tmp_path / "out") == PHOTOS


def test_nothing_is_written_outside_whatever_a_member_is_called(tmp_path: Path) -> None:
    evil = {"/abs/trainA/a.jpg": b"1", "../../trainA/b.jpg": b"2", "trainA/../../c.jpg": b"3"}
    evil |= {"C:\\trainA\\d.jpg": b"4", "trainA/..": b"5", "trainA/.hidden.jpg": b"6"}
    for folder in ("trainA", "trainB", "testA", "testB"):
        evil[f"{folder}/x.jpg"] = b"7"
    inner = tmp_path / "inner"
    inner.mkdir()
    for number, make in enumerate((as_zip, as_tar)):
        archive = make(inner / f"evil{number}.{'zip' if number == 0 else 'tar'}", evil)
        before = tree(tmp_path)
        output = unzip(archive, "--output", inner / f"out{number}")
        assert "paths outside the archive skipped: 5" in output
        written = {name for name in tree(tmp_path) if name not in before}
        expected = {f"{folder}/x.jpg" for folder in ("trainA", "trainB", "testA", "testB")}
        assert written == {f"inner/out{number}/{name}" for name in expected}


def test_links_in_archives_are_passed_over(tmp_path: Path) -> None:
    links = [tarfile.TarInfo(name) for name in ("trainA/link.jpg", "trainC")]
    for link in links:
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive = as_tar(tmp_path / "links.tar", PHOTOS, *links)
    output = unzip(archive, "--output", tmp_path / "out")
    assert "links skipped: 2" in output
    assert tree(tmp_path / "out") == PHOTOS


def test_bombs_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trainA/huge.jpg", bytes(201 * 2**20))
        for folder in ("trainA", "trainB", "testA", "testB"):
            archive.writestr(f"{folder}/x.jpg", b"7")
    assert (tmp_path / "bomb.zip").stat().st_size < 2**20
    assert "decompression bombs skipped: 1" in unzip(tmp_path / "bomb.zip", "--output", tmp_path / "out")
    assert len(tree(tmp_path / "out")) == 4
    bomb = as_tar(tmp_path / "bomb.tar.gz", {"trainA/huge.jpg": bytes(201 * 2**20)})
    assert bomb.stat().st_size < 2**20
    assert "bomb.tar.gz expands to more than 100 times its size" in unzip(bomb, "--output", tmp_path / "2", status=2)
    assert not (tmp_path / "2").exists()


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    whole = as_tar(tmp_path / "whole.tar.gz", PHOTOS).read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.zip").write_text("no archive")
    for name in ("half.tar.gz", "text.zip"):
        assert f"{name} cannot be read as an archive" in unzip(tmp_path / name, "--output", tmp_path / "out", status=2)
    assert "absent.zip" in unzip(tmp_path / "absent.zip", "--output", tmp_path / "out", status=2)


def test_an_archive_without_the_folders_says_what_is_missing(tmp_path: Path) -> None:
    archive = as_zip(tmp_path / "some.zip", {"trainA/1.jpg": b"1"})
    output = unzip(archive, "--output", tmp_path / "out", status=2)
    assert "still lacks trainB, testA, testB" in output
    assert f"python scripts/prepare_dataset.py wiki --input {archive}" in output


def test_without_archives_it_says_where_to_put_what(tmp_path: Path) -> None:
    for folder in ("scripts", "util"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "datasets").mkdir()
    result = subprocess.run([tmp_path / "scripts" / "unzip_datasets.sh"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    for expected in ("no archive in datasets", "datasets/young2old/trainA", "make_demo_faces.py", "wiki_crop.tar"):
        assert expected in result.stderr
    as_zip(tmp_path / "datasets" / "faces.zip", PHOTOS)
    subprocess.run([tmp_path / "scripts" / "unzip_datasets.sh"], check=True, capture_output=True)
    assert tree(tmp_path / "datasets" / "young2old") == PHOTOS
