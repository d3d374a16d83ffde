"""Shows loss curves and images in visdom, from a separate thread so that a slow or dead server never delays a step."""

from __future__ import annotations

import html
import logging
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from util.images import captioned_grid
from util.sinks.base import Moment, Sink
from util.sinks.loss_log import LossRecord

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 10.0
"""longest time to wait for a connection and for a response"""
RETRY_SECONDS = 10.0
CLOSE_SECONDS = 5.0
"""longest time to wait for the last transfer at the end of a run"""


class VisdomSink(Sink):
    """Shows the loss curves, the learning rate, the last images and the run's options.

    The whole history is kept, and sent again if a server starts late or was restarted without its windows. history,
    measured: earlier reports of losses and scores if the run is resumed.
    """

    def __init__(
        self,
        server: str,
        port: int,
        env: str,
        ncols: int,
        name: str,
        options: str,
        history: Sequence[LossRecord] = (),
        measured: Sequence[LossRecord] = (),
    ) -> None:
        self.address, self.ncols, self.name, self.options = f"{server}:{port}", ncols, name, options
        self.port = port
        self._connect = partial(connect, server, port, env)
        self._history, self._measured = list(history), list(measured)
        self._images: dict[str, np.ndarray] = {}
        self._image_title = ""
        self._news, self._closing = threading.Event(), threading.Event()
        self._client: Any = None
        self._sent, self._sent_measured = 0, 0
        self._warned = False
        self._thread = threading.Thread(target=self._run, name="visdom", daemon=True)
        self._thread.start()

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        self._history.append(LossRecord(moment.epochs_done, moment.learning_rate, dict(losses)))
        self._news.set()

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self._measured.append(LossRecord(moment.epochs_done, moment.learning_rate, dict(values)))
        self._news.set()

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        self._image_title = f"epoch {moment.epoch}, image {moment.epoch_images}"
        self._images = dict(images)
        self._news.set()

    def close(self) -> None:
        self._closing.set()
        self._news.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        """Run the thread: send new reports, and try again after RETRY_SECONDS if that failed."""
        while True:
            self._news.wait()
            self._news.clear()
            is_last = self._closing.is_set()
            try:
                self._deliver()
            except Exception as error:  # the client and its libraries raise many types
                self._note_failure(error)
                self._client = None
                self._closing.wait(RETRY_SECONDS)
                self._news.set()
            if is_last:
                return

    def _note_failure(self, error: Exception) -> None:
        if not self._warned and not self._closing.is_set():
            print(
                f"visdom does not respond at {self.address} ({type(error).__name__}); training continues without it. "
                "You can start it at any time with: python -m visdom.server"
                f"{'' if self.port == 8097 else f' -port {self.port}'}",
                flush=True,
            )
        self._warned = True

    def _deliver(self) -> None:
        if self._client is None:
            self._client = self._connect()
            self._sent, self._sent_measured = 0, 0
        if self._sent and not self._client.win_exists(f"{self.name} losses"):
            self._sent, self._sent_measured = 0, 0  # the server was restarted without our windows
        if self._sent == 0:
            self._client.text(
                f"<pre>{html.escape(self.options)}</pre>",
                win=f"{self.name} options",
                opts={"title": f"{self.name}: options", "width": 420},
            )
        records = self._history[self._sent :]
        if records:
            self._draw_curves(records, update="append" if self._sent else None)
            self._sent += len(records)
        if measured := self._measured[self._sent_measured :]:
            self._draw(
                "held-out faces",
                [record.epochs for record in measured],
                [record.losses for record in measured],
                "append" if self._sent_measured else None,
            )
            self._sent_measured += len(measured)
        if images := self._images:
            grid = captioned_grid(images, self.ncols)
            title = f"{self.name}: {self._image_title}"
            self._client.image(grid.transpose(2, 0, 1), win=f"{self.name} images", opts={"title": title})

    def _draw_curves(self, records: Sequence[LossRecord], update: str | None) -> None:
        epochs = [record.epochs for record in records]
        self._draw("losses", epochs, [record.losses for record in records], update, ylabel="loss")
        self._draw("learning rate", epochs, [{"learning rate": record.learning_rate} for record in records], update)

    def _draw(
        self,
        title: str,
        epochs: Sequence[float],
        values: Sequence[Mapping[str, float]],
        update: str | None,
        **opts: str,
    ) -> None:
        """Draw or extend a window with a curve for each name in the first of `values`."""
        names = list(values[0])
        self._client.line(
            X=np.repeat(np.array(epochs)[:, None], len(names), axis=1),
            Y=np.array([[row.get(name, np.nan) for name in names] for row in values]),
            win=f"{self.name} {title}",
            update=update,
            opts={"title": f"{self.name}: {title}", "legend": names, "xlabel": "epoch", **opts},
        )


def connect(server: str, port: int, env: str) -> Any:
    """Create a visdom client with request timeouts. Raises ConnectionError if no server responds."""
    import requests
    import visdom

    # The client logs each session at warning level, and each failure with a traceback.
    logging.getLogger("visdom").setLevel(logging.CRITICAL)
    session = requests.Session()

    class TimedVisdom(visdom.Visdom):
        """Overrides `_handle_post`, which visdom documents for this purpose."""

        def _handle_post(self, url: str, data: Any = None) -> str:
            answer = session.post(url, data=data or {}, timeout=(CONNECT_SECONDS, ANSWER_SECONDS))
            answer.raise_for_status()
            return answer.text

    return TimedVisdom(server=server, port=port, env=env, use_incoming_socket=False, raise_exceptions=True)
