# ruff: noqa: RUF001
"""Real files of every kind that is read, small, to be mutated; and files built to do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from processes import ROOT
from raw_collections import cacd, celeba, photo, picture, wiki_people

WIKI_FACES = Path(os.environ.get("WIKI_FACES", ROOT.parent / "shared" / "wiki_faces")) / "wiki_crop"


def images() -> list[bytes]:
    """Photos in all formats that are read, in their variants, and in some that are not; real faces where present."""
    colour, small = picture(1, 60, 48), picture(2, 40, 40)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "described"
    palette = small.convert("P")
    palette.info["transparency"] = 3
    deep = Image.fromarray((np.arange(1600, dtype=np.uint16) * 40).reshape(40, 40))
    real = Image.fromarray(np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40))
    variants: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colour, "JPEG", {}),
        (colour, "JPEG", {"progressive": True, "exif": exif, "icc_profile": bytes(200)}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour.convert("L"), "JPEG", {"comment": b"a comment"}),
        (colour, "PNG", {"exif": exif, "icc_profile": bytes(300)}),
        (colour.convert("RGBA"), "PNG", {}),
        (palette, "PNG", {}),
        (deep, "PNG", {}),
        (small.convert("1"), "PNG", {}),
        (colour, "BMP", {}),
        (palette, "BMP", {}),
        (colour, "PPM", {}),
        (deep, "PPM", {}),
        (colour, "TIFF", {"exif": exif}),
        (colour, "TIFF", {"compression": "tiff_lzw"}),
        (colour, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (colour, "TIFF", {"compression": "jpeg"}),
        (deep, "TIFF", {}),
        (real, "TIFF", {}),
        (small.convert("1"), "TIFF", {"compression": "group4"}),
        (colour, "WEBP", {}),
        (colour, "WEBP", {"lossless": True, "exif": exif}),
        (small, "WEBP", {"save_all": True, "append_images": [picture(3, 40, 40)]}),
        (small, "GIF", {"save_all": True, "append_images": [picture(3, 40, 40)]}),
        (small, "MPO", {"save_all": True, "append_images": [picture(3, 40, 40)]}),
        (small, "EPS", {}),
        (small, "ICO", {}),
        (small, "JPEG2000", {}),
        (small, "TGA", {}),
    ]
    made = [_encoded(*variant) for variant in variants]
    faces = sorted(WIKI_FACES.rglob("*.jpg"))[:8] if WIKI_FACES.is_dir() else []
    return made + [path.read_bytes() for path in faces]


def _encoded(image: Image.Image, format: str, settings: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def png(width: int, height: int, pixels: bytes = b"", depth: int = 8, colour: int = 2, *extra: bytes) -> bytes:
    """A PNG file of any size in its header; `pixels` are rows, filter bytes included; `extra` are chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(pixels, 1))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_size(content: bytes, width: int, height: int) -> bytes:
    """An image file whose header claims another size; the file itself for formats that are not known here."""
    if content.startswith(b"\x89PNG"):
        header = struct.pack(">II", width & 0x7FFFFFFF, height & 0x7FFFFFFF) + content[24:29]
        return content[:8] + chunk(b"IHDR", header) + content[33:]
    if content.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            place = content.find(marker)
            if place > 0:
                return content[: place + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + content[place + 9 :]
    if content.startswith(b"BM"):
        return content[:18] + struct.pack("<II", width & 0xFFFFFFFF, height & 0xFFFFFFFF) + content[26:]
    if content.startswith((b"P5", b"P6")):
        return content[:3] + f"{width} {height}\n255\n".encode() + content[15:]
    if content.startswith((b"II*\0", b"MM\0*")):
        return _tiff_with_size(content, width, height)
    if content.startswith(b"GIF8"):
        return content[:6] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + content[10:]
    if content[8:16] == b"WEBPVP8X":
        return (
            content[:24]
            + struct.pack("<I", width & 0xFFFFFF)[:3]
            + struct.pack("<I", height & 0xFFFFFF)[:3]
            + content[30:]
        )
    return content


def _tiff_with_size(content: bytes, width: int, height: int) -> bytes:
    order = "<" if content[:2] == b"II" else ">"
    changed = bytearray(content)
    start = struct.unpack_from(order + "I", content, 4)[0]
    for entry in range(struct.unpack_from(order + "H", content, start)[0]):
        place = start + 2 + 12 * entry
        tag = struct.unpack_from(order + "H", content, place)[0]
        if tag in (256, 257):
            value = (width if tag == 256 else height) & 0xFFFFFFFF
            struct.pack_into(order + "HII", changed, place + 2, 4, 1, value)
    return bytes(changed)


def matlab_files() -> dict[str, list[bytes]]:
    """Metadata of MATLAB collections by source, plain and compressed."""
    from scipy.io import loadmat

    wiki = wiki_people(6, 4)["wiki_crop/wiki.mat"]
    rows = [{"age": 22 + 30 * (n % 2), "identity": n, "person": f"P_{n}"} for n in range(8)]
    aged = cacd(rows)["celebrity2000_meta.mat"]
    files = {"wiki": [wiki], "cacd": [aged]}
    for source, made in files.items():
        variables = {name: value for name, value in loadmat(io.BytesIO(made[0])).items() if not name.startswith("__")}
        buffer = io.BytesIO()
        from scipy.io import savemat

        savemat(buffer, variables, do_compression=True)
        files[source].append(buffer.getvalue())
    if WIKI_FACES.is_dir():
        files["wiki"].append((WIKI_FACES / "wiki.mat").read_bytes()[: 2**16])
    return files


MATLAB_NAMES = {"wiki": "wiki.mat", "cacd": "celebrity2000_meta.mat"}


def element(kind: int, content: bytes) -> bytes:
    """An element of a MATLAB 5 file, padded."""
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, dimensions: tuple[int, ...], name: bytes, *content: bytes) -> bytes:
    """A matrix of a MATLAB 5 file, whatever its header claims. kind: 1 cell, 2 struct, 4 char, 6 double."""
    sizes = struct.pack(f"<{len(dimensions)}i", *dimensions)
    return element(
        14, element(6, struct.pack("<II", kind, 0)) + element(5, sizes) + element(1, name) + b"".join(content)
    )


def matlab_file(*elements: bytes) -> bytes:
    """A MATLAB 5 file of these elements."""
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements)


def struct_of(name: bytes, fields: dict[bytes, bytes]) -> bytes:
    """A 1 x 1 struct whose fields are matrices."""
    names = b"".join(field.ljust(32, b"\0") for field in fields)
    return matrix(2, (1, 1), name, struct.pack("<HHI", 5, 4, 32), element(1, names), *fields.values())


def text_files() -> list[tuple[str, dict[str, bytes]]]:
    """Sources with their metadata in text."""
    attributes = [{"Young"}, {"Male"}, {"Young", "Eyeglasses"}, {"Blurry"}]
    faces = celeba([{"attributes": attributes[n % 4], "person": n, "partition": n % 3} for n in range(8)])
    texts = {name: content for name, content in faces.items() if name.endswith(".txt")}
    attribute_text = texts["Anno/list_attr_celeba.txt"].decode().splitlines()
    with_commas = "\n".join(",".join(line.split()) for line in attribute_text[1:])
    table = "path,age,gender,identity,glasses,blurry\n"
    table += "".join(f"{n}.jpg,{22 if n % 2 else 55},{'mf'[n % 2]},p{n},no,no\n" for n in range(8))
    flags = "path,young\n" + "".join(f"{n}.jpg,{'yes' if n % 2 else 'no'}\n" for n in range(8))
    labels = "image_number,age_group,gender,gender_confidence,head_yaw,glasses\n"
    labels += "".join(f"{n},{'20-29' if n % 2 else '50-69'},male,1,{n},None\n" for n in range(8))
    ages = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    ages += "".join(f"{n}.jpg,30,24.5,2.5,{22 if n % 2 else 55}\n" for n in range(8))
    people = "file,gender,race\n" + "".join(f"{n}.jpg,female,asian\n" for n in range(8))
    return [
        ("celeba", texts),
        ("celeba", {"list_attr_celeba.csv": ("image_id," + with_commas).encode()}),
        ("folder", {"faces.csv": table.encode()}),
        ("folder", {"faces.csv": b"\xef\xbb\xbf" + flags.encode()}),
        ("ffhq_aging", {"ffhq_aging_labels.csv": labels.encode()}),
        ("appa_real", {"gt_avg_train.csv": ages.encode(), "allcategories_train.csv": people.encode()}),
    ]


PHOTOS = {
    f"{folder}/{number}.jpg": photo(number, 24, 24)
    for number, folder in enumerate(("trainA", "trainB", "testA", "testB"))
}


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in members.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
    return buffer.getvalue()


LONG = {f"{'deep/' * 30}trainA/{'ä' * 60}.jpg": b"long name"}
COMPRESSIONS = {
    ".tar": lambda content: content,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def archives() -> list[tuple[str, bytes]]:
    """Names and contents of archives of every kind."""
    members = {**PHOTOS, "notes.txt": b"notes", **LONG}
    tars = [tar_of(members, form) for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)]
    made = [(f"faces{suffix}", pack(content)) for suffix, pack in COMPRESSIONS.items() for content in tars]
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return made + [("faces.zip", zip_of(members, method)) for method in methods]


def tar_header(name: bytes, size: int, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """A header block of a tar file, with its checksum right, whatever it says."""
    field = f"{size:011o}\0".encode() if 0 <= size < 8**11 else b"\x80" + size.to_bytes(11, "big", signed=True)[-11:]
    field = b"\xff" + size.to_bytes(11, "big", signed=True) if size < 0 else field
    block = bytearray(512)
    for place, value in (
        (0, name[:100]),
        (100, b"0000644\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (124, field),
        (136, b"00000000000\0"),
        (148, b" " * 8),
        (156, kind),
        (157, link[:100]),
        (257, b"ustar\x0000"),
    ):
        block[place : place + len(value)] = value
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def pax(**records: str) -> bytes:
    """A PAX header, with its content, for the member that follows."""
    lines = b""
    for name, value in records.items():
        body = f" {name.replace('__', '.')}={value}\n".encode("utf-8", "surrogateescape")
        length = len(body) + len(str(len(body) + 3))
        lines += f"{length}".encode() + body
    return tar_header(b"pax", len(lines), b"x") + lines + bytes(-len(lines) % 512)


def state_dicts() -> list[bytes]:
    """Checkpoint files, of today's format and of the older one."""
    from models.generators import GeneratorOptions, create_generator
    from models.layers import NetworkOptions

    state = create_generator(NetworkOptions(), GeneratorOptions("resnet_1blocks", 2)).state_dict()
    return [saved(state), saved(state, _use_new_zipfile_serialization=False), saved({"epoch": 3, "x": torch.ones(2)})]


def saved(content: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **settings)
    return buffer.getvalue()


class Bomb:
    """What a pickle can be made to call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def code_pickles(canary: Path) -> list[bytes]:
    """Pickles that would write the canary if they were believed, bare and as checkpoints of both formats."""
    command = f"touch {canary}"
    bombs = [
        Bomb(os.system, command),
        Bomb(eval, f"open({str(canary)!r}, 'w')"),
        Bomb(exec, f"open({str(canary)!r}, 'w')"),
        {"model.1.weight": Bomb(os.system, command)},
    ]
    made = [pickle.dumps(bomb, protocol) for bomb in bombs for protocol in (0, 2, 4)]
    for bomb in bombs:
        made += [saved(bomb), saved(bomb, _use_new_zipfile_serialization=False)]
    return made


def saved_options() -> bytes:
    """An opt.json as a training leaves it."""
    from options import parse_train_options

    return json.dumps(parse_train_options(["--dataroot", "faces"]).values, indent=2).encode()


HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"onmouseover=alert(1) x="',
    "'><svg onload=alert(1)>",
    "&lt;b&gt;&amp;",
    "javascript:alert(1)",
    "a\nb",
    "error: all photos deleted\nreally",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "tab\there",
    "back\x08\x08\x08",
    "\r overwritten",
    "\x7f",
    "c1\x9b31m",
    "\u202egpj.exe",
    "\u2066x\u2069",
    "\u200f\u200e",
    "line\u2028para\u2029",
    "\udcff\udcfe",
    "\udcc3(",
    "--help",
    "-rf",
    "- ",
    " leading",
    "trailing ",
    "...",
    "%00%2e%2e",
    "%41",
    "#anchor",
    "?query",
    "a;b&c|d",
    "$(touch x)",
    "`touch x`",
    "*?[x]",
    "~",
    "C:\\x",
    "a\\b",
    "NUL",
    "con",
    "{name}",
    "{0.__class__}",
    "%s%n",
    "$\\frac{1}$",
    "=cmd|' /C calc'!A0",
    "𝒻𝒶𝒸ℯ",
    "얼굴",
    "面",
    "顔",
    "พี่",
    "مرحبا",
    "שלום",
    "Ελένη",
    "Жанна",
    "हिन्दी",
    "தமிழ்",
    "👩🏽‍🦳",
    "e\u0301" * 20,
    "z" * 240,
    "字" * 80,
    "\ufeffbom",
    "\u0000".replace("\0", "␀"),
]
"""Beginnings of file names, without the slash and NUL that no system allows."""
