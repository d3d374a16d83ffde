"""What metadata decide: filters, the split by person, the order of preference; and what the limits leave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scripts.preparation.duplicates import Likenesses, near_pairs
from scripts.preparation.photo import Outcome
from scripts.preparation.plan import plan
from scripts.preparation.reasons import Reason
from scripts.preparation.selection import select
from scripts.preparation.settings import Settings
from scripts.preparation.sources.table import faces_table
from scripts.preparation.workspace import Outcomes
from util.arguments import OptionError, build


def settings(**values: Any) -> Settings:
    made: Settings = build(Settings, {"input": Path("x"), **values})
    return made


def table(**columns: Any) -> pd.DataFrame:
    length = max(len(column) for column in columns.values())
    return faces_table({"path": [f"{number}.jpg" for number in range(length)], **columns})


def reasons(faces: pd.DataFrame, **values: Any) -> list[str]:
    return plan(faces, settings(**values))["reason"].tolist()


def test_ages_outside_both_ranges_are_left_out() -> None:
    ages = [19, 20, 29.9, 30, 49, 50, 59, 60, -3, 101, np.nan]
    expected = [
        Reason.OTHER_AGE,
        "",
        "",
        Reason.OTHER_AGE,
        Reason.OTHER_AGE,
        "",
        "",
        Reason.OTHER_AGE,
        Reason.IMPOSSIBLE_AGE,
        Reason.IMPOSSIBLE_AGE,
        Reason.NO_AGE,
    ]
    assert reasons(table(age=ages)) == expected
    domains = plan(table(age=[25, 55]), settings())["domain"].tolist()
    assert domains == ["A", "B"]
    assert reasons(table(age=[19, 35, 70]), young=(18, 19), old=(65, 75)) == ["", Reason.OTHER_AGE, ""]


def test_scores_are_compared_only_where_a_collection_has_them() -> None:
    scores = [1.0, 1.01, -np.inf, np.nan]
    expected = [Reason.LOW_SCORE, "", Reason.NO_FACE, Reason.NO_FACE]
    assert reasons(table(age=[25] * 4, face_score=scores)) == expected
    assert reasons(table(age=[25] * 2)) == ["", ""]
    second = table(age=[25] * 3, face_score=[5] * 3, second_face_score=[2, np.nan, -np.inf])
    assert reasons(second) == [Reason.SECOND_FACE, "", ""]
    assert reasons(second, allow_second_face=True) == ["", "", ""]


def test_gender_glasses_and_blur() -> None:
    faces = table(
        young=[True] * 4,
        gender=["female", "male", None, "female"],
        glasses=[None, True, False, True],
        blurry=[False, False, True, None],
    )
    assert reasons(faces) == ["", "", Reason.BLURRY, ""]
    assert reasons(faces, gender="female") == ["", Reason.OTHER_GENDER, Reason.NO_GENDER, ""]
    assert reasons(faces, no_glasses=True, allow_blurry=True) == ["", Reason.GLASSES, "", Reason.GLASSES]
    assert reasons(faces, balance_gender=True) == ["", "", Reason.NO_GENDER, ""]


def test_hostile_paths_are_counted_and_nothing_else() -> None:
    paths = ["../../etc/passwd.jpg", "/etc/x.jpg", "C:\\x.jpg", "a/../b.jpg", "", "a.exe", "ok.jpg", "ok.jpg", "\0.jpg"]
    expected = [Reason.OUTSIDE] * 5 + [Reason.NOT_AN_IMAGE, "", Reason.TWICE, Reason.OUTSIDE]
    assert reasons(faces_table({"path": paths, "age": [25] * len(paths)})) == expected


def test_every_row_with_a_problem_of_its_source_keeps_that_reason() -> None:
    assert reasons(table(age=[25, 25], problem=["malformed name", "malformed name"])) == ["malformed name"] * 2


def crowd(people: int, seed: int = 0) -> pd.DataFrame:
    """Five photos of each person, at ages from 15 to 65."""
    rng = np.random.default_rng(seed)
    identity = [f"p{number}" for number in range(people) for _ in range(5)]
    return faces_table(
        {
            "path": [f"{name}_{i}.jpg" for i, name in enumerate(identity)],
            "identity": identity,
            "age": rng.integers(15, 66, len(identity)),
        }
    )


def test_nobody_is_on_two_sides_of_a_split_or_in_two_domains() -> None:
    faces = crowd(400)
    made = plan(faces, settings(test_fraction=0.3))
    kept = made[made["reason"] == ""].assign(identity=faces["identity"])
    sides = kept.groupby("identity")[["phase", "domain"]].nunique()
    assert (sides == 1).all(axis=None)
    assert Reason.OTHER_DOMAIN in set(made["reason"])
    share = kept.drop_duplicates("identity")["phase"].eq("test").mean()
    assert 0.2 < share < 0.4


def test_a_person_is_kept_at_the_age_of_most_photos_and_old_at_equal_numbers() -> None:
    faces = table(identity=["a"] * 3 + ["b"] * 2, age=[25, 26, 55, 25, 55])
    assert reasons(faces) == ["", "", Reason.OTHER_DOMAIN, Reason.OTHER_DOMAIN, ""]


def test_the_split_and_the_order_stay_when_the_collection_grows() -> None:
    whole = crowd(300)
    some = whole[whole.index % 3 == 0].reset_index(drop=True)
    chosen = settings(test_fraction=0.2)
    large = plan(whole, chosen).assign(path=whole["path"]).set_index("path")
    small = plan(some, chosen).assign(path=some["path"]).set_index("path")
    assert small["phase"].equals(large.loc[small.index, "phase"])
    # One photo per person: then the order is by the hash alone.
    single = whole.drop_duplicates("identity").reset_index(drop=True)
    half = single[::2].reset_index(drop=True)
    of_all = plan(single, chosen).assign(path=single["path"]).query("order >= 0").sort_values("order")["path"]
    of_half = plan(half, chosen).assign(path=half["path"]).query("order >= 0").sort_values("order")["path"]
    assert of_half.tolist() == [path for path in of_all if path in set(half["path"])]
    other = plan(whole, settings(test_fraction=0.2, seed=1))["phase"]
    assert not other.equals(plan(whole, chosen)["phase"])


def test_unknown_people_are_each_their_own() -> None:
    made = plan(table(age=[25] * 200), settings(test_fraction=0.5))
    assert made["person"].nunique() == 200 and set(made["phase"]) == {"train", "test"}


def test_the_official_split_goes_by_person() -> None:
    faces = table(young=[True] * 4, identity=["a", "a", "b", ""], partition=["train", "test", "val", "test"])
    assert plan(faces, settings(official_split=True))["phase"].tolist() == ["test", "test", "train", "test"]


def test_the_best_photo_of_each_person_comes_first() -> None:
    made = plan(table(age=[25] * 4, identity=["a", "a", "b", "b"], face_score=[2, 9, 3, 4]), settings())
    assert set(made["order"][[1, 3]]) == {0, 1} and set(made["order"][[0, 2]]) == {2, 3}


@dataclass
class Case:
    """A plan whose photos have all been looked at, with hashes that are far apart."""

    faces: pd.DataFrame
    outcomes: Outcomes
    genders: np.ndarray

    def kept(self, **values: Any) -> np.ndarray:
        return select(self.faces, self.genders, self.outcomes, settings(**values).limits)


def case(tmp_path: Path, faces: pd.DataFrame, hashes: np.ndarray | None = None) -> Case:
    planned = plan(faces, settings(test_fraction=0.5))
    outcomes = Outcomes(tmp_path / "journal.csv", len(faces))
    codes = np.random.default_rng(0).integers(0, 256, (len(faces), 32), dtype=np.uint8) if hashes is None else hashes
    for row in np.flatnonzero(planned["order"] >= 0):
        outcomes.add(Outcome(int(row), "", 200, 200, 10, codes[row].tobytes()))
    gender = faces["gender"].astype(object)
    return Case(planned, outcomes, gender.where(gender.notna(), None).to_numpy(dtype=object))


def test_limits_count_only_what_is_kept(tmp_path: Path) -> None:
    faces = table(age=[25] * 60 + [55] * 40, identity=[f"{n // 5}" for n in range(100)])
    some = case(tmp_path, faces)
    kept = some.kept(max_per_class=30)
    assert [(kept[:60] == "").sum(), (kept[60:] == "").sum()] == [30, 30]
    few = some.kept(max_per_identity=2)
    assert pd.Series(few == "").groupby(faces["identity"]).sum().eq(2).all()
    assert (few == Reason.IDENTITY_LIMIT).sum() == 60
    # A photo that turns out bad makes room for another of the same person.
    bad = int(np.flatnonzero(few == "")[0])
    some.outcomes.add(Outcome(bad, Reason.GREY, 200, 200))
    again = some.kept(max_per_identity=2)
    assert again[bad] == Reason.GREY
    assert pd.Series(again == "").groupby(faces["identity"]).sum().eq(2).all()
    # With as many as one photo of each person, all people are there.
    assert faces["identity"][some.kept(max_per_class=12) == ""].iloc[:12].nunique() == 12


def test_women_and_men_are_equally_many_in_each_folder(tmp_path: Path) -> None:
    genders = np.random.default_rng(1).choice(["female", "male"], 300, p=[0.3, 0.7])
    some = case(tmp_path, table(age=[25] * 200 + [55] * 100, gender=genders))
    for limit in (None, 80):
        kept = some.kept(balance_gender=True, max_per_class=limit) == ""
        groups = pd.crosstab([some.faces["phase"][kept], some.faces["domain"][kept]], some.genders[kept])
        assert (groups["female"] == groups["male"]).all() and (groups["female"] > 0).all() and len(groups) == 4
        if limit:
            assert some.faces["domain"][kept].value_counts().max() <= limit


def test_of_near_duplicates_the_preferred_one_is_kept(tmp_path: Path) -> None:
    hashes = np.random.default_rng(3).integers(0, 256, (6, 32), dtype=np.uint8)
    hashes[1] = hashes[0]  # a copy
    hashes[3] = hashes[2] ^ np.eye(1, 32, 5, dtype=np.uint8)[0] * 0b1011  # three bits apart
    some = case(tmp_path, table(age=[25, 55, 25, 25, 55, 55]), hashes)
    kept = some.kept()
    assert sorted(np.flatnonzero(kept == Reason.DUPLICATE) // 2) == [0, 1] and (kept == "").sum() == 4
    order = some.faces["order"].to_numpy()
    for pair in ([0, 1], [2, 3]):
        assert kept[min(pair, key=lambda row: order[row])] == ""
    assert (some.kept(duplicate_distance=2) == Reason.DUPLICATE).sum() == 1
    assert (some.kept(duplicate_distance=-1) == "").all()


def test_the_journal_gives_back_what_it_was_given_and_drops_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.csv"
    outcomes = Outcomes(path, 5)
    landmarks = tuple(np.arange(10) + 0.25)
    outcomes.add(Outcome(2, "", 300, 200, 1234, bytes(range(32)), landmarks=landmarks))
    outcomes.add(Outcome(4, Reason.UNREADABLE, detail='OSError: "a, b",\nc'))
    outcomes.close()
    whole = path.read_bytes()
    line = b"3,,1,2,3,ff,,\n"
    for end in (b"", b"1,grey", b'3,"', b"3,,1,2", b"\0" * 500, line, b"99,grey,1,1,0,,,\n", b"3,,1,1,3,,,1 2 nan\n"):
        path.write_bytes(whole + end)
        again = Outcomes(path, 5)
        again.close()
        assert path.read_bytes() == whole
        assert again.is_done.tolist() == [False, False, True, False, True]
        assert again.passed.tolist() == [False, False, True, False, False]
        assert (again.width[2], again.height[2], again.file_size[2]) == (300, 200, 1234)
        assert again.hashes[2].tobytes() == bytes(range(32)) and again.details[4] == 'OSError: "a, b", c'
        assert again.landmarks == {2: landmarks}


@pytest.mark.parametrize("distance", [0, 1, 7, 20])
def test_all_near_pairs_are_found_and_no_other(distance: int) -> None:
    rng = np.random.default_rng(distance)
    base = rng.integers(0, 2, (40, 256), dtype=np.uint8)
    copies = base.repeat(6, axis=0)
    for row, flips in zip(copies, rng.integers(0, 30, len(copies)), strict=True):
        row[rng.choice(256, flips, replace=False)] ^= 1
    hashes = np.unique(np.packbits(copies, axis=1), axis=0)
    bits = np.unpackbits(hashes, axis=1).astype(int)
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {(a, b) for a, b in zip(*np.nonzero(apart <= distance), strict=True) if a < b}
    found = {tuple(sorted(pair)) for pair in near_pairs(hashes, distance)}
    assert found == expected and (distance < 7 or len(expected) > 10)


def test_a_hundred_thousand_equal_photos_are_one_group() -> None:
    likenesses = Likenesses(np.zeros((100_000, 32), dtype=np.uint8), 20)
    assert likenesses.like(99_999) == {0} and set(likenesses.group) == {0}


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"young": (29, 20)}, "--young 29-20"),
        ({"young": (20, 55)}, "--young must end before"),
        ({"test_fraction": 1.0}, "--test_fraction 1.0"),
        ({"max_per_class": 0}, "--max_per_class 0"),
        ({"size": 4}, "--size 4"),
        ({"margin": 0.4, "mode": "copy"}, "--margin 0.4"),
        ({"quality": 0}, "--quality 0"),
        ({"duplicate_distance": 60}, "--duplicate_distance 60"),
        ({"processes": 0}, "--processes 0"),
        ({"input": None}, "--input"),
        ({"young_dir": Path("x")}, "--young_dir and --old_dir"),
    ],
)
def test_impossible_options_are_named(values: dict[str, Any], flag: str) -> None:
    with pytest.raises(OptionError, match=flag):
        settings(**values)
