"""Coefficients of all images, kept where they fit."""

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.engine import available_memory_bytes

Rows = NDArray[np.int64]
#: A coefficient has 8 bytes and its filter 4.
BYTES_PER_POINT = 12


def choose_home(size: int, host_limit: int, device: torch.device) -> torch.device | None:
    """Choose where images are kept: on the GPU, in the host's memory, or nowhere.

    Parameters
    ----------
    size
        Of all images, bytes.
    host_limit
        Of the host's memory, bytes.
    device
        That computes; a GPU keeps them where they take at most half of what is free there.
    """
    if device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] // 2:
        return device
    if size <= min(host_limit, available_memory_bytes() // 3):
        return torch.device("cpu")
    return None


@final
class PackedImages:
    """Coefficients and filters of images, loaded once, block by block, when first asked for.

    Parameters
    ----------
    count, points, block
        Images, points of each, and images that are loaded together.
    home
        Where they are kept.
    load
        Gives the coefficients (n, P), complex64, and filters (n, P) of rows.
    """

    def __init__(
        self,
        count: int,
        points: int,
        block: int,
        home: torch.device,
        load: Callable[[Rows], tuple[Tensor, Tensor]],
    ) -> None:
        self._values = torch.empty(count, points, dtype=torch.complex64, device=home)
        self._filters = torch.empty(count, points, device=home)
        self._loaded = np.zeros(-(-count // block), bool)
        self._block, self._load = block, load

    def take(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Give coefficients and filters of rows; those of adjacent rows are not copied."""
        blocks = np.unique(rows // self._block)
        for block in blocks[~self._loaded[blocks]]:
            self._fill(int(block))
        if len(rows) and bool((np.diff(rows) == 1).all()):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            return self._values[part], self._filters[part]
        at = torch.from_numpy(rows).to(self._values.device)
        return self._values[at], self._filters[at]

    def _fill(self, block: int) -> None:
        start = block * self._block
        stop = min(start + self._block, len(self._values))
        self._values[start:stop], self._filters[start:stop] = self._load(np.arange(start, stop))
        self._loaded[block] = True  # last: threads that fill it at the same time do no harm
