"""Public collections of faces, each in its own format, become one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import raw_collections as raw

from scripts.preparation.errors import SourceError
from scripts.preparation.sources import SOURCES
from scripts.preparation.sources.collection import Collection, Folder, TwoFolders, open_collection
from scripts.preparation.sources.imdb_wiki import birth_years
from scripts.preparation.sources.table import COLUMNS


def read(name: str, path: Path) -> pd.DataFrame:
    table = SOURCES[name].read(open_collection(path, SOURCES[name].photo_folders))
    assert list(table) == list(COLUMNS)
    return table


def contents(collection: Collection, paths: list[str]) -> dict[str, bytes | None]:
    """What the collection gives for each path."""
    found: dict[str, bytes | None] = {}
    for number, photo in collection.photos({path: number for number, path in enumerate(paths)}):
        found[paths[number]] = photo.read_bytes() if isinstance(photo, Path) else photo
    return found


WIKI_ROWS = [
    {"path": "01/101_1980-07-01_2005.jpg", "born": 1980, "taken": 2005, "gender": 0, "picture": b"one"},
    {"path": "02/202_1950-07-01_2005.jpg", "born": 1950, "taken": 2005, "gender": 1, "face_score": -np.inf},
    {"path": "03/303_1950-07-01_2005.jpg", "born": 1950, "taken": 2005, "gender": np.nan, "second_face_score": 2.5},
    {"path": "04/404_0001-01-01_2005.jpg", "dob": 1, "taken": 2005},
    {"path": "05/505_2010-07-01_2005.jpg", "born": 2010, "taken": 2005},
]


@pytest.mark.parametrize("kind", ["folder", "inner folder", "tar", "tar.gz", "zip"])
def test_wiki(tmp_path: Path, kind: str) -> None:
    files = raw.imdb_wiki("wiki", WIKI_ROWS)
    if kind.endswith("folder"):
        path = raw.as_folder(tmp_path / "wiki", files) / ("wiki_crop" if kind == "inner folder" else "")
    else:
        path = (raw.as_zip if kind == "zip" else raw.as_tar)(tmp_path / f"wiki_crop.{kind}", files)
    table = read("wiki", path)
    assert table["path"].tolist() == [row["path"] for row in WIKI_ROWS]
    np.testing.assert_array_equal(table["age"], [25, 55, 55, np.nan, -5])
    assert table["gender"].cat.codes.tolist() == [0, 1, -1, 1, 1]  # female, male, unknown
    assert table["identity"].tolist() == ["101", "202", "303", "404", "505"]
    np.testing.assert_array_equal(table["face_score"], [3, -np.inf, 3, 3, 3])
    assert table["second_face_score"].notna().tolist() == [False, False, True, False, False]
    assert table["problem"].tolist() == ["", "", "", "impossible date", ""]
    assert table[["face_left", "face_right"]].iloc[0].tolist() == [0, 100]  # MATLAB counts from 1
    found = contents(open_collection(path, SOURCES["wiki"].photo_folders), table["path"].tolist())
    assert found == {WIKI_ROWS[0]["path"]: b"one"} | {row["path"]: None for row in WIKI_ROWS[1:]}


def test_imdb_has_names_and_numbers_of_celebrities(tmp_path: Path) -> None:
    rows = [
        {"path": "01/nm0000001_rm124825600_1899-5-10_1968.jpg", "born": 1943, "taken": 1968, "celeb_id": 7},
        {"path": "01/nm0000001_rm3343756032_1899-5-10_1970.jpg", "born": 1943, "taken": 1970, "celeb_id": 7},
        {"path": "02/nm0000002_rm1_1924-9-16_1974.jpg", "born": 1924, "taken": 1974, "celeb_id": 7},
        {"path": "03/without_a_key.jpg", "born": 1924, "taken": 1974, "celeb_id": 8},
    ]
    table = read("imdb", raw.as_folder(tmp_path, raw.imdb_wiki("imdb", rows)))
    # Two people of one name have one celeb_id, but keys of their own.
    assert table["identity"].tolist() == ["nm0000001", "nm0000001", "nm0000002", "celebrity 8"]
    assert table["age"].tolist() == [25, 27, 50, 50]


def test_birth_years_are_matlab_days() -> None:
    days = [raw.datenum(1984, 1, 1), raw.datenum(1984, 12, 31), raw.datenum(1900, 2, 28), 366, 367, 1e9, np.nan, -5]
    expected = [1984, 1984, 1900, np.nan, 1, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(birth_years(np.array(days, dtype=float)), expected)


CELEBA_ROWS = [
    {"attributes": {"Young", "Male"}, "person": 2880, "partition": 0},
    {"attributes": {"Eyeglasses", "Gray_Hair"}, "person": 2937, "partition": 1},
    {"attributes": {"Young", "Blurry"}, "person": 2880, "partition": 2},
]


def test_celeba(tmp_path: Path) -> None:
    path = raw.as_folder(tmp_path, raw.celeba(CELEBA_ROWS))
    table = read("celeba", path)
    assert table["path"].tolist() == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert table["young"].tolist() == [True, False, True]
    assert table["gender"].tolist() == ["male", "female", "female"]
    assert table["glasses"].tolist() == [False, True, False]
    assert table["blurry"].tolist() == [False, False, True]
    assert table["partition"].tolist() == ["train", "val", "test"]
    assert table["identity"].tolist() == ["2880", "2937", "2880"]
    assert table["age"].isna().all()
    found = contents(open_collection(path, SOURCES["celeba"].photo_folders), table["path"].tolist())
    assert all(content and content.startswith(b"\xff\xd8") for content in found.values())


def test_cacd(tmp_path: Path) -> None:
    rows = [{"age": 53, "identity": 1, "person": "Robin_Williams"}, {"age": 25, "identity": 2, "person": "Zoë_X"}]
    files = raw.cacd(rows)
    path = raw.as_folder(tmp_path, files)
    table = read("cacd", path)
    assert table["path"].tolist() == ["53_Robin_Williams_0001.jpg", "25_Zoë_X_0002.jpg"]
    assert table["age"].tolist() == [53, 25] and table["identity"].tolist() == ["1", "2"]
    found = contents(open_collection(path, SOURCES["cacd"].photo_folders), table["path"].tolist())
    assert list(found.values()) == [files[f"CACD2000/{name}"] for name in table["path"]]


def test_cacd_without_metadata_is_read_from_names(tmp_path: Path) -> None:
    rows = [{"age": 53, "identity": 1, "person": "Robin_Williams"}] * 2
    files = {name: content for name, content in raw.cacd(rows).items() if name.endswith(".jpg")}
    table = read("cacd", raw.as_tar(tmp_path / "CACD2000.tar.gz", {**files, "CACD2000/cover.jpg": b"x"}))
    assert table["age"].tolist()[:2] == [53, 53] and table["identity"].tolist()[:2] == ["Robin_Williams"] * 2
    assert table["problem"].tolist() == ["", "", "malformed name"]


def test_utkface(tmp_path: Path) -> None:
    good = {
        "26_1_2_20170116174525125.jpg.chip.jpg": (26, "female"),
        "116_0_0_20170120134744096.jpg": (116, "male"),
        "24_0_1_20170116220224657 .jpg.chip.jpg": (24, "male"),
    }
    bad = ["39_1_20170116174525125.jpg.chip.jpg", "61_3_1_20170109150557335.jpg", "55_0_0_2017.jpg", "holiday.jpg"]
    folder = raw.as_folder(tmp_path / "UTKFace", dict.fromkeys([*good, *bad], b"x"))
    archive = raw.as_zip(tmp_path / "u.zip", {f"UTKFace/{name}": b"x" for name in [*good, *bad]})
    for number, path in enumerate((folder, archive)):
        table = read("utkface", path).set_index("path")
        for name, (age, gender) in good.items():
            row = table.loc[name if number == 0 else f"UTKFace/{name}"]
            assert (row["age"], row["gender"], row["problem"]) == (age, gender, "")
        assert (table["problem"] == "malformed name").sum() == len(bad) == len(table) - len(good)


def test_own_photos_in_a_csv_file(tmp_path: Path) -> None:
    lines = ["\ufeffPath, Age, Gender, identity", "a/1.jpg, 25, F, Ann", "a\\2.jpg, 55.5, male, Bob", "3.jpg, ?, x,"]
    (tmp_path / "faces.csv").write_text("\n".join(lines), encoding="utf-8")
    table = read("folder", tmp_path)
    assert table["path"].tolist() == ["a/1.jpg", "a/2.jpg", "3.jpg"]
    np.testing.assert_array_equal(table["age"], [25, 55.5, np.nan])
    assert table["gender"].isna().tolist() == [False, False, True] and table["gender"][:2].tolist() == [
        "female",
        "male",
    ]
    assert table["identity"].tolist() == ["Ann", "Bob", ""]


def test_own_photos_in_folders(tmp_path: Path) -> None:
    raw.as_folder(tmp_path / "both", {"young/1.jpg": b"y1", "old/deep/1.jpg": b"o1", "other/2.jpg": b"x"})
    table = read("folder", tmp_path / "both")
    assert dict(zip(table["path"], table["young"], strict=True)) == {"young/1.jpg": True, "old/deep/1.jpg": False}
    two = TwoFolders(tmp_path / "both" / "young", tmp_path / "both" / "old")
    table = SOURCES["folder"].read(two)
    assert contents(two, table["path"].tolist()) == {"young/1.jpg": b"y1", "old/deep/1.jpg": b"o1"}


@pytest.mark.parametrize(
    ("source", "files", "complaint"),
    [
        ("wiki", {"notes.txt": b"x"}, r"contains no wiki.mat, but notes.txt"),
        ("wiki", {"wiki.mat": b"no such thing"}, "wiki.mat is damaged or not a MATLAB file"),
        ("wiki", {"wiki.mat": raw.mat({"other": {"a": 1}})}, "contains no struct named wiki"),
        ("wiki", {"wiki.mat": raw.mat({"wiki": {"dob": [[1]]}})}, "lacks full_path, photo_taken"),
        ("wiki", {"wiki.mat": raw.imdb_wiki("wiki", WIKI_ROWS)["wiki_crop/wiki.mat"][:2000]}, "wiki.mat is damaged"),
        ("imdb", {"imdb.mat": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"}, "version 7.3"),
        ("celeba", {}, "contains no list_attr_celeba.txt or list_attr_celeba.csv"),
        ("celeba", {"list_attr_celeba.txt": b"1\nYoung Male\n000001.jpg 1 1\n"}, "lacks the attributes Eyeglasses"),
        ("celeba", {"list_attr_celeba.txt": b"one line"}, "not in CelebA's format"),
        ("folder", {"a.csv": b"name,years\n"}, "must name the columns path and age"),
        ("folder", {"a.csv": b"path,age\n", "b.csv": b"path,age\n"}, "several CSV files"),
        ("folder", {"a.csv": b"\xff\xfe\x00"}, "cannot be read as CSV"),
        ("folder", {"x/1.jpg": b"x"}, "neither a CSV file nor photos in folders named young and old"),
    ],
)
def test_missing_and_damaged_metadata_are_named(
    tmp_path: Path, source: str, files: dict[str, bytes], complaint: str
) -> None:
    with pytest.raises(SourceError, match=complaint):
        read(source, raw.as_folder(tmp_path, files))


def test_paths_that_are_no_collection_are_named(tmp_path: Path) -> None:
    (tmp_path / "faces.rar").write_bytes(b"x")
    for path, complaint in ((tmp_path / "none", "does not exist"), (tmp_path / "faces.rar", "neither a folder nor")):
        with pytest.raises(SourceError, match=complaint):
            open_collection(path)


def test_photos_outside_the_collection_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    folder = Folder(raw.as_folder(tmp_path / "in", {"1.jpg": b"1"}))
    paths = ["../secret.jpg", str(tmp_path / "secret.jpg"), "1.jpg", "sub/../../secret.jpg"]
    assert contents(folder, paths) == {**dict.fromkeys(paths), "1.jpg": b"1"}
