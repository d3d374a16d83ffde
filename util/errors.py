"""Errors that a user can mend, and interruptions, told in one line instead of a traceback."""

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
    """Something in the options, the files or the machine that the user can mend; the message names it and the
    remedy."""


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there, or choose another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give permission, or choose another place"),
    errno.EROFS: "choose a place that can be written to",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file lies where a folder is needed: choose another path"),
    errno.EISDIR: "a folder lies where a file is needed: choose another path",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer processes",
}
"""What helps against the failures of file systems, by their number."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which is how a scheduler says Ctrl-C."""


@contextlib.contextmanager
def told_in_one_line(
    program: str, is_first: Callable[[str], bool] = lambda text: True, *, interrupted: str = ""
) -> Iterator[None]:
    """Print what ends the program as `program: error: ...` instead of a traceback, where the user can mend it.

    That is: a UserError, a failure of a file system, too little memory (exit status 2), and Ctrl-C (130). interrupted:
    what becomes of the work after Ctrl-C; where it is given, SIGTERM is the same as Ctrl-C (143). is_first: whether
    this is the one of several processes to print a text that others may have, too. Within, printing a letter that the
    console's encoding lacks shows its number, rather than ending the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if interrupted:
        _raise_when_terminated()
    try:
        yield
    except BrokenPipeError as error:  # whoever read the output has read enough
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
    """What happened, where, and what helps."""
    if isinstance(error, MemoryError):
        return "not enough memory: close other programs, or work on less at a time (fewer processes, smaller batches)"
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}{f': {remedy}' if remedy else ''}"


def _raise_when_terminated() -> None:
    """Make SIGTERM raise what Ctrl-C raises, in this process; forked ones end by it as they would."""
    main = os.getpid()

    def handle(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != main:
            os._exit(128 + number)
        raise _Terminated

    signal.signal(signal.SIGTERM, handle)
