"""A stack of images written as it is made, which an interrupted job can go on writing."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.particles._mrc import HEADER_BYTES, make_header, set_statistics

_SAMPLE = 1024


class StackWriter:
    """Write images one batch after the other into an MRC stack of known length.

    The bytes of the finished file depend only on the images, not on how they were divided into
    batches or how often the writing was interrupted.

    Parameters
    ----------
    path : path
        The ``.mrcs`` file.
    box : int
        Pixels along an edge.
    pixel_size : float
        Å per pixel, for the header.
    dtype : str or numpy.dtype
        float16 (MRC mode 12) or float32 (mode 2).
    n : int
        Images that the finished stack will hold.
    start : int
        Images already written that are to be kept: resume after these. 0 starts a new file.

    Attributes
    ----------
    written : int
        Images in the file so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        box: int,
        pixel_size: float,
        dtype: npt.DTypeLike,
        n: int,
        *,
        start: int = 0,
    ) -> None:
        self.path = Path(path)
        self.written = start
        self._count = n
        self._dtype = np.dtype(dtype)
        self._box = box
        self._header = make_header((n, box, box), self._dtype, pixel_size, is_stack=True)
        self._image_bytes = box * box * self._dtype.itemsize
        self._file = self._open(start)

    def _open(self, start: int) -> Any:
        try:
            if start:
                self._require_kept(start)
            file = self.path.open("r+b" if start else "w+b")
        except OSError as error:
            message = f"cannot write {self.path}: {error.strerror}; choose another place"
            raise CryoswayError(message) from error
        if not start:
            file.write(self._header.tobytes())
        file.truncate(HEADER_BYTES + start * self._image_bytes)
        file.seek(0, os.SEEK_END)
        return file

    def _require_kept(self, start: int) -> None:
        missing = HEADER_BYTES + start * self._image_bytes - self.path.stat().st_size
        if missing > 0:
            message = f"{self.path} lacks {missing} bytes of its first {start} images; start again"
            raise CryoswayError(message)

    def write(self, images: npt.NDArray[Any]) -> None:
        """Append images of shape (m, box, box); they are converted to the type of the stack.

        Raises
        ------
        CryoswayError
            The disk is full or the file cannot be written.
        ValueError
            The images have another size, or are more than the stack was to hold.
        """
        if images.shape[1:] != (self._box, self._box) or self.written + len(images) > self._count:
            message = (
                f"{images.shape} does not fit a stack of {self._count} images of {self._box} px"
            )
            raise ValueError(message)
        if not len(images):
            return
        stored = np.ascontiguousarray(images, dtype=self._dtype.newbyteorder("<"))
        try:
            self._file.write(stored.data)
        except OSError as error:
            message = (
                f"cannot write {self.path}: {error.strerror}; make room or choose another place"
            )
            raise CryoswayError(message) from error
        self.written += len(images)

    def flush(self) -> None:
        """Bring everything written so far to the disk, so that a resumed job can rely on it."""
        self._file.flush()
        os.fdatasync(self._file.fileno()) if hasattr(os, "fdatasync") else os.fsync(
            self._file.fileno()
        )

    def close(self) -> None:
        """Complete the header: statistics, and the true count when fewer images were written."""
        if self._file.closed:
            return
        self.flush()
        if self.written:
            set_statistics(self._header, *self._measure())
        self._header["nz"] = self.written
        self._file.seek(0)
        self._file.write(self._header.tobytes())
        self.flush()
        self._file.close()

    def _measure(self) -> tuple[float, float, float, float]:
        """Minimum, maximum, mean, sd over at most 1024 images, evenly spaced in the stack."""
        stored, size = self._dtype.newbyteorder("<"), self._box**2
        rows = np.unique(np.linspace(0, self.written - 1, _SAMPLE).astype(np.int64))
        low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
        for row in rows:
            # Not mapped: pages around each would count as memory of this process.
            start = HEADER_BYTES + int(row) * size * stored.itemsize
            image = np.fromfile(self.path, stored, size, offset=start).astype(np.float64)
            low, high = min(low, float(image.min())), max(high, float(image.max()))
            total, squares = total + float(image.sum()), squares + float((image**2).sum())
        pixels = len(rows) * size
        mean = total / pixels
        return low, high, mean, float(np.sqrt(max(0.0, squares / pixels - mean**2)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
