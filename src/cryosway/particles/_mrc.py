"""Where the pixels of an MRC file lie: header, byte order, data type, offset, pixel size."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import byte_order_from_machine_stamp, dtype_from_mode

from cryosway._errors import CryoswayError

HEADER_BYTES = 1024
_READABLE_MODES = (0, 1, 2, 6, 12)
_KNOWN_MODES = (*_READABLE_MODES, 3, 4, 101)
_LARGEST_EDGE = 1 << 17


@dataclass(frozen=True)
class MrcLayout:
    """The layout of one MRC file.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        (sections, rows, columns) that the header announces.
    stored : int
        Whole sections that the file holds; fewer than announced when it was cut short.
    dtype : numpy.dtype
        Type of a pixel with its byte order.
    offset : int
        Bytes before the first pixel (header and extended header).
    voxel_size : tuple of float
        Å along (x, y, z); 0 where the header does not say.
    modified_ns : int
        Time of last modification, ns.
    """

    path: Path
    shape: tuple[int, int, int]
    stored: int
    dtype: np.dtype[Any]
    offset: int
    voxel_size: tuple[float, float, float]
    modified_ns: int


def read_layout(path: str | os.PathLike[str]) -> MrcLayout:
    """Read the header of an MRC stack or map and find out where its pixels lie.

    Byte order is taken from the machine stamp where that is consistent with the rest of the
    header; a wrong or missing stamp is tolerated when only one byte order makes sense.

    Raises
    ------
    CryoswayError
        The file is missing, compressed, not MRC, or of a kind of pixel that cannot be used.
    """
    path = Path(path)
    try:
        status = path.stat()
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; check the path and its permissions"
        raise CryoswayError(message) from error
    if start[:2] == b"\x1f\x8b" or start[:3] == b"BZh":
        message = f"{path} is compressed and cannot be read image by image; decompress it first"
        raise CryoswayError(message)
    header = parse_header(start, status.st_size, path)
    return _to_layout(header, path, status.st_size, status.st_mtime_ns)


def parse_header(start: bytes, file_bytes: int, path: Path) -> Any:
    """Interpret the first 1024 bytes of an MRC file in the byte order that makes sense.

    Returns
    -------
    numpy.void
        A scalar of mrcfile's header type, in native or swapped order.
    """
    if len(start) < HEADER_BYTES:
        message = f"{path} holds only {len(start)} bytes, less than an MRC header; copy it again"
        raise CryoswayError(message)
    by_order = {o: np.frombuffer(start, HEADER_DTYPE.newbyteorder(o))[0] for o in "<>"}
    stamped = _stamped_order(by_order["<"]["machst"])
    sensible = [o for o in "<>" if _makes_sense(by_order[o], file_bytes)]
    if stamped in sensible:
        return by_order[stamped]
    if len(sensible) == 1:
        return by_order[sensible[0]]
    message = f"{path} is not an MRC file (no byte order gives a sensible header); check the file"
    raise CryoswayError(message)


def _stamped_order(stamp: npt.NDArray[np.uint8]) -> str:
    try:
        return str(byte_order_from_machine_stamp(stamp))
    except ValueError:
        return ""


def _makes_sense(header: Any, file_bytes: int) -> bool:
    sizes = [int(header[name]) for name in ("nx", "ny", "nz")]
    extended = int(header["nsymbt"])
    return (
        int(header["mode"]) in _KNOWN_MODES
        and all(0 < size < _LARGEST_EDGE for size in sizes[:2])
        and sizes[2] >= 0
        and 0 <= extended <= max(0, file_bytes - HEADER_BYTES)
    )


def pixel_dtype(header: Any, path: Path) -> np.dtype[Any]:
    """Return the type of the pixels, refusing what is not a real-valued image."""
    mode = int(header["mode"])
    if mode not in _READABLE_MODES:
        kind = {3: "complex integers", 4: "a Fourier transform", 101: "4-bit pixels"}[mode]
        message = f"{path} holds {kind} (MRC mode {mode}); convert it to float32 (mode 2)"
        raise CryoswayError(message)
    dtype: np.dtype[Any] = dtype_from_mode(mode)
    return dtype.newbyteorder(header.dtype["mode"].byteorder)


def _to_layout(header: Any, path: Path, file_bytes: int, modified_ns: int) -> MrcLayout:
    dtype = pixel_dtype(header, path)
    shape = (int(header["nz"]), int(header["ny"]), int(header["nx"]))
    offset = HEADER_BYTES + int(header["nsymbt"])
    section_bytes = shape[1] * shape[2] * dtype.itemsize
    stored = min(shape[0], (file_bytes - offset) // section_bytes)
    return MrcLayout(path, shape, stored, dtype, offset, voxel_size(header), modified_ns)


def voxel_size(header: Any) -> tuple[float, float, float]:
    """Return the voxel size (x, y, z) in Å that a header states, 0 where it does not."""
    cell = [float(header["cella"][axis]) for axis in "xyz"]
    samples = [int(header[name]) for name in ("mx", "my", "mz")]
    sizes = [
        round(c / m, 6) if m > 0 and np.isfinite(c) and c > 0 else 0.0  # float32 in the file
        for c, m in zip(cell, samples, strict=True)
    ]
    return sizes[0], sizes[1], sizes[2]


def make_header(
    shape: tuple[int, int, int],
    dtype: npt.DTypeLike,
    voxel_angstrom: float,
    *,
    is_stack: bool,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Any:
    """Build a little-endian MRC2014 header.

    Parameters
    ----------
    shape : tuple of int
        (sections, rows, columns).
    dtype : numpy.dtype
        float32 or float16.
    voxel_angstrom : float
        Å per voxel.
    is_stack : bool
        True for a stack of images (space group 0), False for a volume (space group 1).
    origin : tuple of float
        Å, (x, y, z) of the first voxel, for maps that overlay.
    """
    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    header["nz"], header["ny"], header["nx"] = shape
    header["mz"], header["my"], header["mx"] = shape
    header["mode"] = {np.dtype(np.float32): 2, np.dtype(np.float16): 12}[np.dtype(dtype)]
    for axis, size in zip("xyz", reversed(shape), strict=True):
        header["cella"][axis] = size * voxel_angstrom
        header["cellb"][{"x": "alpha", "y": "beta", "z": "gamma"}[axis]] = 90.0
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["ispg"] = 0 if is_stack else 1
    if is_stack:
        header["mz"] = 1
        header["cella"]["z"] = voxel_angstrom
    header["origin"] = origin
    header["map"], header["machst"], header["nversion"] = b"MAP ", (0x44, 0x44, 0, 0), 20141
    header["nlabl"] = 1
    header["label"][0] = b"cryosway"
    return header


def set_statistics(header: Any, low: float, high: float, mean: float, sd: float) -> None:
    """Write minimum, maximum, mean and standard deviation of the pixels into a header."""
    header["dmin"], header["dmax"], header["dmean"], header["rms"] = low, high, mean, sd
