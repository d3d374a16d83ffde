"""Show what the faces of photos may look like when they are older or younger.

    python age_photo.py me.jpg
    python age_photo.py holidays/ --direction younger --strip
    python age_photo.py clip.mp4

writes results/photos/me_older.jpg, the photo with its faces aged at full resolution, and me_older_compare.jpg, which
shows before and after. docs/ageing_photos.md explains the results. `python age_photo.py --help` lists all options.
"""

from __future__ import annotations

import glob
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aging.aged_photo import AgedPhoto, age_photo
from aging.generators import ENGINES, Generator, find_generators, needed_for
from aging.media import VIDEO_SUFFIXES, VideoError
from aging.photo_file import SUFFIXES, Photo, kept_exif, read_photo, write_photo, write_picture
from aging.pictures import before_and_after, strip
from util.arguments import OptionError, Parser, build, option, split_paths
from util.errors import UserError, describe, told_in_one_line
from util.files import ending_of, is_image
from util.photos import UnreadableImageError, no_images_in
from util.text import printable

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class AgingOptions:
    """aging"""

    direction: str = option("older", help="make faces older or younger", choices=("older", "younger"))
    strength: float = option(
        1.0, help="factor of the change: 0 changes nothing, 1 is the change that the model predicts, 1.5 exaggerates it"
    )
    face: int | None = option(
        None, help="change only the face with this number, counted from the left; by default, all faces"
    )
    strip: bool = option(False, help="also write an image that shows each face in a row from younger to older")
    output: Path = option(Path("results/photos"), help="folder of the results")
    keep_metadata: bool = option(
        False, help="keep date, camera and author (EXIF) of the photo, but not the place where it was taken"
    )
    keep_location: bool = option(False, help="keep metadata including the place where the photo was taken (GPS)")

    def __post_init__(self) -> None:
        if self.face is not None and self.face < 1:
            raise OptionError(f"--face {self.face}: faces are numbered from the left, starting at 1")
        if not -3 <= self.strength <= 3:
            raise OptionError(f"--strength {self.strength}: expected a number between -3 and 3")

    @property
    def signed_strength(self) -> float:
        """The strength, positive for older and negative for younger."""
        return self.strength if self.direction == "older" else -self.strength

    @property
    def chosen(self) -> list[int] | None:
        """Indices of the faces to change, starting at 0, or None for all faces."""
        return None if self.face is None else [self.face - 1]


@dataclass(frozen=True)
class SourceOptions:
    """model"""

    name: str = option("young2old", help="name of the run whose generators are used")
    checkpoints_dir: Path = option(ROOT / "checkpoints", help="folder that contains the checkpoints of all runs")
    model: tuple[Path, ...] = option(
        (),
        help="ONNX files written by export.py, instead of a run: FILE.onnx, or up to three files separated by commas: "
        "one for each direction, and one that turns hair grey",
        parse=split_paths,
    )
    engine: str = option(
        "auto",
        help="onnx: use the run's exported files through onnxruntime, which starts quickly; torch: use the run's "
        "checkpoint; auto: onnx if export.py has exported the current weights of the checkpoint, otherwise torch",
        choices=ENGINES,
    )


class NothingDoneError(UserError):
    """There is no result for a photo; the message gives the reason."""


def main(argv: Sequence[str] | None = None) -> int:
    """Age the photos of the command line; returns the exit status, which is 2 if a photo has no result."""
    parser = Parser(prog="age_photo.py", description="Show what the faces of photos may look like older or younger.")
    parser.usage = "%(prog)s PHOTO... [options]   (--help lists the options)"
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="photos, folders of photos, patterns such as '*.jpg', or videos"
    )
    parser.add_section(AgingOptions)
    parser.add_section(SourceOptions)
    typed = parser.parse(argv)
    options, source = build(AgingOptions, typed), build(SourceOptions, typed)
    names = result_names(find_photos(typed["photos"], options.output))
    protected = set(map(_identity, names))
    generators = find_generators(source.checkpoints_dir / source.name, source.model, source.engine)
    if source.engine == "auto" and any(generator.source.suffix != ".onnx" for generator in generators.values()):
        print(
            f"note: to start faster, without PyTorch, run: python export.py --name {printable(source.name)}",
            file=sys.stderr,
        )
    if not options.strip:
        generators = needed_for(options.signed_strength, generators)
    status = 0
    for path, name in names.items():
        started = time.perf_counter()
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                done = age_clip(path, generators, options, name, protected)
            else:
                photo = read_photo(path)
                done = write_results(photo, age_photo(photo.image, generators), options, name, protected)
            print(f"{printable(path)}: {printable(done)} ({time.perf_counter() - started:.2f} s)", flush=True)
        except (UnreadableImageError, NothingDoneError, VideoError, OSError) as error:
            reason = error.reason if isinstance(error, UnreadableImageError) else describe(error)
            print(f"{printable(path)}: {printable(reason)}", file=sys.stderr, flush=True)
            status = 2
    return status


def find_photos(words: Sequence[str], output: Path) -> list[Path]:
    """The photo files that the arguments name, without duplicates. Raises UserError if an argument names none."""
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            if output.exists() and output.samefile(path):
                raise UserError(f"--output {output} is the folder of the photos: choose another folder")
            files = sorted(file for file in path.iterdir() if file.is_file())
            here = [file for file in files if is_image(file.name)]
            if not here:
                raise UserError(no_images_in(path, Counter(ending_of(file.name) for file in files)))
        else:
            here = (
                [path]
                if path.exists()
                else [file for file in map(Path, sorted(glob.glob(word, recursive=True))) if file.is_file()]
            )
        if not here:
            raise UserError(f"{word}: does not exist")
        found.update(dict.fromkeys(here))
    return list(found)


def result_names(photos: Sequence[Path]) -> dict[Path, str]:
    """The name of each photo's results, without direction and suffix: the stem of the photo, with a number if several
    photos have the same stem."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in photos:
        number, name = 1, path.stem
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}_{number}"
        taken.add(name.casefold())
        names[path] = name
    return names


def write_results(
    photo: Photo, aged: AgedPhoto, options: AgingOptions, name: str, protected: Collection[FileIdentity]
) -> str:
    """Write the aged photo and the comparison pictures; returns a description of the result for the console.

    protected: files that must not be overwritten. Raises NothingDoneError if there is no (such) face, or if a result
    would overwrite a protected file.
    """
    count = len(aged.faces)
    if not count:
        raise NothingDoneError(
            "no face was found; a face must show both eyes, be seen from the front or half from the side, and "
            "not be tiny"
        )
    if options.face is not None and options.face > count:
        raise NothingDoneError(f"--face {options.face}: only {count} face{'s were' if count > 1 else ' was'} found")
    result = options.output / f"{name}_{options.direction}{SUFFIXES[photo.format]}"
    compare, row = options.output / f"{name}_{options.direction}_compare.jpg", options.output / f"{name}_strip.jpg"
    for target in (result, compare, *[row] * options.strip):
        if target.exists() and _identity(target) in protected:
            raise NothingDoneError(
                f"the result would overwrite {target}, which is one of the photos: use another --output"
            )
    keeps = options.keep_metadata or options.keep_location
    exif = kept_exif(photo.exif, location=options.keep_location) if keeps else b""
    write_photo(result, aged.at(options.signed_strength, options.chosen), photo, exif)
    write_picture(compare, before_and_after(aged, options.signed_strength, options.chosen))
    if options.strip:
        write_picture(row, strip(aged, chosen=options.chosen))
    which = f"face {options.face} of {count}" if options.face else f"{count} face{'s' if count > 1 else ''}"
    return f"{which} made {options.direction}, {result}"


def age_clip(
    path: Path,
    generators: Mapping[str, Generator],
    options: AgingOptions,
    name: str,
    protected: Collection[FileIdentity],
) -> str:
    """Write the aged video; returns a description of the result for the console.

    Raises VideoError, NothingDoneError.
    """
    try:
        from aging.video import age_video
    except ImportError as error:
        raise VideoError(f"videos require two more packages: pip install imageio-ffmpeg scipy ({error})") from error
    target = options.output / f"{name}_{options.direction}.mp4"
    if target.exists() and _identity(target) in protected:
        raise NothingDoneError(f"the result would overwrite {target}, which is one of the videos: use another --output")
    count = age_video(path, target, generators, options.signed_strength, options.chosen)
    return f"{count} face{'s' if count > 1 else ''} made {options.direction}, {target}"


FileIdentity = tuple[int, int]


def _identity(path: Path) -> FileIdentity:
    """Device and inode, which are the same for all names of a file."""
    status = path.stat()
    return status.st_dev, status.st_ino


if __name__ == "__main__":
    with told_in_one_line("age_photo.py"):
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            print("stopped; the results written so far are complete", file=sys.stderr)
            sys.exit(130)
