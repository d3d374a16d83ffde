"""Tables and photos as people have them: zipped or not, of other endings, separators and names, with absolute paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from raw_collections import CELEBA_NAMES, Files, as_folder, as_zip, celeba, imdb_wiki, photo

from scripts.preparation.errors import SourceError
from scripts.preparation.settings import InputOptions
from scripts.preparation.sources import SOURCES
from scripts.preparation.sources.collection import Collection, open_collection
from scripts.preparation.sources.folder import ages_of, read_folder
from scripts.preparation.sources.matching import Matcher
from util.arguments import OptionError

IN_BOTH = pytest.mark.parametrize("pack", [as_folder, as_zip])


def opened(path: Path, files: Files, pack: Callable, source: str = "folder") -> Collection:
    """The files as a folder or as an archive."""
    return open_collection(pack(path / ("c" if pack is as_folder else "c.zip"), files), SOURCES[source].photo_folders)


def found(collection: Collection, table: pd.DataFrame) -> list[str]:
    """The paths of the table whose photos are there."""
    wanted = {path: number for number, path in enumerate(table["path"])}
    present = {number for number, content in collection.photos(wanted) if content is not None}
    return [path for path, number in wanted.items() if number in present]


TABLES = {
    "bare names": "path,age\n1.jpg,20\n2.jpg,30\n",
    "a byte order mark and semicolons": "\ufeffpath;age\n1.jpg;20\n2.jpg;30\n",
    "tabs": "path\tage\n1.jpg\t20\n2.jpg\t30\n",
    "backslashes": "path,age\nimg\\1.jpg,20\nimg\\2.jpg,30\n",
    "absolute": "path,age\n/home/me/faces/img/1.jpg,20\n/home/me/faces/img/2.jpg,30\n",
    "absolute, of Windows": "path,age\nC:\\faces\\img\\1.jpg,20\nC:\\faces\\img\\2.jpg,30\n",
    "other endings": "path,age\n1.png,20\nimg/2.jpeg,30\n",
    "ranges": "path,age\n1.jpg,15-25\n2.jpg,25 - 35\n",
}


@IN_BOTH
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_one_rule_finds_photos_in_folders_and_archives(tmp_path: Path, pack: Callable, table: str) -> None:
    files = {"table.csv": table.encode(), "img/1.jpg": photo(1), "img/2.jpg": photo(2), "img/21.jpg": photo(3)}
    collection = opened(tmp_path, files, pack)
    rows = read_folder(collection)
    assert rows["age"].tolist() == [20, 30]
    assert found(collection, rows) == rows["path"].tolist()


def test_a_path_that_could_mean_two_files_means_none() -> None:
    matcher = Matcher(["/x/a/1.jpg", "/x/b/1.jpg", "2.jpg", "in/2.jpg"])
    assert matcher.find("photos/a/1.jpg") == "/x/a/1.jpg" and matcher.find("1.jpg") is None
    assert matcher.find("in/2.jpg") == "in/2.jpg" and matcher.find("out/2.jpg") == "2.jpg"
    assert Matcher(["1.jpg", "1.png"], any_ending=True).find("1.gif") is None


@IN_BOTH
def test_a_photo_of_the_tables_own_ending_goes_before_others(tmp_path: Path, pack: Callable) -> None:
    files = {"t.csv": b"path,age\n1.jpg,20\n", "a/1.gif": b"another", "b/1.jpg": b"this"}
    collection = opened(tmp_path, files, pack)
    contents = [content for _, content in collection.photos({"1.jpg": 0})]
    assert [each.read_bytes() if isinstance(each, Path) else each for each in contents] == [b"this"]


@IN_BOTH
def test_celeba_as_copies_have_it(tmp_path: Path, pack: Callable) -> None:
    """Attributes of 0 and 1, semicolons, and PNG files where the table says .jpg."""
    whole = celeba([{"attributes": {"Young", "Male"}, "person": 1}, {"attributes": {"Eyeglasses"}, "person": 2}])
    lines = whole["Anno/list_attr_celeba.txt"].decode().replace("-1", " 0").splitlines()[2:]
    table = "\n".join([";".join(["image_id", *CELEBA_NAMES]), *(";".join(line.split()) for line in lines)])
    files = {
        "list_attr_celeba.csv": table.encode(),
        "img_align_celeba/000001.png": photo(1, 178, 218),
        "img_align_celeba/000002.png": photo(2, 178, 218),
    }
    collection = opened(tmp_path, files, pack, "celeba")
    rows = SOURCES["celeba"].read(collection)
    assert rows["young"].tolist() == [True, False] and rows["gender"].tolist() == ["male", "female"]
    assert rows["glasses"].tolist() == [False, True]
    assert found(collection, rows) == ["000001.jpg", "000002.jpg"]


def test_columns_may_have_names_of_their_own(tmp_path: Path) -> None:
    collection = opened(tmp_path, {"t.csv": b"File_Name,real_age\n1.jpg,20-29\n"}, as_folder)
    called = InputOptions(input=tmp_path, columns="path=file_name, age=real_age").called
    assert read_folder(collection, called)["age"].tolist() == [24.5]
    with pytest.raises(SourceError, match=r"but has file_name, real_age; .*--columns path=file_name,age=real_age"):
        read_folder(collection)
    with pytest.raises(SourceError, match=r"t\.csv has no column years; it has file_name, real_age"):
        read_folder(collection, {"age": "years"})
    with pytest.raises(OptionError, match=r"--columns years=a: expected KNOWN=NAME"):
        _ = InputOptions(input=tmp_path, columns="years=a").called
    assert np.isnan(ages_of(pd.Series(["old", "20-", "", None])).astype(float)).all()


@pytest.mark.parametrize("mat", [None, b"no MATLAB file", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"])
def test_imdb_wiki_ages_come_from_names_where_the_table_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mat: bytes | None
) -> None:
    names = ["17/10000217_1981-05-05_2009.jpg", "48/nm0000048_rm1_1940-1-2_1975.jpg", "00/7_1700-01-01_2009.jpg"]
    files: Files = {f"wiki_crop/{name}": b"x" for name in [*names, "holiday.jpg"]}
    files |= {} if mat is None else {"wiki_crop/wiki.mat": mat}
    rows = SOURCES["wiki"].read(opened(tmp_path, files, as_folder, "wiki")).sort_values("path")
    assert rows["problem"].tolist() == ["impossible date", "", ""]
    assert rows["age"].tolist()[1:] == [28, 35] and rows["identity"].tolist() == ["7", "10000217", "nm0000048"]
    assert "are read from the names of the 3 photos" in capsys.readouterr().out
    whole = imdb_wiki("wiki", [{"path": names[0], "born": 1981, "taken": 2009, "picture": b"x"}])
    full = SOURCES["wiki"].read(opened(tmp_path / "whole", whole, as_folder, "wiki"))
    assert full["age"].tolist() == [28], "the same age as the table says"


@IN_BOTH
def test_photos_that_cannot_be_read_are_counted_by_ending(tmp_path: Path, pack: Callable) -> None:
    files = {"t.csv": b"path,age\n", "a/1.jpg": b"x", "a/2.NEF": b"x", "b/3.nef": b"x", "4.psd": b"x"}
    assert opened(tmp_path, files, pack).left_out() == {".nef": 2, ".psd": 1}
