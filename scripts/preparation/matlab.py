"""Reads structs of arrays from MATLAB files, which IMDB-WIKI and CACD use for their metadata.

The process that reads them imports this module, so it imports little: above all no pandas.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.io

from scripts.preparation.errors import SourceError
from util.limited_process import ProcessDiedError, run_limited

READER_BYTES, READER_SECONDS = 2 * 2**30, 600
"""Limits for reading one file. A file of IMDB's 460,723 rows needs 1.1 GiB, and half a minute on a busy core."""


Convert = Callable[[np.ndarray], np.ndarray]
"""A function of this module that converts a field."""


def read_struct(
    content: bytes,
    name: str,
    file_name: str,
    required: Mapping[str, Convert],
    optional: Mapping[str, Convert] | None = None,
) -> dict[str, np.ndarray]:
    """The fields of the 1x1 struct `name`, each with one entry per row, converted by the functions given for them.
    Optional fields that are missing or have another length are left out.

    scipy trusts the sizes that a file declares: a few bytes can make it allocate all memory or crash its process. So a
    separate process with limited memory and time reads the file. Raises SourceError if that happens, if the file is
    damaged or in the newer HDF5 format, or if the struct or a required field is missing or has another length.
    """
    arguments = (content, name, file_name, dict(required), dict(optional or {}))
    try:
        return run_limited(_read, *arguments, extra_bytes=READER_BYTES, seconds=READER_SECONDS)
    except ProcessDiedError as error:
        raise SourceError(
            f"{file_name} is damaged or malicious: reading it crashed or took too much memory; download it again"
        ) from error


def _read(
    content: bytes, name: str, file_name: str, required: dict[str, Convert], optional: dict[str, Convert]
) -> dict[str, np.ndarray]:
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
    rows = len(fields[next(iter(required))])
    if any(len(fields[field]) != rows for field in required):
        lengths = ", ".join(f"{field} {len(fields[field])}" for field in required)
        raise SourceError(f"the fields of {name} in {file_name} differ in length: {lengths}")
    wanted = {field: convert for field, convert in (required | optional).items() if len(fields.get(field, ())) == rows}
    return {field: convert(fields[field]) for field, convert in wanted.items()}


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


def boxes(values: np.ndarray) -> np.ndarray:
    """Cells of four numbers as float64 (N, 4); NaN for any other cell."""
    found = np.full((len(values), 4), np.nan)
    for row, cell in enumerate(values):
        if np.size(cell) == 4:
            found[row] = numbers(np.ravel(cell))
    return found


def texts(values: np.ndarray) -> np.ndarray:
    """Cells of characters as an array of str objects; "" for empty cells. Cells may be nested, as in CACD."""
    return np.array([unicodedata.normalize("NFC", _text(value)) for value in values], dtype=object)


def _text(value: Any) -> str:
    while isinstance(value, np.ndarray):
        if value.size == 0:
            return ""
        value = value.flat[0]
    return str(value)
