"""Reads structs of arrays from MATLAB files, which IMDB-WIKI and CACD use for their metadata."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from scripts.preparation.sources.table import SourceError
from util.limited_process import ProcessDiedError, run_limited

READER_BYTES, READER_SECONDS = 2 * 2**30, 600
"""Limits for reading one file. A file of IMDB's 460,723 rows needs 1.1 GiB, and half a minute on a busy core."""


def read_limited(read: Callable[..., pd.DataFrame], content: bytes, file_name: str, *arguments: Any) -> pd.DataFrame:
    """Return `read(content, file_name, *arguments)`, called in a separate process with limited memory and time.

    scipy trusts the sizes that a file declares: a few bytes can make it allocate all memory or crash its process.
    Raises SourceError if that happens.
    """
    try:
        return run_limited(read, content, file_name, *arguments, extra_bytes=READER_BYTES, seconds=READER_SECONDS)
    except ProcessDiedError as error:
        raise SourceError(
            f"{file_name} is damaged or malicious: reading it crashed or took too much memory; download it again"
        ) from error


def read_struct(content: bytes, name: str, file_name: str, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The fields of the 1x1 struct `name`, each flattened to one entry per row. Fields of another length are left out.

    Raises SourceError if the file is damaged or in the newer HDF5 format, or if the struct or a required field is
    missing or has another length.
    """
    try:
        variables = scipy.io.loadmat(io.BytesIO(content), variable_names=[name])
    except NotImplementedError as error:
        raise SourceError(
            f"{file_name} is in MATLAB's version 7.3 (HDF5), but version 5 is expected: save it again with MATLAB's "
            "save -v7, or download the collection's own file"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # scipy raises many kinds of exceptions for damaged files
        raise SourceError(f"{file_name} is damaged or not a MATLAB file ({error}); download it again") from error
    struct = variables.get(name)
    if struct is None or struct.dtype.names is None or struct.size != 1:
        raise SourceError(f"{file_name} contains no struct named {name}")
    fields = {field: np.asarray(struct[field].flat[0]).ravel() for field in struct.dtype.names}
    missing = [field for field in required if field not in fields]
    if missing:
        raise SourceError(f"the struct {name} in {file_name} lacks {', '.join(missing)}")
    rows = len(fields[required[0]])
    if any(len(fields[field]) != rows for field in required):
        lengths = ", ".join(f"{field} {len(fields[field])}" for field in required)
        raise SourceError(f"the fields of {name} in {file_name} differ in length: {lengths}")
    return {field: values for field, values in fields.items() if len(values) == rows}


def numbers(values: np.ndarray) -> np.ndarray:
    """Numeric entries, stored as an array or as one cell per row, as float64; NaN for anything else."""
    if values.dtype != object:
        return values.astype(np.float64) if _is_real(values.dtype) else np.full(len(values), np.nan)
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    flat = np.ravel(value)
    return float(flat[0]) if flat.size and _is_real(flat.dtype) else np.nan


def _is_real(dtype: np.dtype) -> bool:
    return dtype.kind in "biuf"


def texts(values: np.ndarray) -> list[str]:
    """Cells of characters as strings; "" for empty cells. Cells may be nested, as in CACD."""
    return [unicodedata.normalize("NFC", _text(value)) for value in values]


def _text(value: Any) -> str:
    while isinstance(value, np.ndarray):
        if value.size == 0:
            return ""
        value = value.flat[0]
    return str(value)
