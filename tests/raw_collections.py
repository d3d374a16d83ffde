"""Small collections in the formats of the public ones, to prepare training sets from.

The formats are those that the collections' own pages and readers describe: IMDB-WIKI's struct of 1 x N fields, CelebA's
text files (a line with the number of photos, a line of names, then values padded with spaces), CACD's struct of N x 1
fields with `celebrityData` beside it, UTKFace's file names.
"""

from __future__ import annotations

import datetime
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

Files = dict[str, bytes]
"""Contents by path, with forward slashes."""


def picture(seed: int, width: int = 200, height: int = 200) -> Image.Image:
    """A colourful picture that is like no picture of another seed, with less of the finer detail, as photos have."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128.0)
    for cells_across, strength in ((5, 60), (9, 40), (17, 25), (33, 15)):
        coarse = Image.fromarray(rng.integers(0, 256, (cells_across, cells_across, 3), dtype=np.uint8))
        pixels += strength * (np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 127.5 - 1)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encode(image: Image.Image, format: str = "JPEG", quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": quality} if format == "JPEG" else {}))
    return buffer.getvalue()


def photo(seed: int, width: int = 200, height: int = 200) -> bytes:
    return encode(picture(seed, width, height))


def datenum(year: int, month: int = 7, day: int = 1) -> int:
    """MATLAB's serial number of a day."""
    return datetime.date(year, month, day).toordinal() + 366


def cells(values: Sequence[Any], shape: tuple[int, int]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def mat(variables: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, dict(variables))
    return buffer.getvalue()


def imdb_wiki(database: str, rows: Sequence[Mapping[str, Any]]) -> Files:
    """`wiki.mat` or `imdb.mat` and a photo for each row that has a picture.

    A row has path, born and taken (years), and if wanted gender, face_score, second_face_score, box, picture.
    """
    n = len(rows)
    row = (1, n)

    def values(name: str, default: float) -> np.ndarray:
        return np.array([[float(r.get(name, default)) for r in rows]])

    struct: dict[str, Any] = {
        "dob": np.array([[r["dob"] if "dob" in r else datenum(r["born"]) for r in rows]], dtype=np.int32),
        "photo_taken": np.array([[r["taken"] for r in rows]], dtype=np.uint16),
        "full_path": cells([r["path"] for r in rows], row),
        "gender": values("gender", 1),
        "name": cells([r.get("name", "Somebody") for r in rows], row),
        "face_location": cells([np.array([r.get("box", [1, 1, 100, 100])], dtype=float) for r in rows], row),
        "face_score": values("face_score", 3),
        "second_face_score": values("second_face_score", np.nan),
    }
    if database == "imdb":
        struct["celeb_names"] = cells(sorted({r.get("name", "Somebody") for r in rows}), (1, -1))
        struct["celeb_id"] = np.array([[float(r.get("celeb_id", 1)) for r in rows]])
    photos = {f"{database}_crop/{r['path']}": r["picture"] for r in rows if r.get("picture")}
    return {f"{database}_crop/{database}.mat": mat({database: struct}), **photos}


LISTED = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
Wearing_Necktie Young
"""
CELEBA_NAMES = LISTED.split()


def celeba(rows: Sequence[Mapping[str, Any]], *, identities: bool = True) -> Files:
    """CelebA's files. A row has the set of attributes that hold, person, and if wanted partition (0, 1, 2)."""
    names = [f"{number:06d}.jpg" for number in range(1, len(rows) + 1)]
    lines = [str(len(rows)), " ".join(CELEBA_NAMES) + " "]
    for name, row in zip(names, rows, strict=True):
        lines.append(f"{name} " + " ".join(f"{1 if a in row['attributes'] else -1:2d}" for a in CELEBA_NAMES))
    files = {"Anno/list_attr_celeba.txt": "\n".join(lines).encode() + b"\n"}
    partition = "".join(f"{name} {row.get('partition', 0)}\n" for name, row in zip(names, rows, strict=True))
    files["Eval/list_eval_partition.txt"] = partition.encode()
    if identities:
        pairs = "".join(f"{name} {row['person']}\n" for name, row in zip(names, rows, strict=True))
        files["Anno/identity_CelebA.txt"] = pairs.encode()
    photos = {f"Img/img_align_celeba/{name}": photo(seed, 178, 218) for seed, name in enumerate(names)}
    return {**files, **photos}


def cacd(rows: Sequence[Mapping[str, Any]]) -> Files:
    """CACD2000's metadata and photos. A row has age, identity, person (a name), and if wanted no_photo."""
    n = len(rows)

    def column(name: str, dtype: type) -> np.ndarray:
        return np.array([[r.get(name, 1)] for r in rows], dtype=dtype)

    names = [f"{r['age']}_{r['person']}_{number:04d}.jpg" for number, r in enumerate(rows, start=1)]
    images = {
        "age": column("age", np.uint8),
        "identity": column("identity", np.uint16),
        "year": column("year", np.uint16),
        "feature": np.zeros((0, 0)),
        "rank": column("rank", np.uint8),
        "lfw": column("lfw", np.uint8),
        "birth": column("birth", np.uint16),
        "name": cells(names, (n, 1)),
    }
    people = {"name": cells(sorted({r["person"] for r in rows}), (-1, 1)), "identity": np.array([[1]])}
    photos = {
        f"CACD2000/{name}": photo(seed, 250, 250) for seed, name in enumerate(names) if not rows[seed].get("no_photo")
    }
    return {"celebrity2000_meta.mat": mat({"celebrityData": people, "celebrityImageData": images}), **photos}


def as_folder(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def as_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def as_tar(path: Path, files: Files, *others: tarfile.TarInfo) -> Path:
    """A tar file, compressed as its name says; `others` are members of other kinds."""
    kind = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, kind) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in others:
            archive.addfile(info)
    return path


def wiki_people(young: int = 12, old: int = 8, *, first: int = 0) -> Files:
    """A small wiki collection, all of whose photos are good."""
    rows = []
    for number in range(first, first + young + old):
        born = 1980 if number - first < young else 1950
        key = 1000 + number
        rows.append(
            {
                "path": f"{key % 100:02d}/{key}_{born}-07-01_2005.jpg",
                "born": born,
                "taken": 2005,
                "gender": number % 2,
                "picture": photo(number),
            }
        )
    return imdb_wiki("wiki", rows)
