"""The photos that visitors of the page have open. Their number is limited, and each is deleted when its visitor leaves.

A small copy of each photo with its faces is kept in memory, on which all strengths are shown. The file is kept in a
folder of the session, for the result in full size.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from aging.aged_photo import AgedPhoto, age_photo
from aging.generators import Generator
from aging.photo_file import SUFFIXES, read_photo, write_photo, write_picture
from aging.pictures import strip
from faces.align import corners_in_photo
from util.errors import UserError
from util.photos import UnreadableImageError

PREVIEW_HEIGHT = 900
"""Maximum height of the images on the page in pixels."""
IDLE_SECONDS = 3600.0
"""A photo that has been unused for this time is closed when the next one is opened."""
MOST_LEFT = 10_000
MOST_SESSIONS = 64
"""Maximum number of open photos. The least recently used one is closed first."""
FORGOTTEN = "This photo is no longer open. Please choose it again."
NO_FACE = (
    "No face was found. A face must show both eyes, be seen from the front or half from the side, and not be tiny."
)


@dataclass
class Session:
    """One visitor's photo."""

    folder: Path
    """contains all files of the session"""
    photo: Path
    full: AgedPhoto
    """its faces without the pixels, which are read from the file again"""
    preview: AgedPhoto
    chosen: set[int] = field(default_factory=set)
    """indices of the faces to change, starting at 0"""
    used_at: float = field(default_factory=time.monotonic)
    _written: int = 0

    @property
    def before(self) -> Path:
        """The preview of the unchanged photo."""
        return self.folder / "before.jpg"

    def show(self, strength: float) -> Path:
        """Write the preview at a strength (see AgedPhoto.at); returns the file, which later previews replace."""
        return self._write("aged", self.preview.at(strength, self.chosen))

    def show_strip(self) -> Path:
        """Write the selected faces in a row from younger to older; returns the file."""
        return self._write("strip", strip(self.preview, chosen=self.chosen))

    def show_faces(self) -> Path:
        """Write the preview with a frame around each face, which is green if the face is selected; returns the file."""
        image = Image.fromarray(self.preview.pixels)
        draw = ImageDraw.Draw(image)
        width = max(2, image.height // 150)
        for number, face in enumerate(self.preview.faces):
            first, second, third, last = (tuple(corner) for corner in corners_in_photo(face.alignment).tolist())
            corners = [first, second, last, third]
            colour = "#2f9e44" if number in self.chosen else "#adb5bd"
            draw.line([*corners, corners[0]], fill=colour, width=width, joint="curve")
        return self._write("faces", np.asarray(image))

    def save(self, strength: float) -> Path:
        """Write the photo at a strength in its own size and format; returns the file."""
        photo = read_photo(self.photo)
        aged = AgedPhoto(np.asarray(photo.image), self.full.faces)
        direction = "older" if strength >= 0 else "younger"
        path = self.folder / f"{self.photo.stem}_{direction}{SUFFIXES[photo.format]}"
        write_photo(path, aged.at(strength, self.chosen), photo)
        return path

    def toggle(self, x: float, y: float) -> bool:
        """Select or deselect the face at a point of the preview; returns whether there is one."""
        for number, face in enumerate(self.preview.faces):
            corners = corners_in_photo(face.alignment)
            (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
            if left <= x <= right and top <= y <= bottom:
                self.chosen ^= {number}
                return True
        return False

    def _write(self, kind: str, pixels: np.ndarray) -> Path:
        self._written += 1
        if not self.folder.is_dir():  # writing would create it again
            raise UserError(FORGOTTEN)
        path = self.folder / f"{kind}_{self._written}.jpg"
        write_picture(path, pixels)
        for old in self.folder.glob(f"{kind}_*.jpg"):
            if int(old.stem.rpartition("_")[2]) < self._written - 8:  # a browser may still be reading the newest
                old.unlink(missing_ok=True)
        return path


class Sessions:
    """All open photos by the browser's session key. Thread-safe."""

    def __init__(
        self,
        root: Path,
        generators: Mapping[str, Generator],
        *,
        most: int = MOST_SESSIONS,
        find: Callable[[Image.Image, Mapping[str, Generator]], AgedPhoto] = age_photo,
    ) -> None:
        self.root, self.generators, self.most, self._find = root, generators, most, find
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._left: OrderedDict[str, None] = OrderedDict()
        """visitors who left, maybe while their photo was waiting to be opened"""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, key: str, upload: Path) -> Session:
        """Open an uploaded photo, and detect and age its faces. It replaces the session's previous photo.

        Raises UserError if the file is not a photo, or if the photo has no face.
        """
        try:
            photo = read_photo(upload)
        except UnreadableImageError as error:
            raise UserError(f"This file cannot be read: {error.reason}.") from error
        aged = self._find(photo.image, self.generators)
        if not aged.faces:
            raise UserError(NO_FACE)
        height, width = aged.pixels.shape[:2]
        folder = Path(tempfile.mkdtemp(prefix="session_", dir=self.root))
        own = folder / upload.name
        shutil.copyfile(upload, own)
        session = Session(
            folder,
            own,
            AgedPhoto(np.empty((0, 0, 3), np.uint8), aged.faces),
            aged.part((0, 0, width, height), PREVIEW_HEIGHT),
            set(range(len(aged.faces))),
        )
        write_picture(session.before, session.preview.pixels)
        for old in self._replace(key, session):
            shutil.rmtree(old.folder, ignore_errors=True)
        return session

    def _replace(self, key: str, session: Session) -> list[Session]:
        """Store a session, unless its visitor has left; returns the sessions that are closed."""
        with self._lock:
            forgotten = [self._open.pop(key)] if key in self._open else []
            self._open[key] = session
            while len(self._open) > self.most or self._is_idle(next(iter(self._open.values()))):
                forgotten.append(self._open.popitem(last=False)[1])
            return forgotten + ([self._open.pop(key)] if key in self._left else [])

    @staticmethod
    def _is_idle(session: Session) -> bool:
        return time.monotonic() - session.used_at > IDLE_SECONDS

    def get(self, key: str) -> Session:
        """The visitor's session. Raises UserError if it has been closed."""
        with self._lock:
            if key not in self._open:
                raise UserError(FORGOTTEN)
            self._open.move_to_end(key)
            self._open[key].used_at = time.monotonic()
            return self._open[key]

    def close(self, key: str) -> None:
        """Close the session of a visitor who has left, and delete all its files. A photo that is still waiting to be
        opened is closed as soon as it has been opened."""
        with self._lock:
            session = self._open.pop(key, None)
            self._left[key] = None
            if len(self._left) > MOST_LEFT:
                self._left.popitem(last=False)
        if session is not None:
            shutil.rmtree(session.folder, ignore_errors=True)
