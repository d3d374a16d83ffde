"""The page of app.py, built with Gradio. Import it only after the environment variables for Gradio's files are set.

The page loads no fonts or scripts from other servers and sends no usage statistics.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import gradio as gr
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from aging.sessions import Session, Sessions
from util.errors import UserError

TITLE = "How you may look when you are older or younger"
ABOUT = (
    "The result is one guess by a network that was trained on photos of people in their twenties and in their fifties. "
    "It knows nothing about you, your health or your family. Photos stay on the computer that runs this page, and are "
    "deleted when you close the page."
)
STRONGEST = 1.5
MOST_WAITING = 128
"""Maximum number of waiting requests; visitors who send more are asked to try again."""
FORGET_UPLOADS = (60, 900)
"""Interval at which uploads that were never read are deleted, and their minimum age; both in seconds."""
CSS = (
    "footer { display: none !important; } .gradio-container { max-width: 1100px !important; margin: auto !important; }"
    "#upload:has(video:not(.hide)) { height: 480px !important; }"  # while the camera is on
)
SYSTEM_FONTS = ["system-ui", "sans-serif"]


Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Shown(NamedTuple):
    """Updates of the page for a new session: both photos of the slider, the faces to click, and the rest hidden."""

    upload: Any
    results: Any
    compared: Any
    faces: Any
    strip: Any
    saved: Any


def build_page(sessions: Sessions, uploads: Uploads) -> gr.Blocks:
    """Build the page. One photo at a time is translated, or written in full size."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=FORGET_UPLOADS) as page:
        gr.Markdown(f"# {TITLE}\n{ABOUT}")
        upload = gr.Image(
            label="A photo with one or more faces",
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            height=220,
            buttons=[],
            elem_id="upload",
        )
        setattr(upload, "preprocess", path_of)  # noqa: B010  # Gradio writes files beside its subclasses
        with gr.Column(visible=False) as results:
            strength = gr.Slider(
                -STRONGEST,
                STRONGEST,
                value=1.0,
                step=0.05,
                label="younger ← 0 is the photo → older",
                buttons=[],
                elem_id="strength",
            )
            compared = gr.ImageSlider(
                label="before | after",
                type="filepath",
                interactive=False,
                max_height=700,
                buttons=["fullscreen"],
                elem_id="compared",
            )
            faces = gr.Image(
                label="Click a face to change it or leave it unchanged",
                type="filepath",
                interactive=False,
                buttons=[],
                elem_id="faces",
                height=320,
            )
            with gr.Row():
                make_strip = gr.Button("From younger to older", elem_id="make_strip")
                save = gr.Button("Photo in full size", variant="primary", elem_id="save")
            strip = gr.Image(
                label="from younger to older",
                type="filepath",
                interactive=False,
                visible=False,
                buttons=["download", "fullscreen"],
                elem_id="strip",
            )
            saved = gr.File(label="Photo in full size", visible=False, elem_id="saved")
        answers = Answers(sessions, uploads)
        shown = list(Shown(upload, results, compared, faces, strip, saved))
        quick: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 2, "concurrency_id": "quick"}
        # Not `input`, which also happens, with no photo, when visitors change to the camera or the clipboard.
        upload.upload(answers.open, [upload, strength], shown, concurrency_limit=1, api_name="open")
        strength.change(answers.show, strength, compared, trigger_mode="always_last", api_name="show", **quick)
        faces.select(answers.choose, strength, [compared, faces], api_visibility="private", **quick)
        make_strip.click(answers.strip, None, strip, api_name="strip", **quick)
        save.click(answers.save, strength, saved, concurrency_limit=1, api_name="save")
        page.unload(answers.leave)
    return page.queue(max_size=MOST_WAITING)


def path_of(payload: Any) -> str | None:
    """The path of an uploaded file, which is not checked here: aging/photo_file.py decides whether it is a photo."""
    return payload.path if payload is not None else None


class Answers:
    """The page's event handlers."""

    def __init__(self, sessions: Sessions, uploads: Uploads) -> None:
        self.sessions, self.uploads = sessions, uploads

    def open(self, upload: str | None, strength: float, request: gr.Request) -> Shown:
        """Open a photo that was dropped, selected or taken."""
        if upload is None:
            raise gr.Error("Choose a photo.", print_exception=False)
        with told():
            try:
                session = self.sessions.open(key_of(request), Path(upload))
            finally:
                self.uploads.read(upload)
            several = len(session.preview.faces) > 1
            return Shown(
                None,
                gr.Column(visible=True),
                self._compared(session, strength),
                gr.Image(str(session.show_faces()), visible=several),
                gr.Image(None, visible=False),
                gr.File(None, visible=False),
            )

    def show(self, strength: float, request: gr.Request) -> tuple[str, str]:
        """Show another strength after the slider moved. Only scales the predicted change."""
        with told():
            return self._compared(self.sessions.get(key_of(request)), strength)

    def choose(self, strength: float, request: gr.Request, click: gr.SelectData) -> tuple[tuple[str, str], str]:
        """Select or deselect the face that was clicked."""
        with told():
            session = self.sessions.get(key_of(request))
            session.toggle(*click.index)
            return self._compared(session, strength), str(session.show_faces())

    def strip(self, request: gr.Request) -> Any:
        """Show the row from younger to older."""
        with told():
            session = self.sessions.get(key_of(request))
            if not session.chosen:
                raise UserError("Choose a face.")
            return gr.Image(str(session.show_strip()), visible=True)

    def save(self, strength: float, request: gr.Request) -> Any:
        """Write the photo in full size."""
        with told():
            return gr.File(str(self.sessions.get(key_of(request)).save(strength)), visible=True)

    def leave(self, request: gr.Request) -> None:
        """Delete the visitor's photo after the page was closed."""
        self.sessions.close(key_of(request))

    @staticmethod
    def _compared(session: Session, strength: float) -> tuple[str, str]:
        return str(session.before), str(session.show(strength))


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Show a UserError raised inside the context to the visitor."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def key_of(request: gr.Request) -> str:
    """The browser's key for its session."""
    return str(request.session_hash)


class Uploads:
    """Deletes each uploaded file as soon as it has been read.

    Files with the same content share a path, so readers are counted. Nothing is deleted while an upload is in progress;
    files that remain are deleted after the time in FORGET_UPLOADS.
    """

    def __init__(self) -> None:
        self._readers: Counter[str] = Counter()
        self._on_their_way = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Note that an upload has started."""
        with self._lock:
            self._on_their_way += 1

    def end(self, paths: Sequence[str]) -> None:
        """Note that an upload has ended with these files, or with none if it failed."""
        with self._lock:
            self._on_their_way -= 1
            self._readers.update(paths)

    def read(self, path: str) -> None:
        """Note that a file has been read once, and delete it after its last reader."""
        with self._lock:
            self._readers[path] -= 1
            if self._readers[path] <= 0:
                del self._readers[path]
                if not self._on_their_way:
                    Path(path).unlink(missing_ok=True)


class UploadsSeen:
    """Middleware that reports the files of each upload to `uploads`."""

    def __init__(self, app: Application, uploads: Uploads) -> None:
        self.app, self.uploads = app, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/upload"):
            await self.app(scope, receive, send)
            return
        answer = b""

        async def listen(message: Message) -> None:
            nonlocal answer
            answer += message.get("body", b"")
            await send(message)

        self.uploads.begin()
        try:
            await self.app(scope, receive, listen)
        finally:
            self.uploads.end(_paths_in(answer))


def _paths_in(answer: bytes) -> list[str]:
    """The files named in the response to an upload, which is a JSON list unless the upload failed."""
    try:
        paths = json.loads(answer)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


class OwnFilesOnly:
    """Middleware that answers 404 to requests for files outside `root`, and for other addresses."""

    def __init__(self, app: Application, root: Path) -> None:
        self.app, self.root = app, root.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_allowed(scope["path"]):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_allowed(self, path: str) -> bool:
        _, marker, wanted = unquote(path).partition("file=")
        if ".." in path or "proxy=" in path:
            return False
        return not marker or (Path(wanted).is_file() and Path(wanted).resolve().is_relative_to(self.root))


def launch(sessions: Sessions, host: str, port: int, megabytes: int) -> None:
    """Serve the page until interrupted. megabytes: maximum size of an upload. Raises OSError if the port is in use."""
    uploads = Uploads()
    theme = gr.themes.Default(font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"])
    middleware = [Middleware(OwnFilesOnly, root=sessions.root), Middleware(UploadsSeen, uploads=uploads)]
    build_page(sessions, uploads).launch(
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        quiet=True,
        ssr_mode=False,
        theme=theme,
        css=CSS,
        max_file_size=f"{megabytes}mb",
        show_error=False,
        footer_links=[],
        app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None},
    )
