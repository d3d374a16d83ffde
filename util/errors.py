"""Errors that a user can mend, told in one line instead of a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


class UserError(Exception):
    """Something in the options, the files or the machine that the user can mend; the message names it and the
    remedy."""


@contextlib.contextmanager
def told_in_one_line(program: str, is_first: Callable[[str], bool] = lambda text: True) -> Iterator[None]:
    """Print a UserError raised within as `program: error: ...` and exit with status 2.

    is_first: whether this is the one of several processes to print a text that others may have, too.
    """
    try:
        yield
    except UserError as error:
        if is_first(str(error)):
            print(f"{program}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
