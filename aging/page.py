"""The page of app.py, made by Gradio; imported only after the environment says where Gradio may store files.

Nothing on it comes from elsewhere: no fonts, no scripts, no counting of visitors.
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

TITLE = "How you may look when you are older, or younger"
ABOUT = (
    "What you see is one guess by a network that has compared photos of people in their twenties and in their fifties. "
    "It knows nothing about you, your health or your family. Photos stay on the computer that runs this page, and are "
    "deleted when you close it."
)
STRONGEST = 1.5
MOST_WAITING = 128
"""Requests that wait at the same time, at most; further ones are told to try again."""
FORGET_UPLOADS = (60, 900)
"""How often uploads that were never read are looked for, and the age at which they are deleted; both in seconds."""
CSS = (
    "footer { display: none !important; } .gradio-container { max-width: 1100px !important; margin: auto !important; }"
)
SYSTEM_FONTS = ["system-ui", "sans-serif"]


Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Shown(NamedTuple):
    """What the page shows of a session: both photos of the slider, the faces to click on, the rest hidden again."""

    upload: Any
    results: Any
    compared: Any
    faces: Any
    strip: Any
    saved: Any


def build_page(sessions: Sessions, uploads: Uploads, at_once: int = 1) -> gr.Blocks:
    """The page. at_once: how many photos are translated, or written in full size, at the same time."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=FORGET_UPLOADS) as page:
        gr.Markdown(f"# {TITLE}\n{ABOUT}")
        upload = gr.Image(
            label="A photo with one face or several",
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            height=220,
            buttons=[],
            elem_id="upload",
        )
        setattr(upload, "preprocess", path_of)  # noqa: B010  # Gradio writes files beside classes that inherit its own
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
                label="Click a face to change it, or not",
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
        upload.input(answers.open, [upload, strength], shown, concurrency_limit=at_once, api_name="open")
        strength.change(answers.show, strength, compared, trigger_mode="always_last", api_name="show", **quick)
        faces.select(answers.choose, strength, [compared, faces], api_visibility="private", **quick)
        make_strip.click(answers.strip, None, strip, api_name="strip", **quick)
        save.click(answers.save, strength, saved, concurrency_limit=at_once, api_name="save")
        page.unload(answers.leave)
    return page.queue(max_size=MOST_WAITING)


def path_of(payload: Any) -> str | None:
    """The file of an upload as it is: aging/photo_file.py decides what is a photo."""
    return payload.path if payload is not None else None


class Answers:
    """What happens when the visitor does something."""

    def __init__(self, sessions: Sessions, uploads: Uploads) -> None:
        self.sessions, self.uploads = sessions, uploads

    def open(self, upload: str | None, strength: float, request: gr.Request) -> Shown:
        """A photo was dropped, chosen or taken."""
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
        """The slider was moved: the predicted change is scaled, and nothing is translated anew."""
        with told():
            return self._compared(self.sessions.get(key_of(request)), strength)

    def choose(self, strength: float, request: gr.Request, click: gr.SelectData) -> tuple[tuple[str, str], str]:
        """A face was clicked."""
        with told():
            session = self.sessions.get(key_of(request))
            session.toggle(*click.index)
            return self._compared(session, strength), str(session.show_faces())

    def strip(self, request: gr.Request) -> Any:
        """The row from younger to older was asked for."""
        with told():
            session = self.sessions.get(key_of(request))
            if not session.chosen:
                raise UserError("Choose a face.")
            return gr.Image(str(session.show_strip()), visible=True)

    def save(self, strength: float, request: gr.Request) -> Any:
        """The photo in full size was asked for."""
        with told():
            return gr.File(str(self.sessions.get(key_of(request)).save(strength)), visible=True)

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.sessions.close(key_of(request))

    @staticmethod
    def _compared(session: Session, strength: float) -> tuple[str, str]:
        return str(session.before), str(session.show(strength))


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Show the visitor a UserError raised within."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def key_of(request: gr.Request) -> str:
    """What the browser calls its session."""
    return str(request.session_hash)


class Uploads:
    """Deletes each uploaded file as soon as it has been read.

    Files with the same content have one path, so readers are counted; while uploads are on their way nothing is
    deleted, and what stays is left to FORGET_UPLOADS.
    """

    def __init__(self) -> None:
        self._readers: Counter[str] = Counter()
        self._on_their_way = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """An upload begins."""
        with self._lock:
            self._on_their_way += 1

    def end(self, paths: Sequence[str]) -> None:
        """An upload has become these files, or none if it failed."""
        with self._lock:
            self._on_their_way -= 1
            self._readers.update(paths)

    def read(self, path: str) -> None:
        """A file has been read, once."""
        with self._lock:
            self._readers[path] -= 1
            if self._readers[path] <= 0:
                del self._readers[path]
                if not self._on_their_way:
                    Path(path).unlink(missing_ok=True)


class UploadsSeen:
    """Tells `uploads` which files the page receives."""

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
    """The files that an answer to an upload names: a list in JSON, unless it is an error."""
    try:
        paths = json.loads(answer)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


class OwnFilesOnly:
    """Answers 404 to requests for other files of the machine, and for other addresses."""

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
    """Serve the page until interrupted. megabytes: size of the largest upload. Raises OSError if the port is taken."""
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
