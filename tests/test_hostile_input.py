"""Hostile input: whatever a file holds or is called, there is a message, an end, and nothing but what was asked for.

Each test runs its cases in a child process that is watched (jail.py); docs/hostile_input.md says what is promised.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import hostile_corpus as corpus
import pytest
from hostile import CASES, PageCheck, both_settings, fuzz, mutated
from hostile_targets import trained_run
from hypothesis import strategies as st
from jail import Jail

from data.transforms import MODES
from util.endings import SUFFIXES


def attack(jail: Jail, target: str, *arguments: object) -> str:
    """Run one case, hold it to the promises, count it; returns what was printed."""
    CASES[target] = CASES.get(target, 0) + 1
    report = jail.run(target, *arguments).check()
    for page in sorted(jail.folder.rglob("*.html")):
        PageCheck(page)
    return report.output


class TestPhotos:
    """Damaged photos, and headers that claim other sizes."""

    @both_settings
    def test_mutated(self, jail: Jail, scale: float) -> None:
        images = cache(corpus.images)()
        sizes = st.one_of(st.integers(0, 300), st.sampled_from([2**14, 2**15, 2**16 - 1, 2**24 - 1, 2**31 - 1]))
        resized = st.builds(corpus.with_size, st.sampled_from(images), sizes, sizes)
        case = st.tuples(st.one_of(mutated(images), resized), st.sampled_from(SUFFIXES), st.sampled_from(MODES))
        fuzz(100 * scale, case, lambda case: attack(jail, "photo", *case))


class TestMetadata:
    """Damaged tables of every collection."""

    @both_settings
    @pytest.mark.parametrize("source", corpus.MATLAB_NAMES)
    def test_matlab(self, jail: Jail, source: str, scale: float) -> None:
        files = corpus.matlab_files()[source]
        name = corpus.MATLAB_NAMES[source]
        fuzz(50 * scale, mutated(files), lambda content: attack(jail, "collection", source, {name: content}))

    @both_settings
    def test_text(self, jail: Jail, scale: float) -> None:
        def check(case: tuple[str, str, bytes, dict[str, bytes]]) -> None:
            source, name, content, files = case
            attack(jail, "collection", source, {**files, name: content})

        fuzz(70 * scale, text_cases(), check)


@st.composite
def text_cases(draw: st.DrawFn) -> tuple[str, str, bytes, dict[str, bytes]]:
    """A source, the file of it that is damaged, its content, all files of it."""
    source, files = draw(st.sampled_from(corpus.text_files()))
    name = draw(st.sampled_from(sorted(files)))
    words = [
        b"inf",
        b"nan",
        b"-1",
        b"1e400",
        b"99999999999999999999",
        b'"',
        b",",
        b"\n",
        b"\0",
        b"\xff",
        b"Young",
        b"path",
        b"Path",
        b"../../x.jpg",
        b"<script>",
        b"\x1b[31m",
        b"0.jpg",
        "\u202e".encode(),
    ]
    content = files[name]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(content)))
        old = draw(st.integers(0, 8))
        content = content[:place] + draw(st.sampled_from(words)) + content[place + old :]
    return source, name, draw(mutated([content])) if draw(st.booleans()) else content, files


class TestArchives:
    """Damaged archives."""

    @both_settings
    def test_mutated(self, jail: Jail, scale: float) -> None:
        made = corpus.archives()
        members = st.sampled_from(made).flatmap(lambda one: st.tuples(st.just(one[0]), mutated([one[1]])))
        packed = st.sampled_from([".tar.gz", ".tar.bz2", ".tar.xz"]).flatmap(
            lambda suffix: st.tuples(
                st.just(f"faces{suffix}"), mutated([made[0][1], made[1][1]]).map(corpus.COMPRESSIONS[suffix])
            )
        )
        case = st.tuples(st.booleans(), st.one_of(members, packed))

        def check(case: tuple[bool, tuple[str, bytes]]) -> None:
            as_collection, (name, content) = case
            if as_collection:
                attack(jail, "archived_collection", "folder", name, content)
            else:
                attack(jail, "archive", name, content)

        fuzz(90 * scale, case, check)


class TestCheckpoints:
    """Damaged checkpoints, and what else a pickle can hold."""

    @both_settings
    def test_mutated_networks(self, jail: Jail, scale: float) -> None:
        files = corpus.state_dicts() + corpus.code_pickles(jail.canary)
        fuzz(50 * scale, mutated(files), lambda content: attack(jail, "network_file", content))

    @both_settings
    def test_training_states(self, jail: Jail, tmp_path: Path, scale: float) -> None:
        content = (trained_run(tmp_path) / "latest_state.pth").read_bytes()
        fuzz(20 * scale, mutated([content]), lambda content: attack(jail, "training_state", content))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.just({}),
)


class TestOptions:
    """Saved options and command lines."""

    @both_settings
    def test_saved(self, jail: Jail, scale: float) -> None:
        text = corpus.saved_options()

        @st.composite
        def changed(draw: st.DrawFn) -> bytes:
            values = json.loads(text)
            for _ in range(draw(st.integers(0, 4))):
                values[draw(st.sampled_from(sorted(values)))] = draw(VALUES)
            return json.dumps(values).encode()

        contents = st.one_of(changed(), mutated([text]), st.binary(max_size=20))
        case = st.tuples(
            st.sampled_from([("train", ["--continue_train"]), ("test", []), ("test", ["--model", "test"])]), contents
        )
        fuzz(50 * scale, case, lambda case: attack(jail, "options", *case[0], case[1]))

    @both_settings
    def test_typed(self, jail: Jail, scale: float) -> None:
        names = {*json.loads(corpus.saved_options()), "loadSize", "num_test"} - {"checkpoints_dir"}  # written to
        flags = [f"--{name}" for name in sorted(names)]
        hostile = st.sampled_from(corpus.HOSTILE_NAMES)
        words = st.one_of(
            st.sampled_from(flags),
            hostile,
            st.integers().map(str),
            st.floats().map(str),
            st.text(max_size=8),
            st.sampled_from(
                [
                    "cycle_gan",
                    "test",
                    "single",
                    "unaligned",
                    "none",
                    "{model}",
                    "{name}",
                    "{0}",
                    "{lr:>999999999}",
                    "..",
                    "../x",
                    "a/b",
                    "x" * 300,
                ]
            ),
        )
        pairs = st.tuples(st.sampled_from(flags), words).map(list)
        lines = st.lists(st.one_of(pairs, pairs, pairs, words.map(lambda word: [word])), max_size=4)
        case = st.tuples(
            st.sampled_from(["train", "test"]), lines.map(lambda parts: [word for part in parts for word in part])
        )
        fuzz(60 * scale, case, lambda case: attack(jail, "options", *case, None))


class TestRunFolders:
    """Logs and journals that an earlier process left, damaged."""

    @both_settings
    def test_logs(self, jail: Jail, scale: float) -> None:
        fuzz(25 * scale, st.tuples(mutated([CSV_LOG]), mutated([TEXT_LOG])), lambda case: attack(jail, "logs", *case))

    @both_settings
    def test_preparations(self, jail: Jail, scale: float) -> None:
        whole = b'{"settings": {"size": 1}}'
        records = st.one_of(mutated([whole]), VALUES.map(lambda value: str(value).encode()), st.just(whole))
        case = st.tuples(mutated([JOURNAL]), records, st.one_of(mutated([b'{"size": 1}']), st.just(b"[" * 100_000)))
        fuzz(30 * scale, case, lambda case: attack(jail, "begun_preparation", *case))


CSV_LOG = (
    b"epoch,epoch_images,total_images,epochs,learning_rate,seconds_per_image,data_seconds_per_image,D_A,G_A\n"
    b"1,2,2,0.5,0.0002,0.1,0.01,0.5,0.7\n1,4,4,1.0,0.0002,0.1,0.01,0.4,0.6\n"
)
TEXT_LOG = (
    b"================ Training Loss (Mon) ================\n"
    b"(epoch: 1, iters: 2, time: 0.250, data: 0.001) D_A: 0.372 G_A: 0.5 \n"
    b"(epoch: 1, iters: 4, time: 0.250, data: 0.001) D_A: 0.371 G_A: 0.4 \n"
)
JOURNAL = b"".join(b"%d,,200,200,3000,%s,\n" % (n, b"ab" * 32) for n in range(3)) + b"3,photo unreadable,0,0,0,,bad\n"


class TestNames:
    """Photos with hostile names, translated and shown on a page."""

    @both_settings
    def test_of_photos(self, jail: Jail, scale: float) -> None:
        good, bad = corpus.PHOTOS["trainA/0.jpg"], b"no photo"
        words = st.one_of(
            st.sampled_from(corpus.HOSTILE_NAMES),
            st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
        )
        paths = st.lists(words, min_size=1, max_size=3).map(
            lambda parts: "/".join(part[:80] for part in parts[:-1]) + "/" + parts[-1] + ".jpg"
        )
        names = paths.map(lambda path: path.encode("utf-8", "surrogateescape")).filter(storable)
        photos = st.dictionaries(names, st.sampled_from([good, good, bad]), min_size=1, max_size=5)
        fuzz(25 * scale, photos, lambda photos: attack(jail, "named_photos", photos, "run"))


def storable(path: bytes) -> bool:
    """Whether a disk takes a path of this name below a folder."""
    parts = [part for part in path.split(b"/") if part]
    return all(len(part) <= 255 and part not in (b".", b"..") for part in parts)
