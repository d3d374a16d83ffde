# ruff: noqa: RUF001
"""Files that were built to do harm, one by one: each is the regression test of a bug that it found.

What random changes of real files find is in test_hostile_input.py; how cases are watched in jail.py.
"""

from __future__ import annotations

import bz2
import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import hostile_corpus as corpus
import pytest
import torch
from hostile import PageCheck
from hostile_corpus import HOSTILE_NAMES, PHOTOS, element, matlab_file, matrix, png, struct_of, tar_header
from jail import Jail
from PIL import Image

from util.files import atomic_path, write_text
from util.text import printable


def told(jail: Jail, target: str, *arguments: object) -> str:
    """The message of a case that is refused."""
    report = jail.run(target, *arguments).check()
    assert report.outcome == "told", report.output
    return report.output


# Photos


def test_photos_start_no_program_though_ghostscript_may_be_there(jail: Jail) -> None:
    """EPS under a photo's name: Pillow would have handed it to Ghostscript."""
    drawn = next(image for image in corpus.images() if image.startswith(b"%!PS"))
    for suffix in (".jpg", ".tif"):
        assert "it is no photo" in jail.run("photo", drawn, suffix, "none").check().output


@pytest.mark.parametrize(
    ("depth", "colour", "bytes_per_pixel"),
    [
        pytest.param(8, 2, 3, marks=pytest.mark.slow),
        pytest.param(8, 6, 4, marks=pytest.mark.slow),
        (16, 0, 2),
        pytest.param(8, 3, 1, marks=pytest.mark.slow),
    ],
    ids=["RGB", "RGBA", "16 bits", "palette"],
)
def test_the_largest_photos_that_are_read_fit_into_a_gibibyte(
    jail: Jail, depth: int, colour: int, bytes_per_pixel: int
) -> None:
    """Of 16 bits a pixel, they took five times as much when they were scaled in float64."""
    side = 9400
    rows = (b"\0" + bytes(side * bytes_per_pixel)) * side
    extra = (corpus.chunk(b"PLTE", bytes(768)), corpus.chunk(b"tRNS", bytes(256))) if colour == 3 else ()
    report = jail.run("photo", png(side, side, rows, depth, colour, *extra), ".png", "resize").check()
    assert not report.output.strip(), "it is taken"


@pytest.mark.parametrize("content", [png(30_000, 30_000), png(2**31 - 1, 2**31 - 1), png(9500, 9500)])
def test_larger_photos_are_refused_by_their_headers(jail: Jail, content: bytes) -> None:
    report = jail.run("photo", content, ".png", "none").check()
    assert report.output.count("million pixels") == 3, "by training, and by both ways of preparation"
    assert report.peak_mib < 64


def test_narrow_photos_are_not_enlarged_until_the_memory_is_full(jail: Jail) -> None:
    """--preprocess scale_width of 1 x 60,000 pixels: 36 x 2,160,000; of more pixels, a MemoryError came out."""
    narrow = png(1, 2_000_000, b"\0\1\2\3" * 2_000_000)
    assert "to 36 x 72000000" in jail.run("photo", narrow, ".png", "scale_width").check().output


def test_progressive_photos_of_very_many_scans_are_refused(jail: Jail) -> None:
    """Each scan of some bytes takes the time of a whole photo: half a megabyte took minutes."""
    buffer = io.BytesIO()
    Image.new("L", (9000, 9000)).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    start = whole.rindex(b"\xff\xda")
    scan = whole[start:-2]
    bomb = whole[:-2] + scan * 2000 + whole[-2:]
    assert "scans" in jail.run("photo", bomb, ".jpg", "resize").check().output


def test_a_pipe_called_like_a_photo_is_not_waited_for(tmp_path: Path) -> None:
    from util.photos import UnreadableImageError, read_image

    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")


# Metadata


WIKI_FIELDS = {
    name: matrix(6, (1, 1), b"", element(9, struct.pack("<d", 1)))
    for name in (b"full_path", b"dob", b"photo_taken", b"gender", b"face_score", b"second_face_score")
}


def wiki(**fields: bytes) -> bytes:
    return matlab_file(struct_of(b"wiki", {**WIKI_FIELDS, **{name.encode(): value for name, value in fields.items()}}))


def packed(content: bytes) -> bytes:
    """A MATLAB file with its elements compressed."""
    return matlab_file(struct.pack("<II", 15, len(small := zlib.compress(content[128:]))) + small)


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = matrix(1, (1, 1), b"", inner or matrix(6, (0, 0), b"", element(9, b"")))
    return inner


@pytest.mark.parametrize(
    "content",
    [
        wiki(full_path=matrix(4, (1, 2**30), b"", element(16, b""))),
        wiki(full_path=matrix(1, (2**15, 2**15), b"")),
        wiki(full_path=matrix(1, (2**31 - 1, 2**31 - 1, 2**31 - 1), b"")),
        wiki(full_path=matrix(1, (-5, 1), b"")),
        wiki(full_path=nested(3000)),
        packed(wiki(dob=matrix(6, (1, 2**25), b"", element(9, bytes(2**28))))),
        packed(wiki(name=matrix(1, (1, 10**6), b"", struct.pack("<II", 14, 0) * 10**6))),
        wiki(dob=matrix(17, (1, 1), b"")),
        b"\0" * 4 + struct.pack("<4i", 2**30, 2**30, 0, 5) + b"wiki\0" + bytes(200),
    ],
    ids=["letters", "cells", "product", "negative", "deep", "bomb", "empty cells", "objects", "version 4"],
)
def test_matlab_files_that_claim_what_cannot_be(jail: Jail, content: bytes) -> None:
    """scipy makes the cells (8 GB of them) in a process that may have 2 GB."""
    told(jail, "collection", "wiki", {"wiki.mat": content})


@pytest.mark.parametrize(
    "fields",
    [
        {"dob": matrix(4, (1, 3), b"", element(16, b"abc"))},
        {"dob": matrix(6, (1, 1), b"", element(8, bytes(8)))},
        {"dob": matrix(6, (1, 1), b"", element(14, bytes(8)))},
        {"dob": struct_of(b"", {b"x": matrix(6, (1, 1), b"", element(9, bytes(8)))})},
        {"face_location": matrix(1, (1, 1), b"", matrix(4, (1, 4), b"", element(16, b"text")))},
        {"full_path": matrix(1, (1, 1), b"", matrix(4, (1, 1), b"", element(17, b"\x00\xd8")))},
        {"full_path": matrix(1, (1, 1), b"", matrix(4, (1, 6), b"", element(16, b"x/y\0.j")))},
        {"full_path": matrix(1, (1, 1), b"", matrix(4, (1, 404), b"", element(16, b"n" * 400 + b".jpg")))},
    ],
    ids=[
        "text for numbers",
        "type 8",
        "type 14",
        "struct for numbers",
        "text for a box",
        "half a letter",
        "NUL",
        "long",
    ],
)
def test_matlab_fields_of_other_kinds(jail: Jail, fields: dict[str, bytes]) -> None:
    """The types kill the process that reads them (SIGSEGV in scipy). Most others were tracebacks."""
    told(jail, "collection", "wiki", {"wiki.mat": wiki(**fields)})


def test_a_matlab_file_that_crashes_its_reader_is_named(jail: Jail) -> None:
    content = wiki(dob=matrix(6, (1, 1), b"", element(255, bytes(8))))
    assert "wiki.mat is damaged or malicious" in told(jail, "collection", "wiki", {"wiki.mat": content})


CELEBA = dict(corpus.text_files()[0][1])


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("celeba", {**CELEBA, "Anno/identity_CelebA.txt": b"000001.jpg inf\n000002.jpg 1e400\n"}),
        (
            "celeba",
            {"list_attr_celeba.txt": CELEBA["Anno/list_attr_celeba.txt"].replace(b"Shadow Arched", b"ShadowArched")},
        ),
        ("celeba", {**CELEBA, "Anno/list_attr_celeba.txt": b"1\nYoung Male Eyeglasses Blurry\na 1 1 1 1 1 1 1\n"}),
        ("celeba", {"list_attr_celeba.csv": b"id,Young,Young,Male,Eyeglasses,Blurry\na.jpg,1,1,1,1,1\n"}),
        ("folder", {"a.csv": b"path,Path,age\nx.jpg,y.jpg,3\n"}),
        ("folder", {"a.csv": b"path,age\n" + b"x" * 300 + b".jpg,25\n"}),
        ("folder", {"a.csv": b'path,age\n\x1b[31m.jpg,25\n"a\nb.jpg",55\n'}),
        ("folder", {"a.csv": b"path,age\n0.jpg,1e999\n1.jpg,99999999999999999999999\n"}),
    ],
    ids=[
        "infinite person",
        "half a name",
        "too many columns",
        "twice in CSV",
        "twice",
        "long",
        "controls",
        "infinite age",
    ],
)
def test_tables_in_text(jail: Jail, source: str, files: dict[str, bytes]) -> None:
    """Some of these were tracebacks (OverflowError, KeyError, AttributeError)."""
    told(jail, "collection", source, files)


def test_metadata_larger_than_any_are_not_read(jail: Jail, tmp_path: Path) -> None:
    from scripts.preparation.errors import SourceError
    from scripts.preparation.sources.collection import open_collection

    with (tmp_path / "wiki.mat").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(SourceError, match="larger than 512 MiB"):
        open_collection(tmp_path).read("wiki.mat")
    os.mkfifo(tmp_path / "imdb.mat")
    with pytest.raises(SourceError, match="not a regular file"):
        open_collection(tmp_path).read("imdb.mat")


# Archives


def zipped(method: int, content: bytes, claimed: int) -> bytes:
    """A zip archive whose one photo says that it is `claimed` bytes long."""
    made = bytearray(corpus.zip_of({"trainA/x.jpg": content}, method))
    for signature, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", made, made.index(signature) + place, claimed)
    return bytes(made)


@pytest.mark.parametrize("kind", [b"x", b"L"])
def test_headers_of_tar_archives_are_not_held_in_memory_whatever_their_size(jail: Jail, kind: bytes) -> None:
    """A kilobyte of .tar.bz2 can say that a file's name has two gigabytes, and have them."""
    packer = bz2.BZ2Compressor()
    bomb = packer.compress(tar_header(b"pax", 2**31, kind))
    bomb += b"".join(packer.compress(bytes(2**24)) for _ in range(16)) + packer.flush()
    report = jail.run("archive", "x.tar.bz2", bomb).check()
    assert "contains a header of 2147483648 bytes" in report.output and report.peak_mib < 100


def test_headers_of_headers_without_end(jail: Jail) -> None:
    """tarfile goes one call deeper for each: a RecursionError came out."""
    name = tar_header(b"././@LongLink", 5, b"L") + b"name\0".ljust(512, b"\0")
    assert "cannot be read as an archive" in told(jail, "archive", "x.tar", name * 3000 + bytes(1024))


def test_members_that_lead_back_are_not_read_for_ever(jail: Jail) -> None:
    """A size below zero, in a PAX header or in the number itself."""
    for header in (corpus.pax(size="-1024") + tar_header(b"a/x.jpg", 0), tar_header(b"a/x.jpg", -1024)):
        report = jail.run("archive", "x.tar", tar_header(b"a/y.jpg", 0) + header + bytes(2048)).check()
        assert report.outcome == "told" and report.seconds < 2


def test_sparse_files_are_not_mapped(jail: Jail) -> None:
    """Their map is a text of any length in the file itself, or a chain of blocks: both were read to the end."""
    records = {
        "GNU__sparse__major": "1",
        "GNU__sparse__minor": "0",
        "GNU__sparse__name": "trainA/x.jpg",
        "GNU__sparse__realsize": "99",
    }
    endless = corpus.pax(**records) + tar_header(b"trainA/x.jpg", 2**28) + b"99999999\n" + b"1" * 2**26
    assert jail.run("archive", "x.tar", endless).check().seconds < 5
    block = bytearray(tar_header(b"trainA/x.jpg", 512, b"S"))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    assert "too many pieces" in told(jail, "archive", "y.tar", bytes(block) + b"\1" * 2**20)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_archives_in_rare_compressions_are_not_unpacked_at_once(jail: Jail, method: int) -> None:
    """zipfile unpacks whole pieces of these, whatever the length that is asked for: 1 GB for a member of 10 bytes."""
    bomb = zipped(method, bytes(2**26), 10)
    assert len(bomb) < 100_000
    report = jail.run("archive", "x.zip", bomb).check()
    assert "unsupported compression method skipped: 1" in report.output and report.peak_mib < 50


def test_zip_archives_of_entries_that_share_their_bytes(jail: Jail) -> None:
    """Hundreds of names for the same megabytes: none is a bomb by itself."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trainA/0.jpg", bytes(60 * 2**20))
        first = archive.infolist()[0]
        for number in range(1, 200):
            entry = zipfile.ZipInfo(f"trainA/{number}.jpg")
            for name in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
                setattr(entry, name, getattr(first, name))
            archive.filelist.append(entry)
    report = jail.run("archive", "x.zip", buffer.getvalue()).check()
    assert "decompression bombs skipped: 199" in report.output
    assert sum(path.stat().st_size for path in jail.folder.rglob("*.jpg")) <= 60 * 2**20


def test_damages_within_zip_archives_are_of_the_member_alone(jail: Jail) -> None:
    """A local header that is not there (OSError, struct.error): these came out as tracebacks."""
    whole = bytearray(corpus.zip_of({**PHOTOS, "trainA/bad.jpg": b"x" * 100}))
    place = whole.rindex(b"trainA/bad.jpg") - 46
    for offset in (2**32 - 2, len(whole) - 3):
        struct.pack_into("<I", whole, place + 42, offset)
        report = jail.run("archive", "x.zip", bytes(whole)).check()
        assert "damaged files skipped" in report.output or "cannot be read as an archive" in report.output


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_names_too_long_for_a_disk_are_passed_over(jail: Jail, suffix: str) -> None:
    """One of them ended the unpacking with a traceback; one of 255 bytes had no temporary name."""
    members = {**PHOTOS, "trainA/" + "n" * 400 + ".jpg": b"1", "trainA/" + "m" * 251 + ".jpg": b"2"}
    content = corpus.zip_of(members) if suffix == ".zip" else corpus.COMPRESSIONS[suffix](corpus.tar_of(members))
    report = jail.run("archive", f"x{suffix}", content).check()
    assert report.outcome == "done" and "photos unpacked: 5" in report.output
    assert "too long names skipped: 1" in report.output


def test_nothing_is_written_outside_and_no_link_is_followed(jail: Jail) -> None:
    outside = jail.folder.parent / "outside"
    evil = {
        f"{up}trainA/x{n}.jpg": b"1" for n, up in enumerate(("../", "../../", "/tmp/", "a/../../", "C:/", "\\\\x/"))
    }
    buffer = io.BytesIO(corpus.tar_of({**PHOTOS, **evil}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("trainA/link")
            link.type, link.linkname = kind, str(outside)
            archive.addfile(link)
        archive.addfile(tarfile.TarInfo("trainA/link/x.jpg"))
    report = jail.run("archive", "x.tar", buffer.getvalue()).check()
    assert report.outcome == "done" and not outside.exists()


# Checkpoints and options


def test_no_checkpoint_runs_code(jail: Jail) -> None:
    for content in corpus.code_pickles(jail.canary):
        for target in ("network_file", "training_state"):
            told(jail, target, content)


class _Tensors:
    """Kinds of tensors that a network's parameters cannot be filled with."""

    shape = (4, 4)
    kinds = {
        "sparse": torch.eye(4).to_sparse(),
        "complex": torch.zeros(4, 4, dtype=torch.complex64),
        "meta": torch.zeros(4, 4, device="meta"),
        "quantized": torch.quantize_per_tensor(torch.zeros(4, 4), 0.1, 0, torch.qint8),
    }


@pytest.mark.parametrize("kind", _Tensors.kinds)
def test_tensors_of_other_kinds_are_refused_before_anything_is_changed(jail: Jail, kind: str) -> None:
    from models.generators import GeneratorOptions, create_generator
    from models.layers import NetworkOptions

    state = create_generator(NetworkOptions(), GeneratorOptions("resnet_1blocks", 2)).state_dict()
    last = list(state)[-2]
    shape = state[last].shape
    value = _Tensors.kinds[kind]
    state[last] = value.flatten()[:1].expand(shape) if kind in ("complex", "meta") else value
    told(jail, "network_file", corpus.saved(state))


def test_keys_that_are_no_names_and_names_with_controls(jail: Jail) -> None:
    told(jail, "network_file", corpus.saved({1: torch.zeros(1)}))
    assert "\\x1b[31m" in told(jail, "network_file", corpus.saved({"\x1b[31m\nerror": torch.zeros(1)}))


def test_compressed_checkpoints_are_bombs(jail: Jail) -> None:
    """torch stores its parts as they are, but reads compressed ones, at once: a gigabyte out of a megabyte."""
    plain = zipfile.ZipFile(io.BytesIO(corpus.saved({"x": torch.zeros(2**24)})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in plain.infolist():
            archive.writestr(part.filename, plain.read(part))
    report = jail.run("network_file", buffer.getvalue()).check()
    assert "decompression bomb" in report.output and report.peak_mib < 50


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"ngf": "big"}',
        b'{"ngf": true}',
        b'{"ngf": 1e99}',
        b'{"ngf": 100000}',
        b'{"model": ["test"]}',
        b'{"model": "x"}',
        b'{"lr": NaN}',
        b'{"lr": 1e999}',
        b'{"dataroot": {}}',
        b"[]",
        b"\xff",
        b'{"netG": "resnet_99999999blocks"}',
        b'{"batch_size": null}',
        b'{"norm": "\\u001b[31m"}',
        b'{"dataset_mode": null, "phase": "../../x"}',
    ],
)
def test_saved_options_that_cannot_be(jail: Jail, content: bytes) -> None:
    """Nearly each was a traceback: RecursionError, TypeError, KeyError; the large numbers a full memory later on."""
    told(jail, "options", "train", ["--continue_train"], content)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["--name", "x" * 300]),
        ("train", ["--name", "a\nb"]),
        ("train", ["--name", "\x1b[31m"]),
        ("train", ["--suffix", "{lr:>9999999999}"]),
        ("train", ["--suffix", "{model.__class__}"]),
        ("train", ["--suffix", "{name!r:{seed}}"]),
        ("test", ["--epoch", "../../elsewhere"]),
        ("test", ["--phase", "../elsewhere"]),
        ("train", ["--ngf", "100000"]),
        ("train", ["--load_size", "1000000000", "--preprocess", "resize"]),
        ("train", ["--lr", "nan"]),
        ("train", ["--seed", str(2**64)]),
        ("train", ["--\x1b[31m"]),
        ("train", ["--\udcff\nerror: x"]),
    ],
)
def test_command_lines_that_cannot_be(jail: Jail, command: str, words: list[str]) -> None:
    """Before: OSError, formatted gigabytes, results outside of --results_dir, escape sequences on the terminal."""
    told(jail, "options", command, words, None)


def test_paths_of_any_bytes_may_be_typed(jail: Jail) -> None:
    """A UnicodeEncodeError came out of writing opt.txt."""
    report = jail.run("options", "train", ["--dataroot", "\udcff\x1b[31m\n<script>"], None).check()
    assert report.outcome == "done" and "\\udcff\\x1b[31m\\n<script>" in report.output
    PageCheck(jail.folder / "web" / "index.html")


# Logs, journals


def test_damaged_logs(jail: Jail) -> None:
    """`epoch: 1, iters: 0` alone was a division by zero; "$" in a loss's name began a formula."""
    header = b"epoch,epoch_images,total_images,epochs,learning_rate,$\\frac{$,<script>,_hidden\n"
    table = header + b"1,1,1,1,1,1,1,1\n1,1,x,1,1,1,1,1\n1,1,2,1\n\0\n" + b"9" * 200_000 + b"\n1,1,3,2,1,nan,inf,2\n"
    text = b"(epoch: 1, iters: 0, x) D_A: 1\n(epoch: " + b"9" * 5000 + b", iters: 1) D_A: 1\n"
    report = jail.run("logs", table, text).check()
    assert report.outcome == "done", report.output
    assert b"<script" not in (jail.folder / "csv.svg").read_bytes()


@pytest.mark.parametrize("record", [b"[]", b"{}", b'{"settings": 3}', b"null", b"[" * 100_000, b"\xff"])
@pytest.mark.parametrize(
    "journal",
    [
        b"-9,,1,1,1,,,\n",
        b"0,,99999999999,1,1,,,\n",
        b"0,,1,1,1,zz,,\n",
        b"0,,1,1,1,,,1e999 nan\n",
        b"9" * 5000 + b",,\n",
    ],
)
def test_damaged_preparations(jail: Jail, journal: bytes, record: bytes) -> None:
    """Most were tracebacks: IndexError, OverflowError, TypeError, KeyError, RecursionError."""
    told(jail, "begun_preparation", journal, record, b"[]")


# Names


def test_printable() -> None:
    assert printable("a\nb\x1b[31m\u202e\udcff\x9b") == "a\\nb\\x1b[31m\\u202e\\udcff\\x9b"
    for text in ("Ελένη", "मन्त्री", "พี่", "שלום", "مرحبا", "می\u200cخواهم", "👩🏽‍🦳", "e\u0301", "C:\\x", "a b"):
        assert printable(text) == text
    assert printable("no\u00a0break") == "no break" and printable("a\nb", keep="\n") == "a\nb"
    assert "\u2028" not in printable("\u2028")


def test_photos_of_all_hostile_names_are_translated_and_shown(jail: Jail) -> None:
    """Names of 244 bytes left no room for `_fake_B.png`; undecodable ones broke the page's links and its writing."""
    photos = {f"{name[:240]}.jpg".encode("utf-8", "surrogateescape"): PHOTOS["trainA/0.jpg"] for name in HOSTILE_NAMES}
    photos |= {b"deep \xff/<b>/\n/\xfe.jpg": PHOTOS["trainA/0.jpg"], b"\x1b[2J.jpg": b"no photo"}
    report = jail.run("named_photos", photos, "run").check()
    assert report.outcome == "done" and "skipped" in report.output
    page = PageCheck(jail.folder / "results" / "run" / "latest_test" / "index.html")
    visible = [name for name in photos if not name.split(b"/")[-1].startswith(b".")]
    assert len(page.links) == 3 * (len(visible) - 1), "each photo and its translation, and a link"


def test_files_are_written_under_names_as_long_as_can_be(tmp_path: Path) -> None:
    first, second = "ä" * 126 + "ab.", "ä" * 126 + "ac."
    with atomic_path(tmp_path / first) as one, atomic_path(tmp_path / second) as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    write_text(tmp_path / first, "3")
    assert [(tmp_path / name).read_text() for name in (first, second)] == ["3", "2"] and len(
        list(tmp_path.iterdir())
    ) == 2
