"""Serve a page on this computer that shows what the faces of photos may look like older or younger.

    pip install -r requirements-app.txt
    python app.py

prints the address of the page. Drop a photo on it or take one, and move the slider. `python app.py --help` lists all
options.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from age_photo import SourceOptions
from aging.generators import find_generators
from aging.sessions import Sessions
from util.arguments import Parser, build, option
from util.errors import UserError, told_in_one_line


@dataclass(frozen=True)
class PageOptions:
    """page"""

    host: str = option("127.0.0.1", help="address to listen on; with 0.0.0.0, other machines can open the page, too")
    port: int = option(7860, help="port to listen on", least=1, most=65535)
    most_megabytes: int = option(40, help="maximum size of an uploaded file", unit="MB", least=1, most=4096)
    most_megapixels: int = option(50, help="maximum size of a photo", unit="million pixels", least=1, most=1000)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until it is interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the visitors' files are deleted, too
    parser = Parser(prog="app.py", description="Serve a page that shows what faces may look like older or younger.")
    parser.add_section(PageOptions)
    parser.add_section(SourceOptions)
    typed = parser.parse(argv)
    options, source = build(PageOptions, typed), build(SourceOptions, typed)
    Image.MAX_IMAGE_PIXELS = options.most_megapixels * 1_000_000
    with tempfile.TemporaryDirectory(prefix="face_aging_") as folder:
        launch = import_page(Path(folder))
        generators = find_generators(source.checkpoints_dir / source.name, source.model, source.engine)
        print(f"open http://{options.host}:{options.port} in a browser; press Ctrl-C to stop", flush=True)
        try:
            launch(Sessions(Path(folder), generators), options.host, options.port, options.most_megabytes)
        except OSError as error:
            raise UserError(f"--port {options.port}: {error}") from error


def import_page(folder: Path) -> Callable[[Sessions, str, int, int], None]:
    """The function that serves the page, with all its files in `folder`. Raises UserError if Gradio is missing."""
    # Gradio reads these when it is imported: where to store files, and that no usage statistics are sent.
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1"
    )
    try:
        from aging.page import launch
    except ImportError as error:
        raise UserError(f"the page requires Gradio: pip install -r requirements-app.txt ({error})") from error
    return launch


if __name__ == "__main__":
    with told_in_one_line("app.py"):
        try:
            main()
        except KeyboardInterrupt:
            sys.exit(130)
