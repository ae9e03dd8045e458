"""Density maps: MRC volumes read and written with their true voxel size and origin."""

import bz2
import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.particles._mrc import (
    HEADER_BYTES,
    make_header,
    parse_header,
    pixel_dtype,
    set_statistics,
    voxel_size,
)
from cryosway.particles._output import replace_file

Volume = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MapInfo:
    """Where the voxels of a map lie in space.

    Attributes
    ----------
    pixel_size : float
        Å per voxel (along x, where the axes differ).
    origin : tuple of float
        Å, position (x, y, z) of the first voxel.
    voxel_size : tuple of float
        Å per voxel along (x, y, z).
    """

    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_size: tuple[float, float, float] = (0.0, 0.0, 0.0)


def read_map(path: str | os.PathLike[str]) -> tuple[Volume, MapInfo]:
    """Read an MRC/CCP4 map, plain or compressed with gzip or bzip2.

    Parameters
    ----------
    path : path
        ``.mrc``, ``.map``, and these with ``.gz`` or ``.bz2``.

    Returns
    -------
    volume : numpy.ndarray
        Shape (z, y, x), float32, native byte order, whatever the axis order of the file.
    info : MapInfo
        Voxel size and origin, Å. Where the header has no origin, the start indices give it.

    Raises
    ------
    CryoswayError
        The file is missing, cut short or not a map.
    """
    path = Path(path)
    content = _read_bytes(path)
    header = parse_header(content[:HEADER_BYTES], len(content), path)
    dtype = pixel_dtype(header, path)
    shape = (int(header["nz"]), int(header["ny"]), int(header["nx"]))
    offset = HEADER_BYTES + int(header["nsymbt"])
    expected = offset + int(np.prod(shape)) * dtype.itemsize
    if len(content) < expected:
        message = f"{path} is cut short: {len(content)} bytes of {expected}; copy it again"
        raise CryoswayError(message)
    voxels = np.frombuffer(content, dtype, int(np.prod(shape)), offset).reshape(shape)
    order = _axis_order(header)
    volume = np.ascontiguousarray(voxels.transpose(order), dtype=np.float32)
    sizes = voxel_size(header)
    return volume, MapInfo(sizes[0], _origin_of(header, sizes), sizes)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; check the path and its permissions"
        raise CryoswayError(message) from error
    try:
        if content[:2] == b"\x1f\x8b":
            return gzip.decompress(content)
        return bz2.decompress(content) if content[:3] == b"BZh" else content
    except (OSError, EOFError, ValueError) as error:
        raise CryoswayError(f"{path} cannot be decompressed ({error}); copy it again") from error


def _axis_order(header: Any) -> tuple[int, int, int]:
    """Return the transposition of (section, row, column) that gives (z, y, x)."""
    axes = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if sorted(axes) != [1, 2, 3]:
        return 0, 1, 2
    return axes.index(3), axes.index(2), axes.index(1)


def _origin_of(header: Any, sizes: tuple[float, float, float]) -> tuple[float, float, float]:
    stated = tuple(float(header["origin"][axis]) for axis in "xyz")
    if any(stated) and all(np.isfinite(stated)):
        return stated[0], stated[1], stated[2]
    starts = [int(header[name]) for name in ("nxstart", "nystart", "nzstart")]
    axes = [int(header[name]) for name in ("mapc", "mapr", "maps")]
    along = dict(zip(axes, starts, strict=True)) if sorted(axes) == [1, 2, 3] else {}
    x, y, z = (along.get(axis, 0) * size for axis, size in zip((1, 2, 3), sizes, strict=True))
    return x, y, z


def write_map(
    path: str | os.PathLike[str],
    volume: npt.NDArray[np.floating[Any]],
    pixel_size: float,
    origin: tuple[float, float, float] | None = None,
) -> None:
    """Write a volume as an MRC map (mode 2, or 12 for a float16 array), whole or not at all.

    Parameters
    ----------
    path : path
        The file to write.
    volume : numpy.ndarray
        Shape (z, y, x). Anything but float16 is written as float32.
    pixel_size : float
        Å per voxel.
    origin : tuple of float, optional
        Å, position (x, y, z) of the first voxel, so that maps overlay; (0, 0, 0) by default.
    """
    path = Path(path)
    voxels = np.asarray(volume)
    voxels = voxels.astype("<f2" if voxels.dtype == np.float16 else "<f4")
    depth, height, width = voxels.shape
    dtype = voxels.dtype.newbyteorder("=")
    header = make_header(
        (depth, height, width), dtype, pixel_size, is_stack=False, origin=origin or (0.0, 0.0, 0.0)
    )
    mean, sd = voxels.mean(dtype=np.float64), voxels.std(dtype=np.float64)
    set_statistics(header, float(voxels.min()), float(voxels.max()), float(mean), float(sd))
    with replace_file(path) as partial:
        partial.write_bytes(header.tobytes() + voxels.tobytes())
