"""Structs of arrays out of MATLAB files, as IMDB-WIKI and CACD publish their metadata."""

from __future__ import annotations

import io
import unicodedata
from typing import Any

import numpy as np
import scipy.io

from scripts.preparation.sources.matlab_claims import check_claims
from scripts.preparation.sources.table import SourceError


def read_struct(content: bytes, name: str, file_name: str, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The fields of the 1x1 struct `name`, each flattened to one entry per row; shorter fields are left out.

    Raises SourceError for a damaged file, a file without that struct or with a required field absent or of another
    length, and the newer HDF5 format.
    """
    check_claims(content, name, file_name)
    try:
        variables = scipy.io.loadmat(io.BytesIO(content), variable_names=[name])
    except NotImplementedError as error:
        raise SourceError(
            f"{file_name} is in MATLAB's version 7.3 (HDF5), not in the expected version 5: save it again by MATLAB's "
            "save -v7, or fetch the collection's own file"
        ) from error
    except Exception as error:  # scipy raises nearly every type on damaged files
        raise SourceError(f"{file_name} is damaged or no MATLAB file ({error}); fetch it again") from error
    struct = variables.get(name)
    if struct is None or struct.dtype.names is None or struct.size != 1:
        raise SourceError(f"{file_name} holds no struct called {name}")
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
    """Numeric entries as float64, whether stored as an array or as one cell per row; NaN for anything else."""
    if values.dtype != object:
        return values.astype(np.float64) if _is_real(values.dtype) else np.full(len(values), np.nan)
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    flat = np.ravel(value)
    return float(flat[0]) if flat.size and _is_real(flat.dtype) else np.nan


def _is_real(dtype: np.dtype) -> bool:
    return dtype.kind in "biuf"


def texts(values: np.ndarray) -> list[str]:
    """Cells of characters as strings; "" for empty cells. Cells may be nested, as CACD's are."""
    return [unicodedata.normalize("NFC", _text(value)) for value in values]


def _text(value: Any) -> str:
    while isinstance(value, np.ndarray):
        if value.size == 0:
            return ""
        value = value.flat[0]
    return str(value)
