"""Random access to the images of many stacks.

Images are read by position into the arrays that are handed out. Compared with memory maps
this takes half the time for scattered images of 256 px (35 against 69 µs each) and leaves no
mapped pages behind, so that the memory of a process that streams a large set stays small.
"""

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.particles._mrc import MrcLayout

Images = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_OPEN_STACKS = 200
_BYTES_PER_READ = 1 << 28


class ImageStore:
    """The pixels of a list of stacks, opened when first read and read in the order of the disk.

    Safe to use from several threads and to send to other processes (they open the files anew).

    Parameters
    ----------
    layouts : sequence of MrcLayout
        One per stack.
    """

    def __init__(self, layouts: Sequence[MrcLayout]) -> None:
        self.layouts = tuple(layouts)
        self._stacks: OrderedDict[int, _OpenStack] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"layouts": self.layouts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["layouts"])  # type: ignore[misc]

    def read(self, stack_of: npt.NDArray[np.int32], index: IntArray, box: int) -> Images:
        """Read images.

        Parameters
        ----------
        stack_of : numpy.ndarray
            Shape (n,): which stack each image lies in.
        index : numpy.ndarray
            Shape (n,): its 0-based place in that stack.
        box : int
            Pixels along an edge, the same for all.

        Returns
        -------
        numpy.ndarray
            Shape (n, box, box), float32, in the order asked for.

        Raises
        ------
        CryoswayError
            A stack has gone, or has become shorter, since the particles were read.
        """
        out = np.empty((len(index), box, box), np.float32)
        order = np.lexsort((index, stack_of))
        in_order = bool((order[1:] > order[:-1]).all())
        stacks, wanted = stack_of[order], index[order]
        bounds = np.flatnonzero(np.diff(stacks)) + 1
        for rows in np.split(np.arange(len(order)), bounds):
            if len(rows):
                target = slice(int(rows[0]), int(rows[-1]) + 1)
                stack = self._open(int(stacks[rows[0]]))
                if in_order:
                    stack.read_into(out[target], wanted[target])
                else:
                    out[order[target]] = stack.read(wanted[target])
        return out

    def _open(self, number: int) -> "_OpenStack":
        with self._lock:
            stack = self._stacks.pop(number, None) or _OpenStack(self.layouts[number])
            self._stacks[number] = stack
            if len(self._stacks) > _OPEN_STACKS:
                self._stacks.popitem(last=False)
            return stack


class _OpenStack:
    """One stack file, open until nobody needs it."""

    def __init__(self, layout: MrcLayout) -> None:
        self._layout = layout
        try:
            self._descriptor = os.open(layout.path, os.O_RDONLY)
        except OSError as error:
            message = f"cannot read {layout.path} any more ({error.strerror}); was it moved?"
            raise CryoswayError(message) from error

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, wanted: IntArray) -> npt.NDArray[Any]:
        """Read images at ascending places, shape (n, D, D), in the type of the file."""
        images = np.empty((len(wanted), *self._layout.shape[1:]), self._layout.dtype)
        image_bytes = images.nbytes // max(1, len(wanted))
        limit = max(1, _BYTES_PER_READ // image_bytes)
        for first, last in _find_runs(wanted, limit):
            offset = self._layout.offset + int(wanted[first]) * image_bytes
            self._fill(images[first:last].reshape(-1).view(np.uint8), offset)
        return images

    def read_into(self, out: Images, wanted: IntArray) -> None:
        """Read images at ascending places into an array of float32, converting a part at a time."""
        limit = max(1, _BYTES_PER_READ // (4 * out[0].size))
        for start in range(0, len(wanted), limit):
            part = slice(start, start + limit)
            out[part] = self.read(wanted[part])

    def _fill(self, target: npt.NDArray[np.uint8], offset: int) -> None:
        done = 0
        while done < len(target):
            count = os.preadv(self._descriptor, [target[done:].data], offset + done)
            if count == 0:
                message = f"{self._layout.path} became shorter after it was opened; read it anew"
                raise CryoswayError(message)
            done += count


def _find_runs(wanted: IntArray, limit: int) -> list[tuple[int, int]]:
    """Split ascending places into runs of neighbours, none longer than `limit`."""
    breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
    edges = [0, *breaks.tolist(), len(wanted)]
    return [
        (start, min(start + limit, end))
        for begin, end in itertools.pairwise(edges)
        for start in range(begin, end, limit)
    ]
