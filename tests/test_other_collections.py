"""Collections as their users have them: Kaggle's CelebA, FFHQ-Aging, AgeDB, FG-NET, APPA-REAL, CACD in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import raw_collections as raw

from scripts.preparation.errors import SourceError
from scripts.preparation.sources import SOURCES
from scripts.preparation.sources.collection import open_collection


def read(name: str, path: Path) -> pd.DataFrame:
    source = SOURCES[name]
    return source.read(open_collection(path, source.photo_folders))


def found(name: str, path: Path, table: pd.DataFrame) -> dict[str, bool]:
    """Whether the collection has a photo for each of the table's paths."""
    collection = open_collection(path, SOURCES[name].photo_folders)
    wanted = {photo: number for number, photo in enumerate(table["path"])}
    there = {number: photo is not None for number, photo in collection.photos(wanted)}
    return {photo: there[number] for photo, number in wanted.items()}


KAGGLE_CELEBA = {
    "list_attr_celeba.csv": "image_id,"
    + ",".join(raw.CELEBA_NAMES)
    + "\n"
    + "000001.jpg,"
    + ",".join("1" if name in ("Young", "Smiling") else "-1" for name in raw.CELEBA_NAMES)
    + "\n"
    + "000002.jpg,"
    + ",".join("1" if name in ("Male", "Eyeglasses") else "-1" for name in raw.CELEBA_NAMES)
    + "\n",
    "list_eval_partition.csv": "image_id,partition\n000001.jpg,0\n000002.jpg,2\n",
    "list_bbox_celeba.csv": "image_id,x_1,y_1,width,height\n000001.jpg,95,71,226,313\n000002.jpg,72,94,221,306\n",
    "list_landmarks_align_celeba.csv": "image_id,lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y,leftmouth_x,"
    "leftmouth_y,rightmouth_x,rightmouth_y\n000001.jpg,69,109,106,113,77,142,73,152,108,154\n"
    "000002.jpg,69,110,107,112,81,135,70,151,108,153\n",
}


@pytest.mark.parametrize("kind", ["folder", "zip", "zip in a folder"])
def test_celeba_as_kaggle_has_it(tmp_path: Path, kind: str) -> None:
    photos = {f"img_align_celeba/img_align_celeba/00000{n}.jpg": raw.photo(n, 178, 218) for n in (1, 2)}
    files = {name: text.encode() for name, text in KAGGLE_CELEBA.items()}
    if kind == "folder":
        path = raw.as_folder(tmp_path / "celeba", {**files, **photos})
    elif kind == "zip":
        path = raw.as_zip(tmp_path / "archive.zip", {**files, **photos})
    else:
        path = raw.as_folder(tmp_path / "celeba", files)
        raw.as_zip(path / "img_align_celeba.zip", photos)
    table = read("celeba", path)
    assert table["young"].tolist() == [True, False]
    assert table["gender"].tolist() == ["female", "male"]
    assert table["glasses"].tolist() == [False, True]
    assert table["partition"].tolist() == ["train", "test"] and table["identity"].tolist() == ["", ""]
    assert all(found("celeba", path, table).values())


FFHQ = """image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch,head_roll,head_yaw,\
left_eye_occluded,right_eye_occluded,glasses
0,20-29,1,male,1,-3.5,1.2,4.5,0.1,0.2,None
1,50-69,0.8,female,0.5,2,1,-12,0.0,3.0,Normal
2,20-29,0.5,female,1,0,0,0,0,0,None
3,20-29,1,female,1,0,0,55.5,0,0,None
4,50-69,1,male,1,0,0,0,0,0,Dark
5,50-69,1,male,1,0,0,0,95,1,None
69000,70-120,1,female,1,-1,-1,-1,-1,-1,-1
7,50-6"""


@pytest.mark.parametrize("layout", ["images256x256/{:05d}.png", "images1024x1024/00000/{:05d}.png", "{:05d}.jpg"])
def test_ffhq_aging(tmp_path: Path, layout: str) -> None:
    photos = {layout.format(number): b"photo" for number in range(5)}
    photos |= {"thumbnails128x128/00000.png": b"small", "ffhq_aging/parsings/00001.png": b"map"}
    path = raw.as_folder(tmp_path / "ffhq", {"ffhq_aging_labels.csv": FFHQ.encode(), **photos})
    table = read("ffhq_aging", path)
    np.testing.assert_array_equal(table["age"], [24.5, 59.5, 24.5, 24.5, 59.5, 59.5, 95.0])
    assert table["gender"].isna().tolist() == [False, True, False, False, False, False, False]
    assert table["glasses"].fillna(False).tolist() == [False, True, False, False, True, False, False]
    assert table["problem"].tolist() == [
        "",
        "",
        "age group uncertain",
        "face turned away",
        "eyes covered",
        "eyes covered",
        "",
    ]
    assert table["partition"].tolist() == ["train"] * 6 + ["test"]
    assert table["path"][0] == layout.format(0)
    assert list(found("ffhq_aging", path, table).values()) == [True] * 5 + [False] * 2


def test_ffhq_aging_from_an_archive(tmp_path: Path) -> None:
    folder = raw.as_folder(tmp_path / "ffhq", {"ffhq_aging_labels.csv": FFHQ.encode()})
    raw.as_zip(folder / "thumbnails.zip", {"ffhq/00000.png": b"one", "ffhq/00001.png": b"two"})
    table = read("ffhq_aging", folder)
    assert list(found("ffhq_aging", folder, table).values())[:3] == [True, True, False]


ODD_NUMBERS = b"""image_number,age_group,gender,head_yaw
1e400,20-29,male,inf
-1,20-29,male,0
99999999999999999999,50-69,female,nan
../../0,50-69,female,0
"""


def test_labels_of_another_format_are_told(tmp_path: Path) -> None:
    path = raw.as_folder(tmp_path / "ffhq", {"ffhq_aging_labels.csv": b"image,age\n0,20-29\n"})
    with pytest.raises(
        SourceError, match=r"ffhq_aging_labels\.csv must have the columns image_number, age_group, gender"
    ):
        read("ffhq_aging", path)
    assert read("ffhq_aging", raw.as_folder(tmp_path / "odd", {"ffhq_aging_labels.csv": ODD_NUMBERS})).empty
    with pytest.raises(SourceError, match=r"contains no ffhq_aging_labels\.csv"):
        read("ffhq_aging", raw.as_folder(tmp_path / "empty", {"a.png": b"x"}))


def test_agedb(tmp_path: Path) -> None:
    names = ["AgeDB/0_MariaCallas_35_f.jpg", "AgeDB/10044_Robert_De_Niro_52_m.jpg", "AgeDB/12_Nobody_f.jpg"]
    table = read("agedb", raw.as_zip(tmp_path / "AgeDB.zip", dict.fromkeys(names, b"x")))
    assert table["path"].tolist() == names
    assert table["gender"].tolist()[:2] == ["female", "male"]
    assert table["identity"].tolist() == ["MariaCallas", "Robert_De_Niro", ""]
    assert table["problem"].tolist() == ["", "", "malformed name"]
    np.testing.assert_array_equal(table["age"], [35, 52, np.nan])


def test_fgnet(tmp_path: Path) -> None:
    names = ["FGNET/images/001A02.JPG", "FGNET/images/010A07b.jpg", "FGNET/images/078a11.JPG", "FGNET/points/map.jpg"]
    table = read("fgnet", raw.as_folder(tmp_path, dict.fromkeys(names, b"x")))
    assert table["identity"].tolist() == ["001", "010", "078", ""]
    np.testing.assert_array_equal(table["age"], [2, 7, 11, np.nan])
    assert table["gender"].isna().all()


APPA_REAL = {
    "gt_avg_train.csv": b"file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    b"000000.jpg,36,5.055556,1.21,4\n000001.jpg,37,24.054054,3.4,27\n000002.jpg,38,51",
    "gt_avg_test.csv": b"file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n005613.jpg,40,57.3,6.1,55\n",
    "allcategories_train.csv": b"file,gender,race,makeup,time,happiness\n"
    b"000001.jpg,female,caucasian,makeup,modernphoto,happy\n000000.jpg,male,asian,nomakeup,modernphoto,neutral\n",
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_appa_real(tmp_path: Path, kind: str) -> None:
    photos = [f"train/00000{n}.jpg{end}" for n in (0, 1) for end in ("", "_face.jpg")] + ["test/005613.jpg_face.jpg"]
    files = {**APPA_REAL, **dict.fromkeys(photos, b"x")}
    files = {f"appa-real-release/{name}": content for name, content in files.items()}
    path = raw.as_folder(tmp_path, files) if kind == "folder" else raw.as_zip(tmp_path / "appa.zip", files)
    table = read("appa_real", path)
    assert table["path"].tolist() == [
        "train/000000.jpg_face.jpg",
        "train/000001.jpg_face.jpg",
        "test/005613.jpg_face.jpg",
    ]
    np.testing.assert_array_equal(table["age"], [4, 27, 55])
    assert table["gender"].tolist()[:2] == ["male", "female"] and pd.isna(table["gender"][2])
    assert table["race"].tolist() == ["asian", "caucasian", ""]
    assert table["partition"].tolist() == ["train", "train", "test"]
    assert all(found("appa_real", path, table).values())


def test_appa_real_needs_its_ages(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"contains no gt_avg_train\.csv"):
        read("appa_real", raw.as_folder(tmp_path, {"train/000000.jpg": b"x"}))


def test_cacd_in_folders_of_people(tmp_path: Path) -> None:
    names = ["CACD/Aaron_Johnson/14_Aaron_Johnson_0001.jpg", "CACD/Zoe_Saldana/31_Zoe_Saldana_0012.jpg"]
    table = read("cacd", raw.as_folder(tmp_path, dict.fromkeys(names, b"x")))
    assert table["identity"].tolist() == ["Aaron_Johnson", "Zoe_Saldana"]
    np.testing.assert_array_equal(table["age"], [14, 31])
