"""Reports user errors and interruptions in one line instead of a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from util.text import printable


class UserError(Exception):
    """Raised for a problem with options, files or the machine that the user can fix; the message says what to do."""


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some disk space, or choose another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or choose another path"),
    errno.EROFS: "choose a folder that is writable",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "there is a file in place of a folder: choose another path"),
    errno.EISDIR: "there is a folder in place of a file: choose another path",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer processes",
}
"""What to do about file system errors, by error number."""


class _Terminated(KeyboardInterrupt):
    """Raised for SIGTERM, with which schedulers stop a program, so that it is handled like Ctrl-C."""


@contextlib.contextmanager
def told_in_one_line(
    program: str, is_first: Callable[[str], bool] = lambda text: True, *, interrupted: str = ""
) -> Iterator[None]:
    """Print errors that the user can fix as `program: error: ...` instead of a traceback, and exit.

    These are UserError, OSError and MemoryError (exit status 2) and Ctrl-C (130). interrupted: says what happens to the
    work after Ctrl-C; if it is given, SIGTERM is handled like Ctrl-C (143). is_first: decides which of several
    processes prints a message that others may also print. Inside the block, characters that the console cannot encode
    are printed as escape sequences.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if interrupted:
        _raise_when_terminated()
    try:
        yield
    except BrokenPipeError as error:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from error
    except (UserError, OSError, MemoryError) as error:
        text = describe(error)
        if is_first(text):
            print(f"{program}: error: {printable(text)}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as error:
        text = f"interrupted{f'; {interrupted}' if interrupted else ''}"
        if is_first(text):
            print(f"\n{program}: {text}", file=sys.stderr)
        raise SystemExit(143 if isinstance(error, _Terminated) else 130) from None


def describe(error: UserError | OSError | MemoryError) -> str:
    """Describe what happened, where, and what to do."""
    if isinstance(error, MemoryError):
        return "not enough memory: close other programs, or use fewer processes or a smaller batch size"
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}{f': {remedy}' if remedy else ''}"


def _raise_when_terminated() -> None:
    """Make SIGTERM raise a KeyboardInterrupt in this process; forked processes still end immediately."""
    main = os.getpid()

    def handle(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != main:
            os._exit(128 + number)
        raise _Terminated

    signal.signal(signal.SIGTERM, handle)
