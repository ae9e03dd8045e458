"""cryoDRGN's pickles, read by an unpickler that can make numpy arrays only.

No other file knows of pickles; the only ones written are arrays for cryoDRGN.
"""

import codecs
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import write_atomically
from cryosway.particles._records import widen_float32

FloatArray = npt.NDArray[np.float64]

CTF_COLUMNS = (
    "box",
    "pixel_size",
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "voltage",
    "cs",
    "amplitude_contrast",
    "phase_shift",
)
RefusedError = pickle.UnpicklingError
_PROTOCOL = 2
_LARGEST_FRACTION = 1.0
_ARRAY_MAKERS = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows how to make numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAY_MAKERS:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        message = f"it asks for {module}.{name}"
        raise pickle.UnpicklingError(message)


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """Make the bytes of an array from text, as pickles written by Python 2 protocols need."""
    if encoding != "latin1":
        message = f"it asks for the encoding {encoding}"
        raise pickle.UnpicklingError(message)
    return codecs.encode(text, "latin1")


def load_arrays(path: str | os.PathLike[str]) -> Any:
    """Unpickle numpy arrays, and tuples, lists and dicts of them; refuse everything else.

    Raises
    ------
    CryoswayError
        The file is missing, is not a pickle, or asks for anything but numeric arrays, as a
        malicious pickle would.
    """
    path = Path(path)
    with explain_pickle_errors(path), path.open("rb") as file:
        content = ArrayUnpickler(file).load()
    _require_numeric(content, path)
    return content


def load_array_series(path: str | os.PathLike[str]) -> list[Any]:
    """Unpickle one after the other the pickles that a file holds, as cryoDRGN's ``z.pkl`` does.

    Raises
    ------
    CryoswayError
        As `load_arrays`.
    """
    path = Path(path)
    contents: list[Any] = []
    with explain_pickle_errors(path), path.open("rb") as file:
        size = path.stat().st_size
        while not contents or file.tell() < size:
            contents.append(ArrayUnpickler(file).load())
    _require_numeric(contents, path)
    return contents


def write_array_series(path: str | os.PathLike[str], *contents: Any) -> None:
    """Write pickles one after the other into a file, whole or not at all.

    Parameters
    ----------
    path : path
        The file to make or to replace.
    *contents
        Numeric arrays, or tuples of them, as cryoDRGN reads them.
    """
    _require_numeric(list(contents), Path(path))
    with write_atomically(Path(path)) as temporary, temporary.open("wb") as file:
        for content in contents:
            pickle.dump(content, file, protocol=_PROTOCOL)


@contextmanager
def explain_pickle_errors(path: Path, expected: str = "pickle of numpy arrays") -> Iterator[None]:
    """Say in a sentence what is wrong with a file that is being unpickled."""
    try:
        yield
    except OSError as error:
        raise CryoswayError(f"cannot read {path}: {error.strerror}; check the path") from error
    except pickle.UnpicklingError as error:
        message = f"{path} was refused: a {expected} is expected, but {error}"
        raise CryoswayError(message) from error
    except Exception as error:  # a damaged pickle can raise anything
        message = f"{path} is not a readable {expected} ({type(error).__name__}: {error})"
        raise CryoswayError(message) from error


def _require_numeric(content: Any, path: Path) -> None:
    parts = content.values() if isinstance(content, dict) else content
    if isinstance(content, dict | list | tuple):
        for part in parts:
            _require_numeric(part, path)
    elif isinstance(content, np.ndarray) and content.dtype.hasobject:
        message = f"{path} holds an array of Python objects; a pickle of numeric arrays is expected"
        raise CryoswayError(message)


def read_cryodrgn_poses(path: str | os.PathLike[str]) -> tuple[FloatArray, FloatArray | None]:
    """Read cryoDRGN's ``poses.pkl``.

    Returns
    -------
    rotations : numpy.ndarray
        Shape (N, 3, 3): R with x_image = R x_reference.
    shifts : numpy.ndarray or None
        Shape (N, 2), fraction of the box; None in a file of rotations only.

    Raises
    ------
    CryoswayError
        The shapes are not those of poses, a value is not finite, a matrix is not a rotation, or
        the shifts are in pixels as in files of old versions.
    """
    path = Path(path)
    content = load_arrays(path)
    parts = list(content) if isinstance(content, tuple | list) else [content]
    arrays = [np.asarray(part, np.float64) for part in parts]
    rotations = arrays[0] if arrays else np.empty(0)
    if rotations.ndim != 3 or rotations.shape[1:] != (3, 3) or len(arrays) > 2:
        message = (
            f"{path} does not hold poses, (N, 3, 3) rotations and (N, 2) shifts; is it a CTF file?"
        )
        raise CryoswayError(message)
    _require_rotations(rotations, path)
    if len(arrays) == 1:
        return rotations, None
    shifts = arrays[1]
    if shifts.shape != (len(rotations), 2):
        message = f"{path} holds {len(rotations)} rotations but shifts of shape {shifts.shape}"
        raise CryoswayError(message)
    _require_fractions(shifts, path)
    return rotations, shifts


def _require_rotations(rotations: FloatArray, path: Path) -> None:
    finite = np.asarray(np.isfinite(rotations).all(axis=(1, 2)))
    rotations = np.where(finite[:, None, None], rotations, 0.0)
    gram = rotations @ rotations.transpose(0, 2, 1)
    orthogonal = np.abs(gram - np.eye(3)).max(axis=(1, 2)) < 1e-3
    proper = np.asarray(orthogonal & (np.linalg.det(rotations) > 0))
    if not proper.all():
        row = int(np.flatnonzero(~proper)[0])
        message = f"{path.name} row {row + 1}: the matrix is not a rotation; make the file again"
        raise CryoswayError(message)


def _require_fractions(shifts: FloatArray, path: Path) -> None:
    bad = ~(np.abs(shifts) <= _LARGEST_FRACTION).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        message = (
            f"{path.name} row {row + 1}: the shift {shifts[row].tolist()} is no fraction of the "
            "box (an old file in pixels?); divide the shifts by the box"
        )
        raise CryoswayError(message)


def read_cryodrgn_ctf(path: str | os.PathLike[str]) -> FloatArray:
    """Read cryoDRGN's ``ctf.pkl``: shape (N, 9), columns as in ``CTF_COLUMNS``.

    Raises
    ------
    CryoswayError
        The shape is not (N, 9), or a value is not finite.
    """
    path = Path(path)
    content = load_arrays(path)
    table = np.asarray(content) if isinstance(content, np.ndarray) else np.empty(0)
    if table.ndim != 2 or table.shape[1] != len(CTF_COLUMNS):
        message = f"{path} does not hold a CTF table of shape (N, 9); is it a pose file?"
        raise CryoswayError(message)
    table = np.stack([widen_float32(column) for column in table.T], axis=1)
    if not np.isfinite(table).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(table))[0])
        message = (
            f"{path.name} row {row + 1}: {CTF_COLUMNS[column]} is {table[row, column]}; "
            "make the file again from a STAR file that has this column"
        )
        raise CryoswayError(message)
    return table
