"""Errors that a user can mend, told in one line instead of a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from util.text import printable


class UserError(Exception):
    """Something in the options, the files or the machine that the user can mend; the message names it and the
    remedy."""


@contextlib.contextmanager
def told_in_one_line(program: str, is_first: Callable[[str], bool] = lambda text: True) -> Iterator[None]:
    """Print a UserError raised within as `program: error: ...` and exit with status 2.

    is_first: whether this is the one of several processes to print a text that others may have, too. Within, printing a
    letter that the console's encoding lacks shows its number, rather than ending the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except UserError as error:
        if is_first(str(error)):
            print(f"{program}: error: {printable(error)}", file=sys.stderr)
        raise SystemExit(2) from error
